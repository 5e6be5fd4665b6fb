package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/redis/go-redis/v9"
)

// openRedis returns a client that connects on first use.
func openRedis(address string, logger *slog.Logger) (*redis.Client, error) {
	options, err := redis.ParseURL(address)
	var bad *url.Error
	if errors.As(err, &bad) {
		err = bad.Err // the whole of it would show the password
	}
	if err != nil {
		return nil, fmt.Errorf("TRADESAGE_REDIS_URL: %w", err)
	}
	options.ContextTimeoutEnabled = true // who waits for Redis says for how long
	redis.SetLogger(redisLog{logger})
	return redis.NewClient(options), nil
}

// redisLog takes what the client says about its pool, which without it goes to
// the standard error in a form of its own. Whoever uses Redis reports failures.
type redisLog struct{ logger *slog.Logger }

// Printf logs for debugging.
func (l redisLog) Printf(ctx context.Context, format string, args ...any) {
	l.logger.DebugContext(ctx, "redis client", "says", fmt.Sprintf(format, args...))
}
