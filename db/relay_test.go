package db_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
)

func TestTheOutboxIsDelivered(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.NewDatabase(t), t.Context()
	tenant := env.Tenant(t)
	errRolledBack := errors.New("rolled back")
	q := env.DB.Store(db.ServiceUser).Tenant(tenant)
	if err := q.Tx(ctx, func(q *tenantdb.Queries) error { return q.Emit(ctx, "test.kept", []byte(`{"n":1}`)) }); err != nil {
		t.Fatal(err)
	}
	if err := q.Tx(ctx, func(q *tenantdb.Queries) error {
		if err := q.Emit(ctx, "test.lost", []byte(`{}`)); err != nil {
			return err
		}
		return errRolledBack
	}); !errors.Is(err, errRolledBack) {
		t.Fatal(err)
	}
	auth := env.DB.PlatformStore(db.ServiceAuth).Platform()
	for _, kind := range []string{"test.fails", "test.panics", "test.unknown"} {
		if err := auth.InsertOutbox(ctx, platformdb.InsertOutboxParams{Kind: kind, Body: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}

	var got []string
	relay := db.NewRelay(env.DB.PlatformStore(db.ServiceRelay), slog.New(slog.DiscardHandler), map[string]db.OutboxHandler{
		"test.kept": func(_ context.Context, e db.OutboxEvent) error {
			got = append(got, e.Kind+" "+e.TenantID.String()+" "+string(e.Body))
			return nil
		},
		"test.lost":   func(context.Context, db.OutboxEvent) error { t.Error("an event that was rolled back came"); return nil },
		"test.fails":  func(context.Context, db.OutboxEvent) error { return errors.New("not now\x00\xff") },
		"test.panics": func(context.Context, db.OutboxEvent) error { panic("broken") },
	})
	if n, err := relay.Deliver(ctx); err != nil || n != 4 {
		t.Fatalf("took %d, %v; want 4", n, err)
	}
	if diff := cmp.Diff([]string{"test.kept " + tenant.String() + ` {"n": 1}`}, got); diff != "" {
		t.Error(diff)
	}
	// What failed waits for its time and is not lost.
	if n, err := relay.Deliver(ctx); err != nil || n != 0 {
		t.Errorf("took %d, %v at once again; want 0", n, err)
	}
	admin := env.Connect(t, "postgres")
	var waiting int
	if err := admin.QueryRow(ctx, `SELECT count(*) FROM platform.outbox
		WHERE attempts = 1 AND next_attempt_at > now() AND last_error <> ''`).Scan(&waiting); err != nil || waiting != 3 {
		t.Errorf("waiting: %d, %v; want 3", waiting, err)
	}
	exec(t, admin, "UPDATE platform.outbox SET next_attempt_at = now()")
	if n, err := relay.Deliver(ctx); err != nil || n != 3 {
		t.Errorf("took %d, %v; want 3 again", n, err)
	}
}

// Two relays at the same time never hold the same event.
func TestRelaysShareTheOutbox(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.NewDatabase(t), t.Context()
	auth := env.DB.PlatformStore(db.ServiceAuth).Platform()
	const events = 20
	for range events {
		if err := auth.InsertOutbox(ctx, platformdb.InsertOutboxParams{Kind: "test.once", Body: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	inside, calls := make(chan struct{}), 0
	release := make(chan struct{})
	slow := db.NewRelay(env.DB.PlatformStore(db.ServiceRelay), slog.Default(), map[string]db.OutboxHandler{
		"test.once": func(context.Context, db.OutboxEvent) error {
			if calls++; calls == 1 {
				close(inside)
				<-release
			}
			return nil
		},
	})
	ended := make(chan error)
	go func() { _, err := slow.Deliver(ctx); ended <- err }()
	<-inside
	other := db.NewRelay(env.DB.PlatformStore(db.ServiceRelay), slog.Default(), map[string]db.OutboxHandler{
		"test.once": func(context.Context, db.OutboxEvent) error { t.Error("delivered twice"); return nil },
	})
	if n, err := other.Deliver(ctx); err != nil || n != 0 {
		t.Errorf("the second relay took %d, %v; want 0", n, err)
	}
	close(release)
	if err := <-ended; err != nil || calls != events {
		t.Errorf("delivered %d, %v; want %d", calls, err, events)
	}
}
