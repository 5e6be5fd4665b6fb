package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/fairqueue"
	"github.com/tradesage/tradesage/graph/pace"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// Concurrency bounds what runs at once, beside Options.MaxConcurrent. A zero means
// the default. An operation runs from before its text is read until its answer is
// ready; of a subscription its start counts, and each event by itself. Operations
// that check a secret have as many slots again, for themselves: they wait for each
// other's hashes, and nobody else should.
type Concurrency struct {
	// Least is how many operations at once a tenant may be left with that has most of
	// what runs and waits, while operations take much longer than alone: it waits for
	// its turn, and not the others for cores and connections that it has. By default no
	// tenant is restrained so.
	Least int
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
type share struct {
	tenant, user fairqueue.ID
	caps         fairqueue.Caps
}

func (r *Router) shareOf(ctx context.Context) (s share) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		s.tenant = fairqueue.ID(addressID(ctx))
		s.user = s.tenant
		return s
	}
	s.tenant, s.user = fairqueue.ID(caller.Tenant.ID()), fairqueue.ID(caller.Subject)
	if of := r.policy.Load().caps; of != nil {
		s.caps.Tenant, s.caps.User = of(caller)
	}
	return s
}

// slot is what one operation holds; the zero value holds nothing. One goroutine uses
// it at a time.
type slot struct {
	of *fairqueue.Queue // nil while nothing is held
	share
	// pace is told how long an operation takes, once it is known; nil is not.
	pace  *pace.Pace
	task  *pace.Task
	since time.Time
}

// enter waits for a slot for the caller of ctx. It fails with RATE_LIMITED where
// the tenant or user has too many, and with UNAVAILABLE where all have.
func (s *slot) enter(ctx context.Context, r *Router, class *class) error {
	s.share = r.shareOf(ctx)
	return s.take(ctx, r.slots, class)
}

func (s *slot) take(ctx context.Context, of *fairqueue.Queue, class *class) error {
	if err := of.AcquireWithin(ctx, s.tenant, s.user, s.caps); err != nil {
		return class.crowded(err)
	}
	s.of, s.since = of, time.Now()
	return nil
}

// suit notes what the slot is for and changes it for the kind that this needs. It
// fails like enter.
func (s *slot) suit(ctx context.Context, r *Router, class *class, op *operation) error {
	if op.trigger == nil {
		s.pace, s.task = r.pace, &op.task
	}
	if op.kind != ast.OperationTypeMutation || !op.size.ChecksSecrets() || s.of != r.slots {
		return nil
	}
	s.pace = nil
	s.leave()
	return s.take(ctx, r.secrets, class)
}

// leave gives back what is held.
func (s *slot) leave() {
	if s.of != nil {
		s.of.Release(s.tenant, s.user)
		s.of = nil
		if s.pace != nil {
			s.pace.Ran(s.task, time.Since(s.since))
		}
	}
}

// crowded refuses a request that enter would refuse, before anything of it is read.
func (r *Router) crowded(ctx context.Context, class *class) error {
	if err := r.slots.Crowded(r.shareOf(ctx).tenant); err != nil {
		return class.crowded(err)
	}
	return nil
}

// await takes a slot for an event, which is never refused: connections bound how
// many there are. It fails when ctx ends.
func (s *slot) await(ctx context.Context, r *Router) error {
	s.share = r.shareOf(ctx)
	if err := r.slots.AwaitWithin(ctx, s.tenant, s.user, s.caps); err != nil {
		return err
	}
	s.of = r.slots
	return nil
}

// crowded is the answer to who got no slot.
func (c *class) crowded(err error) error {
	switch {
	case errors.Is(err, fairqueue.ErrCrowded):
		c.refused("concurrency")
		return fault.RateLimited("too many operations run at once for this tenant or user; try again", time.Second)
	case errors.Is(err, fairqueue.ErrFull):
		c.refused("concurrency")
	}
	full := fault.Unavailable("too many operations run at once; try again")
	full.RetryAfter = time.Second
	return full.Because(err)
}

// openSlots makes the queues; ctx ends what paces them.
func (r *Router) openSlots(ctx context.Context, registry prometheus.Registerer) error {
	most, waited := r.options.MaxConcurrent, func(d time.Duration) { r.metrics.waited.Observe(d.Seconds()) }
	queue := r.options.Concurrency.options(most, waited)
	r.slots, r.secrets = fairqueue.New(queue), fairqueue.New(queue)
	if least := r.options.Concurrency.Least; least > 0 && least < most {
		r.pace = pace.New(pace.Options{
			Least: least, Most: most, Set: r.slots.Restrain, Contended: r.slots.Contended,
		})
		go r.pace.Run(ctx)
	}
	if err := r.metrics.registerSlots(registry, r.slots, r.secrets); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func (m *metrics) registerSlots(registry prometheus.Registerer, queues ...*fairqueue.Queue) error {
	if registry == nil {
		return nil
	}
	gauge := func(name, help string, value func(*fairqueue.Queue) int) error {
		return registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			sum := 0
			for _, q := range queues {
				sum += value(q)
			}
			return float64(sum)
		}))
	}
	return errors.Join(
		gauge("tradesage_router_running", "Operations that run.", func(q *fairqueue.Queue) int { n, _ := q.Count(); return n }),
		gauge("tradesage_router_waiting", "Operations that wait for a slot.", func(q *fairqueue.Queue) int { _, n := q.Count(); return n }),
		registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tradesage_router_restraint", Help: "Operations that may run at once at the moment of a tenant that has most of what runs and waits, beside others.",
		}, func() float64 { return float64(queues[0].Restraint()) })),
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
