package events

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tradesage/tradesage/internal/aside"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// polled waits for the next event by Poll, and counts how often it was woken.
type polled struct {
	*Subscription
	woken  chan struct{}
	wakes  atomic.Int64
	yields atomic.Int64
}

func newPolled(s *Subscription) *polled {
	return &polled{Subscription: s, woken: make(chan struct{}, 1)}
}

func (p *polled) wake() {
	p.wakes.Add(1)
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// Next is Subscription's, by other means.
func (p *polled) Next(ctx context.Context) (Delivery, error) {
	ctx = aside.Yielding(ctx, func() { p.yields.Add(1) })
	for {
		d, found, err := p.Poll(ctx, p.wake)
		if found || err != nil {
			return d, err
		}
		select {
		case <-p.woken:
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		}
	}
}

// Who polls sees what who waits sees: events from memory, from the stream and after
// a gap.
func TestPoll(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	p, acme := newProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t)
	ctx, cancel := context.WithTimeout(as(t.Context(), acme), patience)
	defer cancel()
	s, err := p.Subscribe(ctx, TopicActivity, nil, everything)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	polls := newPolled(s)
	want := func(targets ...string) {
		t.Helper()
		for _, want := range targets {
			d, err := polls.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Target; d.Kind == "done" && got != want || d.Kind != "done" && d.Kind != want {
				t.Fatalf("got %s %q, want %q", d.Kind, got, want)
			}
		}
	}
	want(KindSubscribed)
	p.append(t, acme, "a", "b")
	want("a", "b")
	if polls.yields.Load() != 0 {
		t.Error("it yields for what is in memory")
	}
	p.append(t, acme, numbers(1, 2*queueLength)...) // more than memory holds
	want(numbers(1, 2*queueLength)...)

	// A wake for each rest, none without.
	if _, found, err := polls.Poll(ctx, polls.wake); found || err != nil {
		t.Fatalf("found %t, %v", found, err)
	}
	before := polls.wakes.Load()
	fast := p.subscribe(t, acme, nil)
	fast.want(KindSubscribed)
	p.append(t, acme, "c", "d")
	fast.want("c", "d")
	eventually(t, "it is woken", func() bool { return polls.wakes.Load() == before+1 })
	want("c", "d")

	polls.lag()
	yields := polls.yields.Load()
	p.append(t, acme, "e")
	want("e")
	if polls.yields.Load() == yields {
		t.Error("it does not yield before it asks Redis")
	}
	cancel()
	if _, _, err := polls.Poll(ctx, polls.wake); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

// What is appended at the moment at which somebody goes to rest wakes them up.
func TestNoWakeIsLost(t *testing.T) {
	t.Parallel()
	const n = 20_000
	var q queue
	woken, seen := make(chan struct{}, 1), make(chan struct{})
	go func() {
		for i := range n {
			if i%10 == 9 {
				q.lag()
			} else {
				q.add(entry{})
			}
			<-seen
		}
	}()
	timeout := time.After(patience)
	for i := 0; i < n; {
		switch _, found := q.take(func() { woken <- struct{}{} }); found {
		case lagging:
			q.caughtUp()
			fallthrough
		case taken:
			i++
			seen <- struct{}{}
		case empty:
			select {
			case <-woken:
			case <-timeout:
				t.Fatalf("asleep after %d", i)
			}
		}
	}
}
