package session

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Publish makes committed revocations known: in this process before it returns,
// and in all others through Redis. It waits until every live process has
// confirmed, at most 250 ms; pending says that some may not know yet, which they
// will within 2 s, from PostgreSQL. It goes on when ctx is cancelled.
func (r *Revocations) Publish(ctx context.Context, revocations ...Revocation) (pending bool) {
	if len(revocations) == 0 {
		return false
	}
	for _, revocation := range revocations {
		r.apply(revocation)
	}
	_, err := within(context.WithoutCancel(ctx), r.confirm, func(ctx context.Context) (struct{}, error) {
		position, err := r.send(ctx, revocations)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, r.awaitOthers(ctx, position)
	})
	if err != nil {
		r.logger.WarnContext(ctx, "revocations: not confirmed by every process", "error", err)
	}
	return err != nil
}

// send appends to the stream and returns the position of the last entry.
func (r *Revocations) send(ctx context.Context, revocations []Revocation) (string, error) {
	pipeline := r.redis.Pipeline()
	var last *redis.StringCmd
	for _, revocation := range revocations {
		last = pipeline.XAdd(ctx, &redis.XAddArgs{
			Stream: r.keys.stream(), MaxLen: streamLength, Approx: true, Values: revocation.values(),
		})
		if revocation.Kind == KindSession {
			pipeline.Del(ctx, r.keys.session(revocation.Subject))
		}
	}
	if _, err := pipeline.Exec(ctx); err != nil {
		return "", err
	}
	return last.Val(), nil
}

// awaitOthers returns once every live process has read up to position. One that
// registers later reads PostgreSQL after the commit, and needs no waiting for.
func (r *Revocations) awaitOthers(ctx context.Context, position string) error {
	members, err := r.redis.SMembers(ctx, r.keys.processes()).Result()
	if err != nil {
		return err
	}
	members = slices.DeleteFunc(members, func(id string) bool { return id == r.process })
	for pause := time.Millisecond; len(members) > 0; pause = min(2*pause, 20*time.Millisecond) {
		names := make([]string, len(members))
		for i, id := range members {
			names[i] = r.keys.process(id)
		}
		positions, err := r.redis.MGet(ctx, names...).Result()
		if err != nil {
			return err
		}
		var waiting, gone []string
		for i, id := range members {
			switch reached, alive := positions[i].(string); {
			case !alive:
				gone = append(gone, id)
			case before(reached, position):
				waiting = append(waiting, id)
			}
		}
		if len(gone) > 0 {
			// One that was only slow adds itself again when it renews.
			if err := r.redis.SRem(ctx, r.keys.processes(), gone).Err(); err != nil {
				return err
			}
		}
		if members = waiting; len(members) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes: %w", len(members), ctx.Err())
		case <-time.After(pause):
		}
	}
	return nil
}

// before reports whether stream position a is older than b; one that cannot be
// read is.
func before(a, b string) bool {
	aTime, aSequence, ok := splitPosition(a)
	if !ok {
		return true
	}
	bTime, bSequence, _ := splitPosition(b)
	return aTime < bTime || aTime == bTime && aSequence < bSequence
}

func splitPosition(s string) (ms, sequence uint64, ok bool) {
	head, tail, _ := strings.Cut(s, "-")
	ms, err := strconv.ParseUint(head, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	sequence, err = strconv.ParseUint(tail, 10, 64)
	return ms, sequence, err == nil
}
