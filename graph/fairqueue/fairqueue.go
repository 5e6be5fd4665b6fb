// Package fairqueue shares a number of slots between tenants and their users: each
// has a cap, and where there are more who want one than slots, tenants take turns. A
// tenant that has most of them while there are others may be restrained.
//
// Who finds a free slot pays a lock and no allocation. Waiting is bounded in time
// and in length. It knows no request.
package fairqueue

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Options bounds a queue. All are at least 1.
type Options struct {
	// Slots is how many run at once, PerTenant and PerUser how many of one.
	Slots, PerTenant, PerUser int
	// TenantWaiting bounds who waits of one tenant, Waiting who waits at all.
	TenantWaiting, Waiting int
	// MaxWait bounds the wait of each.
	MaxWait time.Duration
	// Waited is told how long somebody waited who then ran; nil tells nobody.
	Waited func(time.Duration)
}

// ID names a tenant or a user. The zero ID is no tenant's.
type ID [16]byte

var (
	// ErrCrowded says that the tenant or user itself has too many.
	ErrCrowded = errors.New("too many operations of one tenant or user at once")
	// ErrFull says that there are too many of all together.
	ErrFull = errors.New("too many operations at once")
)

// Queue gives slots. It is safe for concurrent use.
type Queue struct {
	options Options

	mu sync.Mutex
	// most is the tenant that has most, while Contended says so, and else the zero ID;
	// restraint is how many of it may run at once.
	most      ID
	restraint int
	// latest is whose operation came last, mixed whether another one's came since
	// Contended was called, and recent how many calls more it remembers that.
	latest ID
	mixed  bool
	recent int

	running int
	waiting int
	tenants map[ID]*tenant
	// line are the tenants of whom somebody waits, in the order of their turns.
	line []*tenant
	idle []*tenant // to be used again
}

type tenant struct {
	id ID
	// caps are those of its last operation.
	caps    Caps
	running int
	users   []user // few at a time
	// first and last are who waits, in the order of their coming.
	first, last *waiter
	waiting     int
}

type user struct {
	id      ID
	running int
}

type waiter struct {
	user       ID
	granted    chan struct{} // takes one without anybody there
	prev, next *waiter
	queued     bool
}

// waiters are used again, so that a wait costs no allocation.
var waiters = sync.Pool{New: func() any { return &waiter{granted: make(chan struct{}, 1)} }}

// New returns a queue with all slots free.
func New(o Options) *Queue {
	return &Queue{options: o, restraint: o.Slots, tenants: map[ID]*tenant{}}
}

// Restrain lets n operations at once run, between 1 and Options.Slots, of the tenant
// that Contended last found to have most, as long as it finds one. Those that run go on.
func (q *Queue) Restrain(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.restraint = min(max(n, 1), q.options.Slots)
	q.dispatch()
}

// room is how many of a tenant may run at once.
func (q *Queue) room(t *tenant) int {
	if t.id == q.most {
		return min(t.caps.Tenant, q.restraint)
	}
	return t.caps.Tenant
}

// remembered is for how many calls of Contended another tenant counts.
const remembered = 20

// Contended reports whether somebody waits and one tenant has more than half of what
// runs and waits, although there are others: one has come since the last twenty
// calls. That tenant is restrained until the next call. It is for one caller.
func (q *Queue) Contended() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := q.most
	q.most = q.findMost()
	if before != q.most {
		q.dispatch() // who is not restrained any more
	}
	return q.most != ID{}
}

func (q *Queue) findMost() (found ID) {
	q.recent = max(q.recent-1, 0)
	if q.mixed {
		q.mixed, q.recent = false, remembered
	}
	if q.waiting == 0 || q.recent == 0 {
		return found
	}
	for id, t := range q.tenants {
		if 2*(t.running+t.waiting) > q.running+q.waiting {
			return id
		}
	}
	return found
}

// Crowded reports whether Acquire would refuse this tenant now, with ErrCrowded or
// ErrFull; nil says nothing about a moment later.
func (q *Queue) Crowded(tenantID ID) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.tenants[tenantID]; t != nil {
		return q.refusal(t)
	}
	return nil
}

func (q *Queue) refusal(t *tenant) error {
	switch {
	case t.waiting >= q.options.TenantWaiting:
		return ErrCrowded
	case q.waiting >= q.options.Waiting:
		return ErrFull
	}
	return nil
}

// Caps bound what runs at once of one tenant and of each of its users. A zero is
// the queue's own.
type Caps struct{ Tenant, User int }

func (c Caps) orElse(o *Options) Caps {
	if c.Tenant <= 0 {
		c.Tenant = o.PerTenant
	}
	if c.User <= 0 {
		c.User = o.PerUser
	}
	return c
}

// Acquire takes a slot, or waits for one. It fails with ErrCrowded or ErrFull, or with
// ctx's error; only after success a Release of the same ids is due.
func (q *Queue) Acquire(ctx context.Context, tenantID, userID ID) error {
	return q.AcquireWithin(ctx, tenantID, userID, Caps{})
}

// AcquireWithin is Acquire for a tenant with caps of its own, which hold from now on
// for those of it who wait, too.
func (q *Queue) AcquireWithin(ctx context.Context, tenantID, userID ID, caps Caps) error {
	q.mu.Lock()
	t, started := q.begin(tenantID, userID, caps)
	if started {
		q.mu.Unlock()
		return nil
	}
	if err := q.refusal(t); err != nil {
		q.forget(t)
		q.mu.Unlock()
		return err
	}
	return q.wait(ctx, t, userID, q.options.MaxWait)
}

// AwaitWithin is AcquireWithin for what may not be refused: it waits until ctx ends,
// however many wait already. Something else must bound how many that are.
func (q *Queue) AwaitWithin(ctx context.Context, tenantID, userID ID, caps Caps) error {
	q.mu.Lock()
	t, started := q.begin(tenantID, userID, caps)
	if started {
		q.mu.Unlock()
		return nil
	}
	return q.wait(ctx, t, userID, 0)
}

// begin starts the user's operation, if it need not wait; q.mu is held.
func (q *Queue) begin(tenantID, userID ID, caps Caps) (_ *tenant, started bool) {
	if tenantID != q.latest {
		q.latest, q.mixed = tenantID, true
	}
	t := q.tenant(tenantID)
	t.caps = caps.orElse(&q.options)
	if t.waiting > 0 || !q.fits(t, userID) {
		return t, false
	}
	q.start(t, userID)
	return t, true
}

// wait queues the user; q.mu is held and given back. A patience of 0 has no end.
func (q *Queue) wait(ctx context.Context, t *tenant, userID ID, patience time.Duration) error {
	w := waiters.Get().(*waiter)
	w.user = userID
	q.queue(t, w)
	q.dispatch() // a user at the cap does not hold up the others of the tenant
	q.mu.Unlock()
	began := time.Now()
	var late <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	var err error
	select {
	case <-w.granted:
	case <-late:
		err = q.giveUp(t, w, nil)
	case <-ctx.Done():
		err = q.giveUp(t, w, context.Cause(ctx))
	}
	w.next, w.prev = nil, nil
	waiters.Put(w)
	if err == nil && q.options.Waited != nil {
		q.options.Waited(time.Since(began))
	}
	return err
}

// giveUp ends a wait; nil if the slot came at the same moment.
func (q *Queue) giveUp(t *tenant, w *waiter, why error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !w.queued {
		<-w.granted // it is there
		return nil
	}
	if why == nil {
		why = ErrFull
		if q.capped(t, w.user) {
			why = ErrCrowded
		}
	}
	q.unqueue(t, w)
	q.forget(t)
	return why
}

// Release gives a slot back, to who is next.
func (q *Queue) Release(tenantID, userID ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tenants[tenantID]
	t.running--
	q.running--
	for i := range t.users {
		if t.users[i].id == userID {
			if t.users[i].running--; t.users[i].running == 0 {
				t.users[i] = t.users[len(t.users)-1]
				t.users = t.users[:len(t.users)-1]
			}
			break
		}
	}
	if q.waiting > 0 {
		q.dispatch()
	}
	q.forget(t)
}

// Restraint returns how many may run at the moment of a tenant that has most.
func (q *Queue) Restraint() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.restraint
}

// Count returns how many run and wait.
func (q *Queue) Count() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running, q.waiting
}

// dispatch starts whom there is room for, one of each tenant in turn.
func (q *Queue) dispatch() {
	for skipped := 0; skipped < len(q.line) && q.running < q.options.Slots; {
		t := q.line[0]
		w := q.next(t)
		if w == nil {
			q.turn()
			skipped++
			continue
		}
		skipped = 0
		q.start(t, w.user)
		q.turn()
		q.unqueue(t, w)
		w.granted <- struct{}{}
	}
}

// turn lets the first tenant of the line be the last.
func (q *Queue) turn() {
	first := q.line[0]
	copy(q.line, q.line[1:])
	q.line[len(q.line)-1] = first
}

// maxLook bounds how many waiters are compared.
const maxLook = 64

// next is the waiter of a tenant whose user has the fewest running, the first of
// equals; nil if none may start.
func (q *Queue) next(t *tenant) *waiter {
	if t.running >= q.room(t) {
		return nil
	}
	var best *waiter
	fewest, looked := t.caps.User, 0
	for w := t.first; w != nil && looked < maxLook && fewest > 0; w, looked = w.next, looked+1 {
		if n := t.runningOf(w.user); n < fewest {
			best, fewest = w, n
		}
	}
	return best
}

// queue adds a waiter, and its tenant to the line with the first one.
func (q *Queue) queue(t *tenant, w *waiter) {
	if t.last == nil {
		t.first = w
		q.line = append(q.line, t)
	} else {
		t.last.next, w.prev = w, t.last
	}
	t.last, w.queued = w, true
	t.waiting++
	q.waiting++
}

// unqueue removes a waiter, and its tenant from the line with the last one.
func (q *Queue) unqueue(t *tenant, w *waiter) {
	if w.prev == nil {
		t.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		t.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.queued = false
	t.waiting--
	q.waiting--
	if t.waiting > 0 {
		return
	}
	for at, other := range q.line {
		if other == t {
			q.line = append(q.line[:at], q.line[at+1:]...)
			return
		}
	}
}

func (q *Queue) fits(t *tenant, userID ID) bool {
	return q.running < q.options.Slots && !q.capped(t, userID)
}

func (q *Queue) capped(t *tenant, userID ID) bool {
	return t.running >= q.room(t) || t.runningOf(userID) >= t.caps.User
}

func (q *Queue) start(t *tenant, userID ID) {
	q.running++
	t.running++
	for i := range t.users {
		if t.users[i].id == userID {
			t.users[i].running++
			return
		}
	}
	t.users = append(t.users, user{id: userID, running: 1})
}

func (t *tenant) runningOf(userID ID) int {
	for i := range t.users {
		if t.users[i].id == userID {
			return t.users[i].running
		}
	}
	return 0
}

// maxIdle bounds the tenants that are kept to be used again.
const maxIdle = 256

func (q *Queue) tenant(id ID) *tenant {
	if t := q.tenants[id]; t != nil {
		return t
	}
	var t *tenant
	if n := len(q.idle); n > 0 {
		t, q.idle = q.idle[n-1], q.idle[:n-1]
	} else {
		t = &tenant{}
	}
	t.id = id
	q.tenants[id] = t
	return t
}

// forget drops a tenant of whom nobody runs or waits.
func (q *Queue) forget(t *tenant) {
	if t.running > 0 || t.waiting > 0 || q.tenants[t.id] != t {
		return
	}
	delete(q.tenants, t.id)
	if len(q.idle) < maxIdle {
		q.idle = append(q.idle, t)
	}
}
