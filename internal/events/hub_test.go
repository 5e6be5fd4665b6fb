package events

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
)

func TestEventsReachOtherProcesses(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	one, two := newProcess(t, e.Redis.Options(), e.Prefix), newProcess(t, e.Redis.Options(), e.Prefix)
	acme, globex := e.Tenant(t), e.Tenant(t)
	readers := []*reading{one.subscribe(t, acme, nil), two.subscribe(t, acme, nil), two.subscribe(t, acme, nil)}
	stranger := two.subscribe(t, globex, nil)
	for _, r := range append(readers, stranger) {
		r.want(KindSubscribed)
	}
	one.append(t, acme, numbers(1, 100)...)
	two.append(t, acme, numbers(101, 200)...)
	two.append(t, globex, "theirs")
	for _, r := range readers {
		r.want(numbers(1, 200)...)
		r.nothing()
	}
	stranger.want("theirs")
	stranger.nothing()
}

func TestAnEventIsCompletedAndKeptWhole(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	p, acme := newProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t)
	r := p.subscribe(t, acme, nil)
	r.want(KindSubscribed)
	actor, user, session := uuid.New(), uuid.New(), uuid.New()
	full := Event{
		ID: uuid.New(), Topic: TopicActivity, Kind: "x", At: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Actor: &actor, User: &user, Session: &session, Target: "\"<\u2028>\x00", Detail: "why",
	}
	began := time.Now()
	for _, event := range []Event{full, {Topic: TopicActivity, Kind: "y"}} {
		if err := p.Append(t.Context(), acme.ID(), event); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(full, *r.next().Event); diff != "" {
		t.Error(diff)
	}
	bare := r.next()
	if bare.ID.Version() != 7 || bare.At.Before(began.Add(-time.Second)) || bare.At.Location() != time.UTC {
		t.Errorf("not completed: %+v", *bare.Event)
	}
	if err := p.Append(t.Context(), uuid.Nil, Event{}); err == nil {
		t.Error("an event of no tenant is accepted")
	}
}

func TestAnEventIsAppendedOnce(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	p, acme, globex := newProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t), e.Tenant(t)
	r, other := p.subscribe(t, acme, nil), p.subscribe(t, globex, nil)
	r.want(KindSubscribed)
	other.want(KindSubscribed)
	event := Event{ID: uuid.New(), Topic: TopicActivity, Kind: "done", Target: "once"}
	for range 3 {
		if err := p.Append(t.Context(), acme.ID(), event); err != nil {
			t.Fatal(err)
		}
	}
	// The same id elsewhere is another event.
	if err := p.Append(t.Context(), globex.ID(), event); err != nil {
		t.Fatal(err)
	}
	p.append(t, acme, "last")
	r.want("once", "last")
	other.want("once")
}

// What Handle gets is an outbox row; what it cannot read is an error each time,
// and harms nobody.
func TestOutbox(t *testing.T) {
	t.Parallel()
	e := dbtest.NewDatabase(t)
	p, acme, globex := newProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t), e.Tenant(t)
	mine, theirs := p.subscribe(t, acme, nil), p.subscribe(t, globex, nil)
	mine.want(KindSubscribed)
	theirs.want(KindSubscribed)
	relay := db.NewRelay(e.DB.PlatformStore(db.ServiceRelay), slog.New(slog.DiscardHandler), map[string]db.OutboxHandler{KindLive: p.Handle})

	emit := func(target string, result error) func(*platformdb.Queries) error {
		return func(q *platformdb.Queries) error {
			if err := Emit(t.Context(), q, acme.ID(), Event{Topic: TopicActivity, Kind: "done", Target: target}); err != nil {
				return err
			}
			return result
		}
	}
	store := e.DB.PlatformStore(db.ServiceTenant)
	undone := errors.New("undone")
	if err := store.Platform().Tx(t.Context(), emit("never", undone)); !errors.Is(err, undone) {
		t.Fatal(err)
	}
	if err := store.Platform().Tx(t.Context(), emit("across tenants", nil)); err != nil {
		t.Fatal(err)
	}
	if err := store.PlatformFor(acme).Tx(t.Context(), emit("as the tenant", nil)); err != nil {
		t.Fatal(err)
	}
	// A tenant's transaction cannot announce for another one.
	if err := store.PlatformFor(globex).Tx(t.Context(), emit("forged", nil)); err == nil {
		t.Error("globex announces in acme")
	}
	if _, err := relay.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	mine.want("across tenants", "as the tenant")
	mine.nothing()
	theirs.nothing()

	row := db.OutboxEvent{TenantID: acme.ID(), Kind: KindLive, Body: json.RawMessage(`{"id":7}`)}
	if err := p.Handle(t.Context(), row); err == nil {
		t.Error("an unreadable row is taken for an event")
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	p, acme := newProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t)
	first := p.subscribe(t, acme, nil)
	start := first.want(KindSubscribed) // before anything has happened
	p.append(t, acme, numbers(1, 5)...)
	middle := first.want(numbers(1, 3)...)
	first.Close()
	p.append(t, acme, numbers(6, 400)...) // several readings of the stream

	again := p.subscribe(t, acme, start)
	if got := again.want(KindSubscribed); *got != *start {
		t.Errorf("the first cursor is %s, want the one given, %s", *got, *start)
	}
	again.want(numbers(1, 400)...)
	later := p.subscribe(t, acme, middle)
	later.want(append([]string{KindSubscribed}, numbers(4, 400)...)...)
	p.append(t, acme, "new")
	end := later.want("new")
	again.want("new")
	p.subscribe(t, acme, end).want(KindSubscribed)
	p.subscribe(t, acme, nil).want(KindSubscribed)
}

// Other topics' events and those that the caller may not see are passed over;
// their place is resumed from like any other.
func TestFilters(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	p, acme := newProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t)
	refusal := fault.Unavailable("permissions cannot be looked up")
	allowed := true
	s, err := p.Subscribe(as(t.Context(), acme), TopicActivity, nil, func(_ context.Context, e *Event) (bool, error) {
		if e.Target == "refuse" {
			return false, refusal
		}
		return allowed, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := &reading{s, t, acme}
	r.want(KindSubscribed)
	if err := p.Append(t.Context(), acme.ID(), Event{Topic: TopicSession, Kind: "done", Target: "of another topic"}); err != nil {
		t.Fatal(err)
	}
	p.append(t, acme, "a")
	before := r.want("a")
	allowed = false // asked for each event
	p.append(t, acme, "hidden", "hidden too")
	r.nothing()
	allowed = true
	p.append(t, acme, "b", "refuse")
	r.want("b")
	if _, err := r.Next(t.Context()); !errors.Is(err, refusal) {
		t.Errorf("got %v, want the refusal", err)
	}
	// Who is refused has not moved on: another try meets the same event.
	p.subscribe(t, acme, before).want(KindSubscribed, "hidden", "hidden too", "b", "refuse")
}

func TestWhoMaySubscribe(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	p, acme := newProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t)
	if _, err := p.Subscribe(t.Context(), TopicActivity, nil, everything); !fault.Is(err, fault.CodeUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}
	var none *Hub
	if _, err := none.Subscribe(as(t.Context(), acme), TopicActivity, nil, everything); !fault.Is(err, fault.CodeUnavailable) {
		t.Errorf("without a hub: %v", err)
	}
	for _, bad := range []string{"", "x", "AA", "AQAA=", "AgAA", "AQCAAA", "AYAAAA", string(make([]byte, 1<<20)), "AQAA\n", "é"} {
		s, err := p.Subscribe(as(t.Context(), acme), TopicActivity, &bad, everything)
		if f, ok := fault.As(err); !ok || f.Code != fault.CodeInvalidInput || f.Field != "after" {
			t.Errorf("%.20q: %v, %v", bad, s, err)
		}
	}
	p.way.cut()
	if _, err := p.Subscribe(as(t.Context(), acme), TopicActivity, nil, everything); !fault.Is(err, fault.CodeUnavailable) {
		t.Errorf("without Redis: %v", err)
	}
	eventually(t, "nothing refused stays registered", func() bool { return len(p.subscriptions(acme)) == 0 })
}

// subscriptions are those of a tenant.
func (h *Hub) subscriptions(tenant db.Tenant) map[*Subscription]struct{} {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.tenants[tenant.ID()]
}

func TestEverySubscriptionEndsWithItsContext(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	acme := e.Tenant(t)
	for name, prepare := range map[string]func(*process, *reading){
		"waiting for events": func(*process, *reading) {},
		"behind":             func(p *process, r *reading) { r.lag() },
		"waiting for Redis": func(p *process, r *reading) {
			p.way.cut()
			r.lag()
		},
		"told of a gap without Redis": func(p *process, r *reading) {
			r.at = position{1, 1}
			r.lag()
			p.way.cut()
		},
		"the hub has ended": func(p *process, _ *reading) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := idleProcess(t, e.Redis.Options(), e.Prefix)
			end := p.run(t)
			r := p.subscribe(t, acme, nil)
			r.want(KindSubscribed)
			prepare(p, r)
			if name == "the hub has ended" {
				end()
			}
			ctx, cancel := context.WithCancel(as(context.Background(), acme))
			ended := make(chan error, 1)
			go func() {
				for {
					if _, err := r.Next(ctx); err != nil {
						ended <- err
						return
					}
				}
			}()
			cancel()
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("ended with %v", err)
				}
			case <-time.After(patience):
				t.Fatal("Next does not end with its context")
			}
			r.Close()
			r.Close() // again
			if left := len(p.subscriptions(acme)); left != 0 {
				t.Errorf("%d subscriptions are left", left)
			}
		})
	}
}
