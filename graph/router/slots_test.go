package router_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// One tenant at its cap waits or is refused, and others go on.
func TestATenantAtItsCap(t *testing.T) {
	t.Parallel()
	hold, began := make(chan struct{}), make(chan struct{}, 8)
	r := newRated(t, func(o *router.Options) {
		o.MaxConcurrent = 8
		o.Concurrency = router.Concurrency{Tenant: 1, TenantWaiting: 1, MaxWait: time.Minute}
	})
	users := r.users
	echo := users.fields["Query.echo"]
	users.fields["Query.echo"] = func(ctx context.Context, parent, args object) (any, error) {
		if args["value"] == "hold" {
			began <- struct{}{}
			<-hold
		}
		return echo(ctx, parent, args)
	}
	var all sync.WaitGroup
	ask := func() {
		all.Go(func() {
			if got := r.ask(t, `{"query":"{ echo(value: \"hold\") }"}`, "ada@one", ""); got.status != http.StatusOK {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	ask()
	<-began
	ask() // waits
	deadline, tick := time.After(30*time.Second), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for metric(t, r.registry, "tradesage_router_waiting", "") != 1 {
		select {
		case <-deadline:
			t.Fatal("nobody waits")
		case <-tick.C:
		}
	}
	got := r.ask(t, smallBody, "bob@one", "")
	wantError(t, got, fault.CodeRateLimited, "too many operations run at once")
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "1" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := r.ask(t, smallBody, "cyd@two", ""); got.status != http.StatusOK {
		t.Errorf("another tenant: %d %s", got.status, got.body)
	}
	close(hold)
	all.Wait()
}

// Beyond what may wait a request is refused before anything of it is read.
func TestACrowdedTenantIsNotRead(t *testing.T) {
	t.Parallel()
	hold, began := make(chan struct{}), make(chan struct{}, 1)
	r := newRated(t, func(o *router.Options) {
		o.MaxConcurrent = 4
		o.Concurrency = router.Concurrency{Tenant: 1, TenantWaiting: 1, MaxWait: time.Minute}
	})
	r.holdTouch(began, hold)
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	var all sync.WaitGroup
	for range 2 { // one runs, one waits
		all.Go(func() {
			if got := r.ask(t, `{"query":"mutation { touch }"}`, "ada@one", ""); got.status != http.StatusOK {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	<-began
	r.awaitMetric(t, "tradesage_router_waiting", 1)
	got := r.ask(t, "no JSON", "bob@one", "")
	wantError(t, got, fault.CodeRateLimited, "too many operations run at once")
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "1" {
		t.Errorf("%d %v", got.status, got.header)
	}
	release()
	all.Wait()
}

// A client that is slow to send its body holds up nobody.
func TestASlowBodyHoldsNoSlot(t *testing.T) {
	t.Parallel()
	r := newRated(t, func(o *router.Options) { o.MaxConcurrent = 1 })
	body, send := io.Pipe()
	var slow sync.WaitGroup
	slow.Go(func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.server.URL, body)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "ada@one")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("at last: %d", resp.StatusCode)
		}
	})
	if _, err := io.WriteString(send, smallBody[:10]); err != nil {
		t.Fatal(err)
	}
	if got := r.ask(t, smallBody, "bob@one", ""); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	if _, err := io.WriteString(send, smallBody[10:]); err != nil {
		t.Fatal(err)
	}
	if err := send.Close(); err != nil {
		t.Fatal(err)
	}
	slow.Wait()
}

// Who waits for a secret to be checked takes no slot from others.
func TestSecretsHaveSlotsOfTheirOwn(t *testing.T) {
	t.Parallel()
	hold, began := make(chan struct{}), make(chan struct{}, 1)
	r := newRated(t, func(o *router.Options) {
		o.MaxConcurrent = 1
		o.Limits.Guarded = []string{"touch"}
	})
	r.holdTouch(began, hold)
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	var all sync.WaitGroup
	for _, who := range []string{"ada@one", "cyd@two"} {
		all.Go(func() {
			if got := r.ask(t, `{"query":"mutation { touch }"}`, who, ""); got.status != http.StatusOK {
				t.Errorf("%s: %d %s", who, got.status, got.body)
			}
		})
	}
	<-began
	r.awaitMetric(t, "tradesage_router_waiting", 1)
	if got := r.ask(t, smallBody, "bob@one", ""); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	release()
	all.Wait()
}

// Of one tenant as many run as Concurrency.Least and Options.MaxConcurrent say.
func TestRestraintIsBounded(t *testing.T) {
	t.Parallel()
	r := newRated(t, func(o *router.Options) {
		o.MaxConcurrent = 64
		o.Concurrency.Least = 2
	})
	if n := metric(t, r.registry, "tradesage_router_restraint", ""); n < 2 || n > 64 {
		t.Errorf("restraint %v", n)
	}
	if got := r.ask(t, smallBody, "bob@one", ""); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// holdTouch lets the mutation touch wait for hold.
func (r *rated) holdTouch(began chan<- struct{}, hold <-chan struct{}) {
	r.users.fields["Mutation.touch"] = func(context.Context, object, object) (any, error) {
		select {
		case began <- struct{}{}:
		default:
		}
		<-hold
		return 1, nil
	}
}

func (r *rated) awaitMetric(t *testing.T, name string, wanted float64) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for metric(t, r.registry, name, "") != wanted {
		select {
		case <-deadline:
			t.Fatalf("%s is never %v", name, wanted)
		case <-tick.C:
		}
	}
}

// The caps of a caller can be told for each.
func TestCapsByCaller(t *testing.T) {
	t.Parallel()
	hold, began := make(chan struct{}), make(chan struct{}, 8)
	var small *identity.Caller
	r := newRated(t, func(o *router.Options) {
		o.MaxConcurrent = 8
		o.Concurrency = router.Concurrency{MaxWait: time.Millisecond, Of: func(c *identity.Caller) (tenant, user int) {
			if c == small {
				return 1, 0
			}
			return 0, 0
		}}
	})
	small = r.callers["cyd@two"]
	echo := r.users.fields["Query.echo"]
	r.users.fields["Query.echo"] = func(ctx context.Context, parent, args object) (any, error) {
		if args["value"] == "hold" {
			began <- struct{}{}
			<-hold
		}
		return echo(ctx, parent, args)
	}
	var all sync.WaitGroup
	for _, who := range []string{"ada@one", "cyd@two"} {
		all.Go(func() {
			if got := r.ask(t, `{"query":"{ echo(value: \"hold\") }"}`, who, ""); got.status != http.StatusOK {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
		<-began
	}
	wantError(t, r.ask(t, smallBody, "cyd@two", ""), fault.CodeRateLimited, "too many operations run at once")
	if got := r.ask(t, smallBody, "ada@one", ""); got.status != http.StatusOK {
		t.Errorf("another tenant: %d %s", got.status, got.body)
	}
	close(hold)
	all.Wait()
}
