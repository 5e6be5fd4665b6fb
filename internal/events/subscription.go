package events

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/aside"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// startWithin bounds the wait for Redis when a subscription begins.
const startWithin = 3 * time.Second

// Admit says whether the caller of ctx may see an event now. It is asked before
// each delivery; an error ends the subscription.
type Admit func(ctx context.Context, e *Event) (bool, error)

// Subscription is one reading of a tenant's events. It is used by one goroutine
// and must be closed.
type Subscription struct {
	hub    *Hub
	tenant uuid.UUID
	topic  Topic
	admit  Admit

	queue queue
	// woken tells Next that there may be something; nil until it waits.
	woken chan struct{}

	at      position // of the last entry that was looked at
	pending []entry  // read from the stream, not yet looked at
	reading bool     // there may be more in the stream than in the queue
	missed  bool     // what came after at is gone, of which the caller has not heard yet
	started bool
}

// Delivery is one event of a subscription.
type Delivery struct {
	*Event
	// Cursor is where to resume after this event.
	Cursor string
}

var errNoFeed = fault.Unavailable("live events cannot be followed at the moment; try again")

// Subscribe follows a topic in the tenant of ctx's caller. After nil it begins
// now, else after the event with this cursor. The first event is of
// KindSubscribed, or of KindGap where what came after the cursor is no longer
// kept.
//
// It fails with UNAUTHENTICATED without a caller, INVALID_INPUT of after, and
// UNAVAILABLE without Redis or on a nil hub.
func (h *Hub) Subscribe(ctx context.Context, topic Topic, after *string, admit Admit) (*Subscription, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return nil, errNoFeed
	}
	s := &Subscription{
		hub: h, tenant: caller.Tenant.ID(), topic: topic, admit: admit,
	}
	// Not a child of ctx, which would remember for as long as it lives that it had one.
	// Redis's client looks at nothing but the deadline anyway.
	starting, cancel := context.WithTimeout(context.WithoutCancel(ctx), startWithin)
	defer cancel()
	if after != nil {
		if s.at, err = parseCursor(*after); err != nil {
			return nil, err
		}
	} else if s.at, err = h.head(starting, s.tenant); err != nil {
		return nil, errNoFeed.Because(err)
	}
	// Queue first, then read: what is appended between the two is met in both, and
	// skipped the second time.
	h.add(s)
	s.pending, err = h.read(starting, s.tenant, s.at)
	if err != nil && !errors.Is(err, errMissed) {
		h.remove(s)
		return nil, errNoFeed.Because(err)
	}
	s.missed = err != nil
	s.reading = len(s.pending) > 0 // a full batch may not be all
	return s, nil
}

// Close ends the subscription.
func (s *Subscription) Close() { s.hub.remove(s) }

// Next waits for the next event that the caller may see. It fails when ctx ends,
// and with what Admit fails with. While Redis does not answer it waits.
func (s *Subscription) Next(ctx context.Context) (Delivery, error) {
	if s.woken == nil {
		s.woken = make(chan struct{}, 1)
	}
	wake := func() {
		select {
		case s.woken <- struct{}{}:
		default:
		}
	}
	// Its goroutine waits here for hours: no deep stack may stay with it.
	admit := func(ctx context.Context, e *Event) (admitted bool, err error) {
		aside.Run(func() { admitted, err = s.admit(ctx, e) })
		return admitted, err
	}
	for {
		d, found, err := s.look(ctx, admit, wake)
		if found || err != nil {
			return d, err
		}
		select {
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		case <-s.woken:
		}
	}
}

// Poll is Next for who does not wait: where nothing has happened it is false, and
// wake is called once, perhaps before Poll returns, when something may have. It does
// wait for Redis and for Admit, and then yields.
func (s *Subscription) Poll(ctx context.Context, wake func()) (Delivery, bool, error) {
	return s.look(ctx, s.admit, wake)
}

// look returns the next event that admit lets pass; it is false where there is none,
// and wake will be called.
func (s *Subscription) look(ctx context.Context, admit Admit, wake func()) (Delivery, bool, error) {
	if !s.started && !s.missed {
		s.started = true
		return s.marker(KindSubscribed), true, nil
	}
	for {
		if s.missed {
			d, err := s.gap(ctx)
			return d, err == nil, err
		}
		e, found, err := s.next(ctx, wake)
		if errors.Is(err, errMissed) {
			s.missed = true
			continue
		}
		if err != nil || !found {
			return Delivery{}, false, err
		}
		if !e.at.after(s.at) {
			continue
		}
		if e.event == nil || e.event.Topic != s.topic {
			s.at = e.at
			continue
		}
		admitted, err := admit(ctx, e.event)
		if err != nil {
			return Delivery{}, false, err
		}
		s.at = e.at
		if admitted {
			s.hub.metrics.delivered.Inc()
			return Delivery{e.event, e.at.cursor()}, true, nil
		}
	}
}

// next returns the next entry from memory, or from the stream where memory does
// not hold all. It is false where there is none, and wake will be called.
func (s *Subscription) next(ctx context.Context, wake func()) (entry, bool, error) {
	for {
		if err := ctx.Err(); err != nil {
			return entry{}, false, err
		}
		if s.queue.caughtUp() {
			s.pending, s.reading = nil, true
		}
		if len(s.pending) > 0 {
			e := s.pending[0]
			s.pending = s.pending[1:]
			return e, true, nil
		}
		if s.reading {
			if err := s.read(ctx); err != nil {
				return entry{}, false, err
			}
			continue
		}
		if e, found := s.queue.take(wake); found != lagging {
			return e, found == taken, nil
		}
	}
}

// read fills pending from the stream; it tries again while Redis does not
// answer.
func (s *Subscription) read(ctx context.Context) error {
	aside.Yield(ctx)
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		found, err := s.hub.read(ctx, s.tenant, s.at)
		if err == nil || errors.Is(err, errMissed) {
			s.pending, s.reading = found, len(found) > 0
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// gap goes on from the end of the stream, and says so.
func (s *Subscription) gap(ctx context.Context) (Delivery, error) {
	aside.Yield(ctx)
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		head, err := s.hub.head(ctx, s.tenant)
		if err == nil {
			s.at, s.pending, s.reading, s.missed, s.started = head, nil, true, false, true
			s.hub.metrics.gaps.Inc()
			return s.marker(KindGap), nil
		}
		select {
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (s *Subscription) marker(kind string) Delivery {
	e := &Event{Topic: s.topic, Kind: kind, ID: uuid.New(), At: time.Now().UTC()}
	return Delivery{e, s.at.cursor()}
}

// push queues an entry, or notes that memory no longer holds all.
func (s *Subscription) push(e entry) {
	if !s.queue.add(e) {
		s.hub.metrics.dropped.Inc()
	}
}

// lag makes the subscription read its stream again, from where it is.
func (s *Subscription) lag() { s.queue.lag() }
