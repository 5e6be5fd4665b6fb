package fairqueue_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tradesage/tradesage/graph/fairqueue"
)

func id(n byte) fairqueue.ID { return fairqueue.ID{n} }

func options() fairqueue.Options {
	return fairqueue.Options{Slots: 4, PerTenant: 3, PerUser: 2, TenantWaiting: 100, Waiting: 1000, MaxWait: time.Minute}
}

// waits starts an Acquire that must wait, and returns what tells its end.
func waits(t *testing.T, q *fairqueue.Queue, ctx context.Context, tenant, user byte) <-chan error { //nolint:revive // as the queue's
	t.Helper()
	_, before := q.Count()
	done := make(chan error, 1)
	go func() { done <- q.Acquire(ctx, id(tenant), id(user)) }()
	deadline, tick := time.After(30*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if _, now := q.Count(); now > before {
			return done
		}
		select {
		case err := <-done:
			t.Fatalf("%d/%d did not wait: %v", tenant, user, err)
		case <-deadline:
			t.Fatal("nobody waits")
		case <-tick.C:
		}
	}
}

func runs(t *testing.T, q *fairqueue.Queue, tenant, user byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := q.Acquire(ctx, id(tenant), id(user)); err != nil {
		t.Fatalf("%d/%d: %v", tenant, user, err)
	}
}

func ended(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("it still waits")
		return nil
	}
}

func TestCaps(t *testing.T) {
	t.Parallel()
	q := fairqueue.New(options())
	runs(t, q, 1, 1)
	runs(t, q, 1, 1)
	third := waits(t, q, t.Context(), 1, 1) // the user has two
	runs(t, q, 1, 2)                        // another user of the tenant passes
	fourth := waits(t, q, t.Context(), 1, 3)
	runs(t, q, 2, 1)
	fifth := waits(t, q, t.Context(), 2, 1) // no slot is left
	q.Release(id(1), id(2))
	if err := ended(t, fourth); err != nil {
		t.Error(err)
	}
	q.Release(id(1), id(1))
	{
		select {
		case err := <-third:
			if err != nil {
				t.Error(err)
			}
			q.Release(id(1), id(1))
			if err := ended(t, fifth); err != nil {
				t.Error(err)
			}
		case err := <-fifth:
			if err != nil {
				t.Error(err)
			}
			q.Release(id(2), id(1))
			if err := ended(t, third); err != nil {
				t.Error(err)
			}
		}
	}
}

// However many of one tenant wait, another one's turn comes next.
func TestTenantsTakeTurns(t *testing.T) {
	t.Parallel()
	o := options()
	o.Slots, o.PerTenant, o.PerUser = 1, 1, 1
	q := fairqueue.New(o)
	runs(t, q, 1, 1)
	var flood []<-chan error
	for range 50 {
		flood = append(flood, waits(t, q, t.Context(), 1, 1))
	}
	other := waits(t, q, t.Context(), 2, 2)
	third := waits(t, q, t.Context(), 3, 3)
	var order []string
	for range 4 {
		q.Release(id(map[string]byte{"": 1, "flood": 1, "other": 2, "third": 3}[last(order)]),
			id(map[string]byte{"": 1, "flood": 1, "other": 2, "third": 3}[last(order)]))
		select {
		case <-flood[0]:
			order, flood = append(order, "flood"), flood[1:]
		case <-other:
			order = append(order, "other")
		case <-third:
			order = append(order, "third")
		case <-time.After(30 * time.Second):
			t.Fatalf("nobody is next after %v", order)
		}
	}
	counts := map[string]int{}
	for _, who := range order {
		counts[who]++
	}
	if counts["other"] != 1 || counts["third"] != 1 || counts["flood"] != 2 || order[3] != "flood" {
		t.Errorf("%v", order)
	}
}

func last(of []string) string {
	if len(of) == 0 {
		return ""
	}
	return of[len(of)-1]
}

func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	o := options()
	o.Slots, o.TenantWaiting, o.Waiting = 1, 2, 3
	q := fairqueue.New(o)
	runs(t, q, 1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	first, second := waits(t, q, ctx, 1, 1), waits(t, q, ctx, 1, 1)
	if err := q.Acquire(t.Context(), id(1), id(1)); !errors.Is(err, fairqueue.ErrCrowded) {
		t.Errorf("a third of one tenant: %v", err)
	}
	third := waits(t, q, ctx, 2, 2)
	if err := q.Acquire(t.Context(), id(3), id(3)); !errors.Is(err, fairqueue.ErrFull) {
		t.Errorf("a fourth: %v", err)
	}
	cancel()
	for _, done := range []<-chan error{first, second, third} {
		if err := ended(t, done); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	q.Release(id(1), id(1))
	if running, waiting := q.Count(); running != 0 || waiting != 0 {
		t.Errorf("%d run and %d wait", running, waiting)
	}
}

func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	o := options()
	o.Slots, o.PerTenant, o.PerUser, o.MaxWait = 2, 1, 1, 10*time.Millisecond
	q := fairqueue.New(o)
	runs(t, q, 1, 1)
	if err := q.Acquire(t.Context(), id(1), id(2)); !errors.Is(err, fairqueue.ErrCrowded) {
		t.Errorf("at its own cap: %v", err)
	}
	runs(t, q, 2, 2)
	if err := q.Acquire(t.Context(), id(3), id(3)); !errors.Is(err, fairqueue.ErrFull) {
		t.Errorf("no slot: %v", err)
	}
}

// A tenant has the caps that its last operation came with.
func TestCapsOfATenant(t *testing.T) {
	t.Parallel()
	o := options()
	o.MaxWait = 10 * time.Millisecond
	q := fairqueue.New(o)
	small := fairqueue.Caps{Tenant: 2, User: 1}
	within := func(user byte, caps fairqueue.Caps) error { return q.AcquireWithin(t.Context(), id(1), id(user), caps) }
	for user, want := range map[byte]error{1: nil, 2: nil} {
		if err := within(user, small); !errors.Is(err, want) {
			t.Errorf("user %d: %v", user, err)
		}
	}
	if err := within(3, small); !errors.Is(err, fairqueue.ErrCrowded) {
		t.Errorf("a third: %v", err)
	}
	if err := within(1, fairqueue.Caps{}); err != nil { // the queue's own are wider
		t.Errorf("with another plan: %v", err)
	}
	if err := within(1, fairqueue.Caps{Tenant: 4, User: 2}); !errors.Is(err, fairqueue.ErrCrowded) {
		t.Errorf("a user at the cap: %v", err)
	}
}

// Whatever happens at once, no cap is passed and no slot is lost.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	o := options()
	q := fairqueue.New(o)
	var running [3]atomic.Int32
	var all sync.WaitGroup
	for n := range byte(24) {
		all.Go(func() {
			tenant, user := n%3, n%6
			for i := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%7 == int(n%7) {
					cancel()
				}
				if q.Acquire(ctx, id(tenant), id(user)) == nil {
					if now := running[tenant].Add(1); int(now) > o.PerTenant {
						t.Errorf("%d of a tenant run", now)
					}
					running[tenant].Add(-1)
					q.Release(id(tenant), id(user))
				}
				cancel()
			}
		})
	}
	all.Wait()
	if running, waiting := q.Count(); running != 0 || waiting != 0 {
		t.Errorf("%d run and %d wait", running, waiting)
	}
	for n := range byte(4) {
		runs(t, q, 10+n, n)
	}
}

func BenchmarkFree(b *testing.B) {
	q := fairqueue.New(fairqueue.Options{Slots: 1024, PerTenant: 1024, PerUser: 1024, MaxWait: time.Second})
	b.ReportAllocs()
	for b.Loop() {
		if err := q.Acquire(b.Context(), id(1), id(2)); err != nil {
			b.Fatal(err)
		}
		q.Release(id(1), id(2))
	}
}

// Who has most runs fewer at once, as long as it has most; the others run what they want.
func TestRestraint(t *testing.T) {
	t.Parallel()
	o := options()
	o.Slots, o.PerTenant, o.PerUser = 6, 5, 5
	q := fairqueue.New(o)
	runs(t, q, 2, 1)
	for range 5 {
		runs(t, q, 1, 1)
	}
	var more []<-chan error
	for range 3 {
		more = append(more, waits(t, q, t.Context(), 1, 1))
	}
	q.Restrain(2)
	release := func(tenant byte, times int) {
		for range times {
			q.Release(id(tenant), id(1))
		}
	}
	count := func(what string, wantRunning, wantWaiting int) {
		t.Helper()
		if running, waiting := q.Count(); running != wantRunning || waiting != wantWaiting {
			t.Errorf("%s: %d run and %d wait, want %d and %d", what, running, waiting, wantRunning, wantWaiting)
		}
	}
	release(1, 1)
	count("nobody has been found to have most", 6, 2)
	if !q.Contended() {
		t.Fatal("one tenant has seven of eight")
	}
	release(1, 3)
	count("two of it run", 3, 2)
	release(1, 1)
	count("one of it ended and the next began", 3, 1)
	for range 3 { // others have the room that it has not
		runs(t, q, 3, 1)
	}
	count("the others run", 6, 1)
	if q.Contended() { // three of seven
		t.Error("nobody has most")
	}
	count("all slots are taken", 6, 1)
	release(2, 1)
	count("it is not restrained any more", 6, 0)
	for _, done := range more {
		if err := ended(t, done); err != nil {
			t.Error(err)
		}
	}
}

// Restraint is lifted for those who wait already.
func TestRestraintEnds(t *testing.T) {
	t.Parallel()
	for name, lift := range map[string]func(*fairqueue.Queue){
		"more are allowed": func(q *fairqueue.Queue) { q.Restrain(100) },
		"nobody else came": func(q *fairqueue.Queue) {
			for q.Contended() { // calls are counted
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := fairqueue.New(options())
			q.Restrain(0) // 1 is the least
			if got := q.Restraint(); got != 1 {
				t.Errorf("restraint %d", got)
			}
			runs(t, q, 2, 1)
			for _, user := range []byte{1, 1, 2} {
				runs(t, q, 1, user)
			}
			waiting := waits(t, q, t.Context(), 1, 1)
			if !q.Contended() {
				t.Fatal("one tenant has most")
			}
			q.Release(id(1), id(1))
			q.Release(id(1), id(1))
			if _, n := q.Count(); n != 1 {
				t.Fatalf("%d wait, of a tenant that may run one and does", n)
			}
			lift(q)
			if err := ended(t, waiting); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who may not be refused waits beside any number of others, until a slot is free or
// the wait is given up.
func TestAwaitIsNotRefused(t *testing.T) {
	t.Parallel()
	o := options()
	o.Slots, o.PerTenant, o.PerUser, o.TenantWaiting, o.Waiting, o.MaxWait = 1, 1, 1, 1, 1, time.Nanosecond
	q := fairqueue.New(o)
	if err := q.Crowded(id(1)); err != nil {
		t.Error(err)
	}
	runs(t, q, 1, 1)
	awaits := func(ctx context.Context) <-chan error {
		_, before := q.Count()
		done := make(chan error, 1)
		go func() { done <- q.AwaitWithin(ctx, id(1), id(1), fairqueue.Caps{}) }()
		awaitWaiting(t, q, before+1)
		return done
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second, third := awaits(t.Context()), awaits(ctx), awaits(t.Context())
	for _, tenant := range []byte{1, 2} {
		want := map[byte]error{1: fairqueue.ErrCrowded, 2: fairqueue.ErrFull}[tenant]
		if err := q.Acquire(t.Context(), id(tenant), id(1)); !errors.Is(err, want) {
			t.Errorf("tenant %d: %v, want %v", tenant, err, want)
		}
	}
	if err := q.Crowded(id(1)); !errors.Is(err, fairqueue.ErrCrowded) {
		t.Error(err)
	}
	cancel()
	if err := ended(t, second); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, done := range []<-chan error{first, third} {
		q.Release(id(1), id(1))
		if err := ended(t, done); err != nil {
			t.Error(err)
		}
	}
}

func awaitWaiting(t *testing.T, q *fairqueue.Queue, wanted int) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if _, waiting := q.Count(); waiting == wanted {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%d do not wait", wanted)
		case <-tick.C:
		}
	}
}

func TestContended(t *testing.T) {
	t.Parallel()
	q := fairqueue.New(options())
	runs(t, q, 2, 1)
	runs(t, q, 1, 1)
	if q.Contended() {
		t.Error("nobody waits")
	}
	runs(t, q, 1, 1)
	waiting := waits(t, q, t.Context(), 1, 1)
	if !q.Contended() {
		t.Error("one tenant has three of four")
	}
	for range 30 {
		q.Contended()
	}
	if q.Contended() {
		t.Error("nobody else has come for long")
	}
	runs(t, q, 3, 1)
	if !q.Contended() {
		t.Error("another tenant has come")
	}
	even := waits(t, q, t.Context(), 3, 1) // three of one, two of another, one of a third
	if q.Contended() {
		t.Error("nobody has most")
	}
	q.Release(id(1), id(1))
	q.Release(id(2), id(1))
	for _, done := range []<-chan error{waiting, even} {
		if err := ended(t, done); err != nil {
			t.Error(err)
		}
	}
}
