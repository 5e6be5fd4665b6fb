package router

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
)

// Outcomes of a request, as the label of tradesage_router_requests_total shows
// them.
const (
	outcomeOK      = "ok"      // data and no error
	outcomeErrors  = "errors"  // it ran, and fields or subgraphs failed
	outcomeInvalid = "invalid" // not run: the request or the document is wrong
	outcomeRefused = "refused" // not run: not signed in, rate limited
	outcomeFailed  = "failed"  // not finished: the router's fault
)

type metrics struct {
	requests      *prometheus.CounterVec
	duration      prometheus.Histogram
	hits          prometheus.Counter
	misses        prometheus.Counter
	connections   *prometheus.GaugeVec
	subscriptions prometheus.Gauge
	feeds         prometheus.Gauge
	resumed       *prometheus.CounterVec
	sent, dropped prometheus.Counter
	limited       *prometheus.CounterVec
	waited        prometheus.Histogram
	refused       *prometheus.CounterVec
	reloads       *prometheus.CounterVec
	loaded, unfit prometheus.Gauge
	operations    *operationSeries
	tenants       *tenantSeries
	fetches       *prometheus.HistogramVec
	byClient      *prometheus.CounterVec
	slow          prometheus.Counter
	// upstreamSockets are those to remote subgraphs.
	upstreamSockets *prometheus.GaugeVec
	// The two series of nearly all requests, looked up once.
	queriesOK, mutationsOK prometheus.Counter
}

func newMetrics(o Observing) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tradesage_router_requests_total",
			Help: "GraphQL requests by operation type (query, mutation, subscription, unknown) and outcome.",
		}, []string{"operation_type", "outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tradesage_router_request_seconds",
			Help:    "Time from reading a GraphQL request to having its whole response.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}),
		hits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tradesage_router_plan_cache_hits_total",
			Help: "Operations that were found prepared.",
		}),
		misses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tradesage_router_plan_cache_misses_total",
			Help: "Operations that had to be planned.",
		}),
	}
	m.connections = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tradesage_router_connections", Help: "Open connections of clients by transport (websocket, sse).",
	}, []string{"transport"})
	m.subscriptions = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tradesage_router_subscriptions", Help: "Running subscriptions of clients.",
	})
	m.feeds = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tradesage_router_feeds", Help: "Sources of events that equal subscriptions share.",
	})
	m.resumed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tradesage_router_subscriptions_resumed_total",
		Help: "Sources of subscriptions that were asked for again after their subgraph had broken off, by subgraph.",
	}, []string{"subgraph"})
	m.upstreamSockets = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tradesage_subgraph_sockets", Help: "Open WebSockets to subgraphs of other processes; each carries subscriptions of one caller.",
	}, []string{"subgraph"})
	m.slow = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tradesage_router_slow_clients_total",
		Help: "Subscriptions that were ended because their client held up those who share its source.",
	})
	m.sent = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tradesage_router_events_sent_total", Help: "Events of subscriptions that were sent to clients.",
	})
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tradesage_router_events_dropped_total",
		Help: "Events of subscriptions that were not sent: the caller no longer counts, the client is gone or too slow, or it failed.",
	})
	m.limited, m.waited, m.byClient = newLimited(), newWaited(), newClientRequests()
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tradesage_router_refused_total",
		Help: "Demands of the schema that callers did not fulfil, by the code of the answer (UNAUTHENTICATED, FORBIDDEN, STEP_UP_REQUIRED).",
	}, []string{"code"})
	m.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tradesage_router_supergraph_reloads_total", Help: "Changed supergraphs by outcome: taken, refused.",
	}, []string{"outcome"})
	m.loaded = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tradesage_router_supergraph_loaded_timestamp_seconds", Help: "When the supergraph in force was loaded.",
	})
	m.unfit = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tradesage_router_persisted_operations_invalid",
		Help: "Operations of the manifest that are not valid in the supergraph in force.",
	})
	m.operations, m.tenants = newOperationSeries(o.Operations), newTenantSeries(o.Tenants, time.Now)
	m.fetches = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "tradesage_router_fetch_seconds",
		Help:    "Time of one fetch from a subgraph, retries included, by subgraph.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"subgraph"})
	m.queriesOK = m.requests.WithLabelValues("query", outcomeOK)
	m.mutationsOK = m.requests.WithLabelValues("mutation", outcomeOK)
	return m
}

func (m *metrics) register(registry prometheus.Registerer) error {
	if registry == nil {
		return nil
	}
	return errors.Join(
		registry.Register(m.requests),
		registry.Register(m.refused),
		registry.Register(m.duration),
		registry.Register(m.hits),
		registry.Register(m.misses),
		registry.Register(m.connections),
		registry.Register(m.subscriptions),
		registry.Register(m.feeds),
		registry.Register(m.resumed),
		registry.Register(m.upstreamSockets),
		registry.Register(m.slow),
		registry.Register(m.sent),
		registry.Register(m.dropped),
		registry.Register(m.limited),
		registry.Register(m.byClient),
		registry.Register(m.reloads),
		registry.Register(m.loaded),
		registry.Register(m.unfit),
		registry.Register(m.operations.vec),
		registry.Register(m.tenants.requests),
		registry.Register(m.tenants.seconds),
		registry.Register(m.fetches),
	)
}

func (m *metrics) observe(kind ast.OperationType, outcome string, took time.Duration) {
	if kind != ast.OperationTypeSubscription { // whose responses come for hours
		m.duration.Observe(took.Seconds())
	}
	switch {
	case kind == ast.OperationTypeQuery && outcome == outcomeOK:
		m.queriesOK.Inc()
	case kind == ast.OperationTypeMutation && outcome == outcomeOK:
		m.mutationsOK.Inc()
	default:
		m.requests.WithLabelValues(operationType(kind), outcome).Inc()
	}
}

func operationType(kind ast.OperationType) string {
	switch kind {
	case ast.OperationTypeQuery:
		return "query"
	case ast.OperationTypeMutation:
		return "mutation"
	case ast.OperationTypeSubscription:
		return "subscription"
	}
	return "unknown"
}
