package events

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/backing"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // tests cut ways
	os.Exit(dbtest.Main(m))
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// patience bounds every wait for what must happen; machines are busy.
const patience = time.Minute

// process is the hub of one process, on a way to Redis of its own.
type process struct {
	*Hub
	way *way
}

// newProcess returns a hub that follows the feed until the test ends.
func newProcess(t testing.TB, to *redis.Options, prefix string) *process {
	t.Helper()
	p := idleProcess(t, to, prefix)
	p.run(t)
	return p
}

// idleProcess is newProcess before Run.
func idleProcess(t testing.TB, to *redis.Options, prefix string) *process {
	t.Helper()
	w := newWay(to)
	options := redis.Options{
		Network: to.Network, Addr: to.Addr, Dialer: w.dial, DialerRetries: 1, MaxRetries: -1, ContextTimeoutEnabled: true,
	}
	client := redis.NewClient(&options)
	t.Cleanup(func() { _ = client.Close() })
	hub, err := New(Options{Redis: client, Prefix: prefix, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return &process{hub, w}
}

// run follows the feed until the test or the returned function ends it.
func (p *process) run(t testing.TB) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	var once sync.Once
	end = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(end)
	return end
}

// way is a process's way to Redis, which can be cut, and can lead elsewhere.
type way struct {
	mu    sync.Mutex
	to    *redis.Options
	shut  bool
	conns []net.Conn
}

func newWay(to *redis.Options) *way { return &way{to: to} }

func (w *way) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		return nil, errors.New("the way is cut")
	}
	conn, err := new(net.Dialer).DialContext(ctx, w.to.Network, w.to.Addr)
	if err == nil {
		w.conns = append(w.conns, conn)
	}
	return conn, err
}

func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut = true
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	w.conns = nil
}

// mend opens the way again, to another Redis unless to is nil.
func (w *way) mend(to *redis.Options) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut = false
	if to != nil {
		w.to = to
	}
}

// ownRedis is a Redis that nothing else uses, for tests that hurt it.
func ownRedis(t testing.TB) *redis.Client {
	t.Helper()
	services, err := backing.Start(t.Context(), backing.Options{Temporary: true, Redis: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := services.Close(); err != nil {
			t.Error(err)
		}
	})
	options, err := redis.ParseURL(services.RedisURL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// as is a context of a caller in the tenant.
func as(ctx context.Context, tenant db.Tenant) context.Context {
	return identity.NewContext(ctx, &identity.Caller{Subject: uuid.New(), Session: uuid.New(), Tenant: tenant})
}

func everything(context.Context, *Event) (bool, error) { return true, nil }

// reading is a subscription of a test, which ends with it.
type reading struct {
	*Subscription
	t      testing.TB
	tenant db.Tenant
}

func (p *process) subscribe(t testing.TB, tenant db.Tenant, after *string) *reading {
	t.Helper()
	s, err := p.Subscribe(as(t.Context(), tenant), TopicActivity, after, everything)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &reading{s, t, tenant}
}

func (r *reading) next() Delivery {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(as(r.t.Context(), r.tenant), patience)
	defer cancel()
	d, err := r.Next(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// want takes the next events and compares their kinds, except that of a marker
// with their targets. It returns the last one's cursor.
func (r *reading) want(wanted ...string) *string {
	r.t.Helper()
	var cursor string
	for _, want := range wanted {
		d := r.next()
		got := d.Kind
		if got == "done" {
			got = d.Target
		}
		if got != want {
			r.t.Fatalf("got %s, want %s of %v", got, want, wanted)
		}
		cursor = d.Cursor
	}
	return &cursor
}

// nothing proves that nothing waits for the subscription: it stops as soon as it
// would have to wait.
func (r *reading) nothing() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(as(r.t.Context(), r.tenant), 50*time.Millisecond)
	defer cancel()
	if d, err := r.Next(ctx); err == nil {
		r.t.Fatalf("got %+v", *d.Event)
	}
}

func (p *process) append(t testing.TB, tenant db.Tenant, targets ...string) {
	t.Helper()
	for _, target := range targets {
		if err := p.Append(t.Context(), tenant.ID(), Event{Topic: TopicActivity, Kind: "done", Target: target}); err != nil {
			t.Fatal(err)
		}
	}
}

// numbers are the targets from one number to another.
func numbers(from, to int) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

// eventually waits for what nothing announces.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}
