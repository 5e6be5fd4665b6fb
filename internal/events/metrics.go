package events

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	appended, delivered, dropped, gaps prometheus.Counter
	subscriptions                      prometheus.Gauge
}

func newMetrics() metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return metrics{
		appended:  counter("tradesage_events_appended_total", "Live events that this process sent to Redis, repeated ones included."),
		delivered: counter("tradesage_events_delivered_total", "Live events that subscriptions of this process took."),
		dropped:   counter("tradesage_events_dropped_total", "Times that a subscription's queue was full; it reads Redis instead."),
		gaps:      counter("tradesage_events_gaps_total", "Times that a subscription was told that it may have missed events."),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tradesage_events_subscriptions", Help: "Subscriptions to live events in this process.",
		}),
	}
}

func (m metrics) register(registry prometheus.Registerer) error {
	if registry == nil {
		return nil
	}
	return errors.Join(registry.Register(m.appended), registry.Register(m.delivered), registry.Register(m.dropped),
		registry.Register(m.gaps), registry.Register(m.subscriptions))
}
