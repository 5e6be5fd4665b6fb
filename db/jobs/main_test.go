package jobs_test

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/jobs"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/dbtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimURL) != "" {
		victim()
		return
	}
	os.Exit(dbtest.Main(m))
}

const patience = 30 * time.Second

// start runs a client until the test ends, or the returned function is called,
// which waits for it.
func start(t *testing.T, d *db.DB, o jobs.Options) (*jobs.Client, func()) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	client, err := d.Jobs(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the client ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return client, stop
}

// emit writes an event without a tenant into the outbox.
func emit(t *testing.T, d *db.DB, kind, body string) {
	t.Helper()
	q := d.PlatformStore(db.ServiceAuth).Platform()
	if err := q.InsertOutbox(t.Context(), platformdb.InsertOutboxParams{Kind: kind, Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
}

// deliver runs the relay once.
func deliver(t *testing.T, d *db.DB, client *jobs.Client) {
	t.Helper()
	relay := db.NewRelay(d.PlatformStore(db.ServiceRelay), slog.New(slog.DiscardHandler), nil)
	relay.HandOverTo(client)
	if _, err := relay.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// receive takes one value, or fails after a while.
func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// until asks again and again until is true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// state is what became of the one job of a kind, and its attempts.
func state(t *testing.T, client *jobs.Client, kind string) (string, int) {
	t.Helper()
	all, err := client.Unfinished(t.Context(), false, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range all {
		if j.Kind == kind {
			return j.State, j.Attempt
		}
	}
	return "", 0
}
