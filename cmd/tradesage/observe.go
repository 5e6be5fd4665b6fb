package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// observingConfig says what a process tells of itself beside its log.
type observingConfig struct {
	TracesEndpoint   string        `name:"traces-endpoint" env:"TRADESAGE_TRACES_ENDPOINT,OTEL_EXPORTER_OTLP_ENDPOINT" help:"URL of a collector that takes traces by OTLP over HTTP, as http://127.0.0.1:4318; without one nothing is traced. OTEL_EXPORTER_OTLP_HEADERS and its like are read too."`
	TracesRatio      float64       `name:"traces-ratio" env:"TRADESAGE_TRACES_RATIO" default:"0.05" help:"Part of the requests that is traced, 0 to 1, whatever a client asks for."`
	SlowOperation    time.Duration `name:"slow-operation" env:"TRADESAGE_SLOW_OPERATION" default:"1s" help:"Duration from which an operation is logged by itself; 0s for never."`
	MetricsTenants   int           `name:"metrics-tenants" env:"TRADESAGE_METRICS_TENANTS" default:"100" help:"Most tenants with metrics of their own, 1 to 10000; the rest counts as other."`
	MetricsOperation int           `name:"metrics-operations" env:"TRADESAGE_METRICS_OPERATIONS" default:"200" help:"Most names of operations with metrics of their own, 1 to 10000; the rest counts as other."`
}

func (c observingConfig) validate() error {
	if err := telemetry.CheckEndpoint(c.TracesEndpoint); c.TracesEndpoint != "" && err != nil {
		return fmt.Errorf("TRADESAGE_TRACES_ENDPOINT: %w", err)
	}
	switch {
	case !(c.TracesRatio >= 0 && c.TracesRatio <= 1): // nor NaN
		return fmt.Errorf("TRADESAGE_TRACES_RATIO: %g is not between 0 and 1", c.TracesRatio)
	case c.SlowOperation < 0:
		return fmt.Errorf("TRADESAGE_SLOW_OPERATION: %s is negative", c.SlowOperation)
	case c.MetricsTenants < 1 || c.MetricsTenants > 10_000:
		return fmt.Errorf("TRADESAGE_METRICS_TENANTS: %d is not between 1 and 10000", c.MetricsTenants)
	case c.MetricsOperation < 1 || c.MetricsOperation > 10_000:
		return fmt.Errorf("TRADESAGE_METRICS_OPERATIONS: %d is not between 1 and 10000", c.MetricsOperation)
	}
	return nil
}

// router is what the router takes of it.
func (c observingConfig) router() router.Observing {
	slow := c.SlowOperation
	if slow == 0 {
		slow = -1
	}
	return router.Observing{Operations: c.MetricsOperation, Tenants: c.MetricsTenants, Slow: slow}
}

// tracing starts sending traces where somebody takes them.
func (c observingConfig) tracing(ctx context.Context, services []string, logger *slog.Logger) (*telemetry.Tracing, error) {
	if c.TracesEndpoint == "" {
		return nil, nil //nolint:nilnil // a nil *Tracing traces nothing
	}
	tracing, err := telemetry.NewTracing(ctx, telemetry.TracingOptions{
		Endpoint: c.TracesEndpoint, Ratio: c.TracesRatio, Service: "tradesage-" + strings.Join(services, "-"), Version: version, Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("TRADESAGE_TRACES_ENDPOINT: %w", err)
	}
	return tracing, nil
}
