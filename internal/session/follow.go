package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

const (
	firstCursor   = "0"
	firstPosition = "0-0"
	// blockFor is how long one reading of the stream waits; also how long an end
	// of the process may take.
	blockFor = 500 * time.Millisecond
	// processTTL is how long a process that says nothing counts as alive.
	processTTL = 10 * time.Second
	renewEvery = 2 * time.Second
	// streamLength is about how many revocations the stream keeps; PostgreSQL
	// keeps all of them.
	streamLength = 10_000
)

// Run follows both feeds until ctx ends. A feed that fails is tried again; the
// other one goes on.
func (r *Revocations) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { r.followRedis(ctx); return nil })
	group.Go(func() error { r.followPostgres(ctx); return nil })
	return group.Wait()
}

func (r *Revocations) followPostgres(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		r.tick(ctx)
	}
}

// tick is one turn of followPostgres.
func (r *Revocations) tick(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	if err := r.poll(bounded); err != nil && ctx.Err() == nil && r.postgresFeed.lost() {
		r.logger.ErrorContext(ctx, "revocations: PostgreSQL does not answer", "error", err)
	}
	r.set.dropExpired(r.clock())
}

// poll applies the rows of all transactions that had not ended at the last poll.
func (r *Revocations) poll(ctx context.Context) error {
	r.polling.Lock()
	defer r.polling.Unlock()
	rows, err := r.store.Platform().PollRevocations(ctx, r.cursor, r.clock())
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	for _, row := range rows {
		if row.Kind == nil {
			continue // the row that carries the cursor alone
		}
		r.apply(Revocation{Kind(*row.Kind), *row.Subject, *row.TenantID, *row.CreatedAt, *row.ExpiresAt})
	}
	if len(rows) > 0 {
		if r.cursor, err = nextCursor(r.cursor, rows[0].NextCursor); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
	}
	r.postgresFeed.answered(r.clock())
	return nil
}

// nextCursor returns where the next poll begins. Transaction ids that run
// backwards mean another server, restored from a copy: begin anew.
func nextCursor(last, next string) (string, error) {
	before, err := strconv.ParseUint(last, 10, 64)
	if err != nil {
		return firstCursor, err
	}
	after, err := strconv.ParseUint(next, 10, 64)
	if err != nil {
		return firstCursor, err
	}
	if after < before {
		return firstCursor, nil
	}
	return next, nil
}

// followRedis reads the stream from its beginning, which is short, and then as
// it grows, and acknowledges what it has applied.
func (r *Revocations) followRedis(ctx context.Context) {
	defer r.leave(ctx)
	position, renewed, pause := firstPosition, time.Time{}, 100*time.Millisecond
	for ctx.Err() == nil {
		next, err := r.read(ctx, position)
		if err == nil && (next != position || time.Since(renewed) >= renewEvery) {
			err = r.acknowledge(ctx, next)
			renewed = time.Now()
		}
		if err == nil {
			r.redisFeed.answered(r.clock())
			position, pause = next, 100*time.Millisecond
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if r.redisFeed.lost() {
			r.logger.ErrorContext(ctx, "revocations: Redis does not answer", "error", err)
		}
		renewed = time.Time{}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// read applies what the stream holds after position and returns the new one.
func (r *Revocations) read(ctx context.Context, position string) (string, error) {
	streams, err := r.redis.XRead(ctx, &redis.XReadArgs{
		Streams: []string{r.keys.stream(), position}, Count: 1000, Block: blockFor,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return position, nil // nothing new
	}
	if err != nil {
		return position, err
	}
	for _, stream := range streams {
		for _, message := range stream.Messages {
			position = message.ID
			revocation, err := revocationFrom(message.Values)
			if err != nil {
				r.logger.ErrorContext(ctx, "revocations: unreadable entry in Redis", "id", message.ID, "error", err)
				continue // the row is in PostgreSQL
			}
			r.apply(revocation)
		}
	}
	return position, nil
}

// acknowledge says that this process is alive and up to where it has read.
func (r *Revocations) acknowledge(ctx context.Context, position string) error {
	pipeline := r.redis.Pipeline()
	pipeline.SAdd(ctx, r.keys.processes(), r.process)
	pipeline.Set(ctx, r.keys.process(r.process), position, processTTL)
	_, err := pipeline.Exec(ctx)
	return err
}

// leave spares the others the wait for a process that has ended.
func (r *Revocations) leave(ctx context.Context) {
	_, _ = within(context.WithoutCancel(ctx), time.Second, func(ctx context.Context) (struct{}, error) {
		pipeline := r.redis.Pipeline()
		pipeline.SRem(ctx, r.keys.processes(), r.process)
		pipeline.Del(ctx, r.keys.process(r.process))
		_, err := pipeline.Exec(ctx)
		return struct{}{}, err // the key expires by itself otherwise
	})
}
