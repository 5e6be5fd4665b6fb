package upstream

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those of all subgraphs of other processes; the label is a subgraph's
// name in the supergraph.
type Metrics struct {
	calls        *prometheus.CounterVec
	retries      *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	circuit      *prometheus.GaugeVec
	certificates *prometheus.CounterVec
}

// NewMetrics returns metrics that are not registered.
func NewMetrics() *Metrics {
	return &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tradesage_subgraph_calls_total",
			Help: "Calls of subgraphs of other processes by outcome: ok, failed, refused (the circuit is open), cancelled (the client went away).",
		}, []string{"subgraph", "outcome"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tradesage_subgraph_retries_total", Help: "Attempts beyond a call's first.",
		}, []string{"subgraph"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tradesage_subgraph_call_seconds",
			Help:    "Time of a call of a subgraph of another process, with all its attempts.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"subgraph"}),
		circuit: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tradesage_subgraph_circuit", Help: "State of a subgraph's circuit: 0 closed, 1 half-open, 2 open (calls are refused).",
		}, []string{"subgraph"}),
		certificates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tradesage_subgraph_certificate_refusals_total",
			Help: "Connections to subgraphs that were not made because of a certificate, by the reason: theirs, or ours that they refused.",
		}, []string{"subgraph", "reason"}),
	}
}

// Register registers them all.
func (m *Metrics) Register(registry prometheus.Registerer) error {
	return errors.Join(registry.Register(m.calls), registry.Register(m.retries), registry.Register(m.duration), registry.Register(m.circuit), registry.Register(m.certificates))
}

// Forget removes the series of a subgraph that is no more.
func (m *Metrics) Forget(subgraph string) {
	label := prometheus.Labels{"subgraph": subgraph}
	m.calls.DeletePartialMatch(label)
	m.retries.DeletePartialMatch(label)
	m.duration.DeletePartialMatch(label)
	m.circuit.DeletePartialMatch(label)
	m.certificates.DeletePartialMatch(label)
}

// series are the metrics of one subgraph, looked up once.
type series struct {
	ok, failed, refused, cancelled, retries prometheus.Counter
	duration                                prometheus.Observer
	circuit                                 prometheus.Gauge
}

func (m *Metrics) of(subgraph string) series {
	return series{
		ok: m.calls.WithLabelValues(subgraph, "ok"), failed: m.calls.WithLabelValues(subgraph, "failed"),
		refused: m.calls.WithLabelValues(subgraph, "refused"), cancelled: m.calls.WithLabelValues(subgraph, "cancelled"),
		retries: m.retries.WithLabelValues(subgraph), duration: m.duration.WithLabelValues(subgraph), circuit: m.circuit.WithLabelValues(subgraph),
	}
}
