package ratelimit

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	refused      *prometheus.CounterVec
	trips, local prometheus.Counter
	up           prometheus.Gauge
}

func newMetrics() metrics {
	return metrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tradesage_ratelimit_refused_total", Help: "What a rate limit refused, by its policy.",
		}, []string{"policy"}),
		trips: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tradesage_ratelimit_redis_trips_total", Help: "How often Redis was asked for tokens.",
		}),
		local: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tradesage_ratelimit_local_total", Help: "Decisions that this process took alone because Redis was away.",
		}),
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tradesage_ratelimit_redis_up", Help: "1 while rate limits are counted in Redis, 0 while this process counts alone.",
		}),
	}
}

func (m *metrics) register(registry prometheus.Registerer) error {
	if registry == nil {
		return nil
	}
	return errors.Join(
		registry.Register(m.refused), registry.Register(m.trips), registry.Register(m.local), registry.Register(m.up),
	)
}
