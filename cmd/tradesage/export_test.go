package main

import (
	"context"
	"log/slog"
	"time"
)

// Seed makes the accounts of dev in a migrated database of a test.
func Seed(ctx context.Context, environment map[string]string) error {
	c := config{
		Listen: "127.0.0.1:8001", RedisURL: environment["TRADESAGE_REDIS_URL"], DrainTime: time.Second,
		Observing: observingConfig{MetricsTenants: 1, MetricsOperation: 1},
		Database: databaseConfig{
			URL: environment["TRADESAGE_DATABASE_URL"], Secret: environment["TRADESAGE_DATABASE_SECRET"], ConnsPerShard: 1, ConnsPerService: 2,
		},
		Identity: identityConfig{
			MasterKey: environment["TRADESAGE_MASTER_KEY"], Audience: "tradesage", AccessTTL: 5 * time.Minute, SessionTTL: time.Hour,
		},
		Streams: streamsConfig{Connections: 100, Operations: 10, Queue: 16, SlowWithin: time.Second},
		Memory:  memoryConfig{Garbage: 64},
	}
	if err := c.validate(); err != nil {
		return err
	}
	a, err := build(ctx, c, slog.New(slog.DiscardHandler), modeDev)
	if err != nil {
		return err
	}
	defer a.close()
	return a.seed(ctx)
}
