package events

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// Three tenants, three processes, and readers that stop, linger, come back to any
// process with cursors of their own, of other tenants and made up, while Redis
// and the ways to it fail. Nobody ever sees another tenant's event; nobody misses
// one without being told; everybody sees their tenant's events in order.
func TestTenantsAgainstEachOther(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			newArena(t, seed).fight(t)
		})
	}
}

const (
	arenaTenants, arenaProcesses, arenaReaders = 3, 3, 3 // readers of each tenant
	arenaEvents                                = 400     // of each tenant
	arenaKept                                  = 60      // so that there are gaps
)

type arena struct {
	own       *redis.Client
	processes []*process
	writers   []*process // whose ways are never cut
	sides     []*side
	seed      uint64
	// whole is held for reading while an event is appended, for writing while all
	// is lost: an event of which nobody knows whether it was appended would be
	// neither kept nor lost.
	whole sync.RWMutex
	calm  atomic.Bool // no more failures
	gaps  atomic.Int64
}

// side is one tenant. Its events are numbered from 1.
type side struct {
	tenant   db.Tenant
	appended atomic.Int64

	mu      sync.Mutex
	cursors map[string]int64 // the number of the last event before each cursor
}

func newArena(t *testing.T, seed uint64) *arena {
	t.Helper()
	e := dbtest.New(t)
	a := &arena{own: ownRedis(t), seed: seed}
	for range arenaProcesses {
		p := idleProcess(t, a.own.Options(), e.Prefix)
		p.kept = arenaKept
		p.run(t)
		a.processes = append(a.processes, p)
	}
	for range arenaTenants {
		w := idleProcess(t, a.own.Options(), e.Prefix)
		w.kept = arenaKept
		a.writers = append(a.writers, w)
		a.sides = append(a.sides, &side{tenant: e.Tenant(t), cursors: map[string]int64{}})
	}
	return a
}

func (a *arena) random(stream int) *rand.Rand { return rand.New(rand.NewPCG(a.seed, uint64(stream))) }

func (a *arena) fight(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var writing, reading, failing sync.WaitGroup
	for i := range a.sides {
		writing.Go(func() { a.write(ctx, t, i, func(n int64) bool { return n <= arenaEvents }) })
		for j := range arenaReaders {
			reading.Go(func() { a.read(ctx, t, i, a.random(100*(i+1)+j)) })
		}
	}
	stop := make(chan struct{})
	failing.Go(func() { a.fail(ctx, t, a.random(1), stop) })
	writing.Wait()
	close(stop)
	failing.Wait()
	a.calm.Store(true)
	// Whatever they have missed, all readers see what happens from now on.
	var done atomic.Bool
	for i := range a.sides {
		writing.Go(func() { a.write(ctx, t, i, func(int64) bool { return !done.Load() }) })
	}
	reading.Wait()
	done.Store(true)
	writing.Wait()
	t.Logf("%d gaps were told of", a.gaps.Load())
	for _, p := range a.processes {
		eventually(t, "no subscription is left", func() bool {
			p.mu.RLock()
			defer p.mu.RUnlock()
			return len(p.tenants) == 0
		})
	}
}

// write appends the next events of one side, in bursts.
func (a *arena) write(ctx context.Context, t *testing.T, side int, more func(n int64) bool) {
	r, s, w := a.random(10+side), a.sides[side], a.writers[side]
	for n := s.appended.Load() + 1; more(n); n++ {
		event := Event{ID: uuid.New(), Topic: TopicActivity, Kind: "done", Target: s.tenant.String() + " " + strconv.FormatInt(n, 10)}
		a.whole.RLock()
		for {
			w.resting.Store(nil)
			if err := w.Append(ctx, s.tenant.ID(), event); err == nil {
				break
			} else if ctx.Err() != nil {
				t.Errorf("event %d: %v", n, err)
				a.whole.RUnlock()
				return
			}
		}
		if r.IntN(3) == 0 { // a second time, as the outbox may
			_ = w.Append(ctx, s.tenant.ID(), event) // or fail, as it may
		}
		s.appended.Store(n)
		a.whole.RUnlock()
		if r.IntN(20) == 0 {
			linger(ctx, time.Duration(r.IntN(30))*time.Millisecond)
		}
	}
}

// fail cuts ways, kills connections and now and then loses everything.
func (a *arena) fail(ctx context.Context, t *testing.T, r *rand.Rand, stop chan struct{}) {
	for {
		select {
		case <-stop:
			for _, p := range a.processes {
				p.way.mend(nil)
			}
			return
		case <-time.After(time.Duration(r.IntN(60)) * time.Millisecond):
		}
		p := a.processes[r.IntN(len(a.processes))]
		switch r.IntN(10) {
		case 0:
			a.whole.Lock()
			// Else the first entry afterwards could have the id of the last one before.
			linger(ctx, 2*time.Millisecond)
			if err := a.own.FlushAll(ctx).Err(); err != nil {
				t.Error(err)
			}
			a.whole.Unlock()
		case 1, 2:
			if err := a.own.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
				t.Error(err)
			}
		case 3, 4, 5:
			p.way.cut()
		default:
			p.way.mend(nil)
		}
	}
}

// read subscribes again and again until it has seen an event of the end.
func (a *arena) read(ctx context.Context, t *testing.T, i int, r *rand.Rand) {
	s := a.sides[i]
	ctx = identity.NewContext(ctx, &identity.Caller{Subject: uuid.New(), Tenant: s.tenant})
	var own *string // of the last event that was seen
	for ctx.Err() == nil {
		after := a.choose(r, i, own)
		before := s.appended.Load()
		subscription, err := a.processes[r.IntN(len(a.processes))].Subscribe(ctx, TopicActivity, after, everything)
		if fault.Is(err, fault.CodeUnavailable) {
			linger(ctx, time.Millisecond)
			continue
		}
		if err != nil {
			t.Errorf("subscribe after %v: %v", after, err)
			return
		}
		run := &run{arena: a, side: s, after: after, before: before, random: r, left: r.IntN(150), own: own}
		done, err := run.all(ctx, subscription)
		subscription.Close()
		if err != nil {
			t.Errorf("after %s: %v", text(after), err)
			return
		}
		if own = run.own; done {
			return
		}
	}
	t.Errorf("tenant %d: the last event is never seen", i)
}

// choose returns where to go on: mostly after the last event, else after any of
// any tenant, after a place that never was, or from now.
func (a *arena) choose(r *rand.Rand, i int, own *string) *string {
	if a.calm.Load() {
		return own
	}
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		made := position{uint64(time.Now().UnixMilli()) - uint64(r.IntN(2000)), uint64(r.IntN(3))}.cursor()
		return &made
	case 2:
		made := position{r.Uint64(), r.Uint64()}.cursor()
		return &made
	case 3, 4:
		s := a.sides[r.IntN(len(a.sides))]
		s.mu.Lock()
		defer s.mu.Unlock()
		for cursor := range s.cursors {
			return &cursor
		}
	}
	return own
}

// run is what one subscription of a reader sees.
type run struct {
	*arena
	side   *side
	after  *string
	before int64 // what was surely appended before it began
	random *rand.Rand
	left   int // events until it gives up
	own    *string
	last   int64 // the number of the last event before here; -1 if unknown
}

func (r *run) all(ctx context.Context, s *Subscription) (done bool, _ error) {
	first, next := true, s.Next
	if r.random.IntN(2) == 0 {
		next = newPolled(s).Next
	}
	for ; r.left > 0 || r.calm.Load(); r.left-- {
		told := r.side.appended.Load()
		waiting, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		d, err := next(waiting)
		cancel()
		if err != nil {
			if ctx.Err() != nil {
				return false, err
			}
			continue
		}
		if err := r.check(d, first, told); err != nil {
			return false, err
		}
		first = false
		r.own = &d.Cursor
		if r.last >= 0 {
			r.side.mu.Lock()
			r.side.cursors[d.Cursor] = r.last
			r.side.mu.Unlock()
		}
		if r.last > arenaEvents {
			return true, nil
		}
		if r.random.IntN(40) == 0 {
			linger(ctx, time.Duration(r.random.IntN(40))*time.Millisecond)
		}
	}
	return false, nil
}

// check compares one delivery with what must come. told is what was appended
// before it was asked for.
func (r *run) check(d Delivery, first bool, told int64) error {
	known := int64(-1)
	if r.after != nil {
		r.side.mu.Lock()
		if n, ok := r.side.cursors[*r.after]; ok {
			known = n
		}
		r.side.mu.Unlock()
	}
	switch {
	case d.Kind == KindGap:
		r.gaps.Add(1)
		r.last, r.before = -1, told
		return nil
	case d.Kind == KindSubscribed && !first:
		return fmt.Errorf("a second %s", d.Kind)
	case d.Kind == KindSubscribed:
		r.last = known
		if r.after != nil {
			r.before = 0
		}
		return nil
	case first:
		return fmt.Errorf("begins with %s", d.Kind)
	}
	tenant, number, _ := strings.Cut(d.Target, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil:
		return err
	case tenant != r.side.tenant.String():
		return fmt.Errorf("an event of %s is seen in %s", tenant, r.side.tenant)
	case r.last >= 0 && n != r.last+1:
		return fmt.Errorf("event %d comes after %d", n, r.last)
	case n <= r.before:
		return fmt.Errorf("event %d was before the beginning, %d", n, r.before)
	}
	r.last = n
	return nil
}

func text(s *string) string {
	if s == nil {
		return "nothing"
	}
	return *s
}

func linger(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
