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
	unknown      int64 = -1
)

// spot is how far a process has read the feed.
type spot struct {
	id string // of the last entry; empty before the first reading
	// next is the number that the next entry must have, or unknown.
	next int64
}

// Run hands the events of all processes to the subscriptions of this one until
// ctx ends. Without Redis it waits; what came meanwhile is made up for.
func (h *Hub) Run(ctx context.Context) error {
	at, pause, down := spot{next: unknown}, firstPause, false
	for ctx.Err() == nil {
		var err error
		if at.id == "" {
			if at, err = h.lastOfFeed(ctx); err == nil {
				h.resynchronise() // what was appended before belongs to nobody's reading
			}
		} else {
			at, err = h.follow(ctx, at)
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

func (h *Hub) lastOfFeed(ctx context.Context) (spot, error) {
	last, err := feedHeadScript.Run(ctx, h.redis, []string{h.keys.feed(), h.keys.count()}).StringSlice()
	if err != nil || len(last) != 2 {
		return spot{next: unknown}, errors.Join(err, errors.New("the feed's last entry cannot be read"))
	}
	number, err := strconv.ParseInt(last[1], 10, 64)
	if err != nil {
		return spot{last[0], unknown}, nil //nolint:nilerr // the next one tells
	}
	return spot{last[0], number + 1}, nil
}

// follow reads the feed once and returns from where to go on.
func (h *Hub) follow(ctx context.Context, at spot) (spot, error) {
	streams, err := h.redis.XRead(ctx, &redis.XReadArgs{
		Streams: []string{h.keys.feed(), at.id}, Count: feedBatch, Block: blockFor,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return h.idle(ctx, at)
	}
	if err != nil {
		return at, err
	}
	for _, stream := range streams {
		for _, message := range stream.Messages {
			at.id = message.ID
			text := func(key string) string { s, _ := message.Values[key].(string); return s }
			number, err := numberOf(message)
			tenant, tenantErr := uuid.Parse(text("tenant"))
			place, ok := parsePosition(text("id"))
			silent := err == nil && text("event") == "" && text("tenant") == "" // of feedHeadScript
			if silent {
				h.count(&at, number)
				continue
			}
			if err != nil || tenantErr != nil || !ok {
				h.logger.ErrorContext(ctx, "events: unreadable entry in the feed", "id", message.ID)
				at.next = unknown
				h.resynchronise()
				continue
			}
			h.count(&at, number)
			if h.followed(tenant) {
				h.deliver(tenant, h.decode(ctx, place, message.Values))
			}
		}
	}
	return at, nil
}

// count goes on behind an entry. One that is not the next says that others were
// trimmed, or that Redis began anew.
func (h *Hub) count(at *spot, number int64) {
	if at.next != unknown && number != at.next {
		h.resynchronise()
	}
	at.next = number + 1
}

func numberOf(message redis.XMessage) (int64, error) {
	text, _ := message.Values["n"].(string)
	return strconv.ParseInt(text, 10, 64)
}

// idle is where to go on when the feed has brought nothing new. A Redis that
// counts less than this process has read began anew, and if its clock is behind
// the old one's, its entries would stay unread: they sort before the place.
func (h *Hub) idle(ctx context.Context, at spot) (spot, error) {
	count, err := h.redis.Get(ctx, h.keys.count()).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return at, err
	}
	if at.next != unknown && count < at.next-1 {
		return spot{next: unknown}, nil
	}
	return at, nil
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
