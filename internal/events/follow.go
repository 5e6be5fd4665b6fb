package events

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

const (
	// blockFor is how long one reading of the feed waits; also how long an end of
	// the process may take.
	blockFor = 500 * time.Millisecond
	// feedBatch bounds the entries of one reading.
	feedBatch          = 512
	firstPause         = 50 * time.Millisecond
	longestPause       = 2 * time.Second
	beginning          = "0-0"
	unknown      int64 = -1
)

// Run hands the events of all processes to the subscriptions of this one until
// ctx ends. Without Redis it waits; what came meanwhile is made up for.
func (h *Hub) Run(ctx context.Context) error {
	place, expected, pause, down := "", unknown, firstPause, false
	for ctx.Err() == nil {
		var err error
		if place == "" {
			place, err = h.lastOfFeed(ctx)
			h.resynchronise() // what was appended before belongs to nobody's reading
		} else {
			place, expected, err = h.follow(ctx, place, expected)
		}
		if err == nil {
			pause, down = firstPause, false
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if !down {
			h.logger.ErrorContext(ctx, "events: Redis does not answer", "error", err)
			down = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
	return nil
}

func (h *Hub) lastOfFeed(ctx context.Context) (string, error) {
	found, err := h.redis.XRevRangeN(ctx, h.keys.feed(), "+", "-", 1).Result()
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return beginning, nil
	}
	return found[0].ID, nil
}

// follow reads the feed once and returns the place and the number from which to
// go on.
func (h *Hub) follow(ctx context.Context, place string, expected int64) (string, int64, error) {
	streams, err := h.redis.XRead(ctx, &redis.XReadArgs{
		Streams: []string{h.keys.feed(), place}, Count: feedBatch, Block: blockFor,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return place, expected, nil // nothing new
	}
	if err != nil {
		return place, expected, err
	}
	for _, stream := range streams {
		for _, message := range stream.Messages {
			place = message.ID
			text := func(key string) string { s, _ := message.Values[key].(string); return s }
			number, err := strconv.ParseInt(text("n"), 10, 64)
			tenant, tenantErr := uuid.Parse(text("tenant"))
			at, ok := parsePosition(text("id"))
			if err != nil || tenantErr != nil || !ok {
				h.logger.ErrorContext(ctx, "events: unreadable entry in the feed", "id", message.ID)
				expected = unknown
				h.resynchronise()
				continue
			}
			if expected != unknown && number != expected {
				h.resynchronise() // entries were trimmed, or Redis began anew
			}
			expected = number + 1
			if h.followed(tenant) {
				h.deliver(tenant, h.decode(ctx, at, message.Values))
			}
		}
	}
	return place, expected, nil
}

func (h *Hub) followed(tenant uuid.UUID) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.tenants[tenant]) > 0
}

// deliver queues an entry for the tenant's subscriptions. It never blocks.
func (h *Hub) deliver(tenant uuid.UUID, e entry) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for s := range h.tenants[tenant] {
		s.push(e)
	}
}

// resynchronise makes every subscription read its tenant's stream again.
func (h *Hub) resynchronise() {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, subscriptions := range h.tenants {
		for s := range subscriptions {
			s.lag()
		}
	}
}

func (h *Hub) add(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tenants[s.tenant] == nil {
		h.tenants[s.tenant] = map[*Subscription]struct{}{}
	}
	h.tenants[s.tenant][s] = struct{}{}
	h.metrics.subscriptions.Inc()
}

func (h *Hub) remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.tenants[s.tenant][s]; !ok {
		return
	}
	delete(h.tenants[s.tenant], s)
	if len(h.tenants[s.tenant]) == 0 {
		delete(h.tenants, s.tenant)
	}
	h.metrics.subscriptions.Dec()
}
