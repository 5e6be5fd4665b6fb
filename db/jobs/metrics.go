package jobs

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	wait    *prometheus.HistogramVec
	run     *prometheus.HistogramVec
	givenUp *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tradesage_jobs_wait_seconds",
			Help:    "From the commit of a job's cause to the start of its first run.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800},
		}, []string{"kind"}),
		run: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tradesage_jobs_run_seconds",
			Help:    "Duration of one run of a job, by its outcome: done, failed, given_up or stopped.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"kind", "outcome"}),
		givenUp: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tradesage_jobs_given_up_total",
			Help: "Jobs that will not run again although they failed, by reason: permanent or attempts.",
		}, []string{"kind", "reason"}),
	}
	if registry != nil {
		registry.MustRegister(m.wait, m.run, m.givenUp)
	}
	return m
}
