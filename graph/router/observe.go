package router

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// Observing bounds what is told of single operations and tenants. A zero means the
// default.
type Observing struct {
	// Operations is how many operation names have series of their own; default 200.
	// The rest counts as "other", operations without a name as "".
	Operations int
	// Tenants is how many tenants have series of their own; default 100. Tenants that
	// have not asked for an hour make room, what finds none counts as "other".
	Tenants int
	// Slow is from which duration an operation is logged by itself; default 1 s,
	// negative for never.
	Slow time.Duration
}

func (o Observing) withDefaults() Observing {
	if o.Operations <= 0 {
		o.Operations = 200
	}
	if o.Tenants <= 0 {
		o.Tenants = 100
	}
	if o.Slow == 0 {
		o.Slow = time.Second
	}
	return o
}

// other is the label of what has no series of its own.
const other = "other"

// maxShownName bounds the name of an operation in logs, traces and metrics, in bytes:
// it may be as long as a request.
const maxShownName = 128

func shown(name string) string { return clienterr.Clip(name, maxShownName) }

// observe tells of an operation that has ended, nil for one that could not be
// prepared. ctx holds its caller.
func (r *Router) observe(ctx context.Context, op *operation, outcome string, start time.Time) {
	took := time.Since(start)
	kind := ast.OperationTypeUnknown
	if op != nil {
		kind = op.kind
	}
	r.metrics.observe(kind, outcome, took)
	if caller, err := identity.FromContext(ctx); err == nil {
		r.metrics.tenants.of(caller.Tenant.ID()).observe(outcome, took)
	}
	if op == nil || kind == ast.OperationTypeSubscription { // whose responses come for hours
		return
	}
	op.took.Observe(took.Seconds())
	if slow := r.options.Observing.Slow; slow > 0 && took >= slow {
		fetches := telemetry.RequestFrom(ctx).Fetches()
		// Not the text: values stand in it.
		r.log.WarnContext(ctx, "slow operation", "operation", op.name, "kind", operationType(kind), "hash", op.id,
			"outcome", outcome, "duration", took, "fetches", fetches.Count,
			"slowest_subgraph", fetches.Slowest, "slowest_fetch", fetches.Longest)
	}
}

// record leaves with the request what its line of log tells.
func (r *Router) record(ctx context.Context, op *operation, outcome string) {
	record := telemetry.RequestFrom(ctx)
	if record == nil {
		return
	}
	ran := telemetry.Operation{Outcome: outcome, Kind: operationType(ast.OperationTypeUnknown)}
	if op != nil {
		ran.Name, ran.Kind, ran.Hash = op.name, operationType(op.kind), op.id
	}
	caller, err := identity.FromContext(ctx)
	if err != nil {
		caller = nil
	}
	record.Ran(ran, caller)
}

// describe gives the span of an operation its attributes.
func describe(ctx context.Context, span trace.Span, op *operation, outcome string) {
	if !span.IsRecording() {
		return
	}
	if op != nil {
		span.SetName(operationType(op.kind) + " " + op.name)
		span.SetAttributes(attribute.String("graphql.operation.name", op.name),
			attribute.String("graphql.operation.type", operationType(op.kind)), attribute.String("tradesage.operation.hash", op.id))
	}
	if caller, err := identity.FromContext(ctx); err == nil {
		span.SetAttributes(attribute.String("tradesage.tenant_id", caller.Tenant.ID().String()),
			attribute.String("tradesage.user_id", caller.Subject.String()))
	}
	span.SetAttributes(attribute.String("tradesage.outcome", outcome))
	if outcome == outcomeErrors || outcome == outcomeFailed {
		span.SetStatus(codes.Error, outcome)
	}
}

// operationSeries are the durations of operations by their names. Names are the
// clients' choice: the first ones have series, all later and all long ones share one.
type operationSeries struct {
	vec  *prometheus.HistogramVec
	most int

	mu    sync.Mutex
	names map[string]bool
}

func newOperationSeries(most int) *operationSeries {
	return &operationSeries{most: most, names: map[string]bool{}, vec: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "tradesage_router_operation_seconds",
		Help:    "Time of queries and mutations by the client's name for the operation, \"\" for none and \"other\" beyond the most names, and by type.",
		Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10},
	}, []string{"operation", "operation_type"})}
}

// of returns the series of an operation; it is kept with the plan.
func (s *operationSeries) of(name string, kind ast.OperationType) prometheus.Observer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name != "" && !s.names[name] {
		if len(s.names) >= s.most || len(name) > maxShownName {
			name = other
		} else {
			s.names[name] = true
		}
	}
	return s.vec.WithLabelValues(name, operationType(kind))
}

// tenantSeries are the requests of tenants.
type tenantSeries struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.CounterVec
	most     int
	now      func() time.Time

	mu      sync.RWMutex
	tenants map[uuid.UUID]*tenantCounters
	rest    *tenantCounters
	swept   time.Time
}

type tenantCounters struct {
	ok, errors, other, seconds prometheus.Counter
	// last is when the tenant asked last, in seconds since 1970.
	last atomic.Int64
}

const (
	// quiet is after which time without requests a tenant makes room for another.
	quiet = time.Hour
	// sweepEvery keeps a crowd from looking through all tenants at each request.
	sweepEvery = time.Minute
)

func newTenantSeries(most int, now func() time.Time) *tenantSeries {
	s := &tenantSeries{
		most: most, now: now, tenants: map[uuid.UUID]*tenantCounters{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tradesage_tenant_requests_total",
			Help: "GraphQL operations by tenant id, \"other\" beyond the most tenants, and outcome (ok, errors, other).",
		}, []string{"tenant", "outcome"}),
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tradesage_tenant_request_seconds_total",
			Help: "Time that GraphQL operations took, by tenant id, \"other\" beyond the most tenants.",
		}, []string{"tenant"}),
	}
	s.rest = s.counters(other)
	return s
}

func (s *tenantSeries) counters(label string) *tenantCounters {
	return &tenantCounters{
		ok: s.requests.WithLabelValues(label, outcomeOK), errors: s.requests.WithLabelValues(label, outcomeErrors),
		other: s.requests.WithLabelValues(label, other), seconds: s.seconds.WithLabelValues(label),
	}
}

// of returns a tenant's counters, or those of the rest.
func (s *tenantSeries) of(tenant uuid.UUID) *tenantCounters {
	now := s.now()
	s.mu.RLock()
	found := s.tenants[tenant]
	s.mu.RUnlock()
	if found == nil {
		found = s.add(tenant, now)
	}
	found.last.Store(now.Unix())
	return found
}

func (s *tenantSeries) add(tenant uuid.UUID, now time.Time) *tenantCounters {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.tenants[tenant]; found != nil {
		return found
	}
	if len(s.tenants) >= s.most && now.Sub(s.swept) >= sweepEvery {
		s.swept = now
		for id, c := range s.tenants {
			if now.Unix()-c.last.Load() > int64(quiet.Seconds()) {
				delete(s.tenants, id)
				s.requests.DeletePartialMatch(prometheus.Labels{"tenant": id.String()})
				s.seconds.DeleteLabelValues(id.String())
			}
		}
	}
	if len(s.tenants) >= s.most {
		return s.rest
	}
	added := s.counters(tenant.String())
	s.tenants[tenant] = added
	return added
}

func (c *tenantCounters) observe(outcome string, took time.Duration) {
	c.seconds.Add(took.Seconds())
	switch outcome {
	case outcomeOK:
		c.ok.Inc()
	case outcomeErrors:
		c.errors.Inc()
	default:
		c.other.Inc()
	}
}
