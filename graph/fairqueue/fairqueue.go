// Package fairqueue shares a number of slots between tenants and their users: each
// has a cap, and where there are more who want one than slots, tenants take turns.
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

// ID names a tenant or a user.
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

	mu      sync.Mutex
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
	waiting []*waiter
}

type user struct {
	id      ID
	running int
}

type waiter struct {
	user    ID
	granted chan struct{}
}

// New returns a queue with all slots free.
func New(o Options) *Queue {
	return &Queue{options: o, tenants: map[ID]*tenant{}}
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
	t := q.tenant(tenantID)
	t.caps = caps.orElse(&q.options)
	if len(t.waiting) == 0 && q.fits(t, userID) {
		q.start(t, userID)
		q.mu.Unlock()
		return nil
	}
	switch {
	case len(t.waiting) >= q.options.TenantWaiting:
		q.forget(t)
		q.mu.Unlock()
		return ErrCrowded
	case q.waiting >= q.options.Waiting:
		q.forget(t)
		q.mu.Unlock()
		return ErrFull
	}
	w := &waiter{user: userID, granted: make(chan struct{})}
	if len(t.waiting) == 0 {
		q.line = append(q.line, t)
	}
	t.waiting = append(t.waiting, w)
	q.waiting++
	q.dispatch() // a user at the cap does not hold up the others of the tenant
	q.mu.Unlock()
	return q.wait(ctx, t, w)
}

func (q *Queue) wait(ctx context.Context, t *tenant, w *waiter) error {
	began := time.Now()
	timer := time.NewTimer(q.options.MaxWait)
	defer timer.Stop()
	var err error
	select {
	case <-w.granted:
	case <-timer.C:
		err = q.giveUp(t, w, nil)
	case <-ctx.Done():
		err = q.giveUp(t, w, context.Cause(ctx))
	}
	if err == nil && q.options.Waited != nil {
		q.options.Waited(time.Since(began))
	}
	return err
}

// giveUp ends a wait; nil if the slot came at the same moment.
func (q *Queue) giveUp(t *tenant, w *waiter, why error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, other := range t.waiting {
		if other != w {
			continue
		}
		if why == nil {
			why = ErrFull
			if t.capped(w.user) {
				why = ErrCrowded
			}
		}
		q.unqueue(t, i)
		q.forget(t)
		return why
	}
	return nil
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
		i := q.next(t)
		if i < 0 {
			q.turn()
			skipped++
			continue
		}
		skipped = 0
		w := t.waiting[i]
		q.start(t, w.user)
		q.turn()
		q.unqueue(t, i)
		close(w.granted)
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
// equals; -1 if none may start.
func (q *Queue) next(t *tenant) int {
	if t.running >= t.caps.Tenant {
		return -1
	}
	best, fewest := -1, t.caps.User
	for i, w := range t.waiting[:min(len(t.waiting), maxLook)] {
		if n := t.runningOf(w.user); n < fewest {
			best, fewest = i, n
		}
	}
	return best
}

// unqueue removes a waiter, and its tenant from the line with the last one.
func (q *Queue) unqueue(t *tenant, i int) {
	t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
	q.waiting--
	if len(t.waiting) > 0 {
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
	return q.running < q.options.Slots && !t.capped(userID)
}

func (t *tenant) capped(userID ID) bool {
	return t.running >= t.caps.Tenant || t.runningOf(userID) >= t.caps.User
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
	if t.running > 0 || len(t.waiting) > 0 || q.tenants[t.id] != t {
		return
	}
	delete(q.tenants, t.id)
	if len(q.idle) < maxIdle {
		q.idle = append(q.idle, t)
	}
}
