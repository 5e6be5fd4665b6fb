package router

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/fairqueue"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// Concurrency bounds what runs at once, beside Options.MaxConcurrent. A zero means
// the default. Of subscriptions only the operation that starts one counts.
type Concurrency struct {
	// Tenant and User bound the operations of one tenant and of one user, by default
	// as many as run at all. Who is not signed in counts by the address, as a tenant
	// of one user.
	Tenant, User int
	// TenantWaiting bounds the operations of one tenant that wait, by default 256;
	// Waiting those of all, by default 4,096.
	TenantWaiting, Waiting int
	// MaxWait bounds the wait of each; default 5 s.
	MaxWait time.Duration
	// Of tells the caps of who is signed in; nil, or 0, is Tenant and User. It must not
	// wait.
	Of func(*identity.Caller) (tenant, user int)
}

func (c Concurrency) options(slots int, waited func(time.Duration)) fairqueue.Options {
	for _, d := range []struct {
		value    *int
		fallback int
	}{{&c.Tenant, slots}, {&c.User, slots}, {&c.TenantWaiting, 256}, {&c.Waiting, 4096}} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	if c.MaxWait <= 0 {
		c.MaxWait = 5 * time.Second
	}
	return fairqueue.Options{
		Slots: slots, PerTenant: c.Tenant, PerUser: c.User,
		TenantWaiting: c.TenantWaiting, Waiting: c.Waiting, MaxWait: c.MaxWait, Waited: waited,
	}
}

// share is whose slot an operation takes.
type share struct{ tenant, user fairqueue.ID }

// enter waits for a slot for the caller of ctx. It fails with RATE_LIMITED where
// the tenant or user has too many, and with UNAVAILABLE where all have.
func (r *Router) enter(ctx context.Context) (share, error) {
	var s share
	var caps fairqueue.Caps
	if caller, err := identity.FromContext(ctx); err == nil {
		s = share{fairqueue.ID(caller.Tenant.ID()), fairqueue.ID(caller.Subject)}
		if of := r.options.Concurrency.Of; of != nil {
			caps.Tenant, caps.User = of(caller)
		}
	} else {
		address := fairqueue.ID(addressID(ctx))
		s = share{address, address}
	}
	err := r.slots.AcquireWithin(ctx, s.tenant, s.user, caps)
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, fairqueue.ErrCrowded):
		r.classOf(ctx).refused("concurrency")
		return s, fault.RateLimited("too many operations run at once for this tenant or user; try again", time.Second)
	case errors.Is(err, fairqueue.ErrFull):
		r.classOf(ctx).refused("concurrency")
	}
	full := fault.Unavailable("too many operations run at once; try again")
	full.RetryAfter = time.Second
	return s, full.Because(err)
}

func (r *Router) leave(s share) { r.slots.Release(s.tenant, s.user) }

func (m *metrics) registerSlots(registry prometheus.Registerer, q *fairqueue.Queue) error {
	if registry == nil {
		return nil
	}
	gauge := func(name, help string, value func() float64) error {
		return registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	return errors.Join(
		gauge("tradesage_router_running", "Operations that run.", func() float64 { n, _ := q.Count(); return float64(n) }),
		gauge("tradesage_router_waiting", "Operations that wait for a slot.", func() float64 { _, n := q.Count(); return float64(n) }),
		registry.Register(m.waited),
	)
}

func newWaited() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "tradesage_router_wait_seconds",
		Help:    "How long operations waited for a slot that none was free for at once.",
		Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 2.5, 5},
	})
}
