package router_test

import (
	"context"
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
