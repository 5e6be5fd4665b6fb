package subgraph_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/graph/subgraph/testdata/library"
	"github.com/tradesage/tradesage/internal/aside"
	"github.com/tradesage/tradesage/internal/identity"
)

// way is how a subscription of a is run to its end.
type way func(ctx context.Context, a *additions, query string, variables []byte, deliver func([]byte) error) error

// ways must not differ.
var ways = map[string]way{
	"Subscribe": func(ctx context.Context, a *additions, query string, variables []byte, deliver func([]byte) error) error {
		return liveLibrary(a, subgraph.Options{}).Subscribe(ctx, query, "", variables, deliver)
	},
	"Follow": func(ctx context.Context, a *additions, query string, variables []byte, deliver func([]byte) error) error {
		return follows(ctx, &polledAdditions{additions: a}, query, variables, deliver)
	},
	"Follow of a stream that waits": func(ctx context.Context, a *additions, query string, variables []byte, deliver func([]byte) error) error {
		return follows(ctx, a, query, variables, deliver)
	},
}

// follows runs a subscription by Follow and waits for its end.
func follows(ctx context.Context, a subgraph.Stream[library.Book], query string, variables []byte, deliver func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan error, 2) // a second one would be a mistake
	liveLibrary(a, subgraph.Options{}).Follow(ctx, query, "", variables,
		func(_ context.Context, response []byte) error { return deliver(response) }, func(err error) { over <- err })
	err := <-over
	select {
	case again := <-over:
		return errors.Join(errors.New("it is over twice"), err, again)
	default:
		return err
	}
}

// polledAdditions are additions that tell of what happens.
type polledAdditions struct {
	*additions

	mu      sync.Mutex
	looking bool
	found   []any
	wake    func()
}

// Poll implements subgraph.Polled.
func (p *polledAdditions) Poll(_ context.Context, wake func()) (*library.Book, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.found) == 0 {
		p.wake = wake
		if !p.looking {
			p.looking = true
			go p.look()
		}
		return nil, nil //nolint:nilnil // as it is for who polls
	}
	v := p.found[0]
	p.found = p.found[1:]
	switch v := v.(type) {
	case *library.Book:
		return v, nil
	case error:
		return nil, v
	}
	panic("a bug")
}

// look takes what happens until the subscription ends.
func (p *polledAdditions) look() {
	for {
		select {
		case <-p.closed:
			return
		case v := <-p.next:
			p.mu.Lock()
			p.found = append(p.found, v)
			wake := p.wake
			p.wake = nil
			p.mu.Unlock()
			if wake != nil {
				wake()
			}
		}
	}
}

// crowd is a stream of a thousand others like it.
type crowd struct {
	mu     sync.Mutex
	wakes  map[*oneOfMany]func()
	closed int
	// happened is how many events each has had, shown what they have seen.
	happened int
	// stuck holds up who has yielded.
	stuck chan struct{}
}

type oneOfMany struct {
	*crowd
	seen int
}

// Next implements subgraph.Stream.
func (o *oneOfMany) Next(context.Context) (*library.Book, error) { panic("nobody waits") }

// Close implements subgraph.Stream.
func (o *oneOfMany) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed++
}

// Poll implements subgraph.Polled.
func (o *oneOfMany) Poll(ctx context.Context, wake func()) (*library.Book, error) {
	o.mu.Lock()
	if o.seen == o.happened {
		o.wakes[o] = wake
		o.mu.Unlock()
		return nil, nil //nolint:nilnil // as it is for who polls
	}
	o.seen++
	stuck := o.stuck
	o.mu.Unlock()
	if stuck != nil {
		aside.Yield(ctx)
		<-stuck
	}
	return volume, nil
}

// happen lets an event happen, and wakes up everybody.
func (c *crowd) happen(stuck chan struct{}) {
	c.mu.Lock()
	wakes := c.wakes
	c.happened++
	c.wakes, c.stuck = map[*oneOfMany]func(){}, stuck
	c.mu.Unlock()
	for _, wake := range wakes {
		wake()
		wake() // a second one finds it awake, or nothing
	}
}

func (c *crowd) resting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.wakes)
}

// A thousand who wait for events hold no goroutine, each has every event once, and
// those who are stuck hold up nobody else.
func TestFollowersHoldNoGoroutine(t *testing.T) {
	t.Parallel()
	caller := newCaller(t)
	c := &crowd{wakes: map[*oneOfMany]func(){}}
	const n = 1000
	var mu sync.Mutex
	shown, ended := 0, 0
	count := func(of *int) int {
		mu.Lock()
		defer mu.Unlock()
		return *of
	}
	ctx, cancel := context.WithCancel(identity.NewContext(t.Context(), caller))
	defer cancel()
	s := liveLibraryOf(func() subgraph.Stream[library.Book] { return &oneOfMany{crowd: c} }, subgraph.Options{})
	for range n {
		s.Follow(ctx, bookAdded, "", nil, func(context.Context, []byte) error {
			mu.Lock()
			defer mu.Unlock()
			shown++
			return nil
		}, func(error) {
			mu.Lock()
			defer mu.Unlock()
			ended++
		})
	}
	awaitThat(t, "all rest", func() bool { return c.resting() == n })
	awaitThat(t, "no goroutine waits", func() bool {
		stacks := make([]byte, 16<<20)
		return !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("subgraph.(*following)"))
	})
	c.happen(nil)
	awaitThat(t, "all have the event", func() bool { return count(&shown) == n && c.resting() == n })
	stuck := make(chan struct{})
	c.happen(stuck)
	awaitThat(t, "nobody rests", func() bool { return c.resting() == 0 })
	cancel() // while all are stuck
	close(stuck)
	awaitThat(t, "all are over", func() bool { return count(&ended) == n })
	if got := count(&shown); got > 2*n {
		t.Errorf("%d events are shown", got)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed != n {
		t.Errorf("%d streams are closed", c.closed)
	}
}

// awaitThat waits until something holds.
func awaitThat(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not so: %s", what)
		case <-tick.C:
		}
	}
}
