package ratelimit

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	_ "embed"

	"github.com/redis/go-redis/v9"
)

// take is GCRA over several keys at once.
//
//go:embed take.lua
var takeText string

var take = redis.NewScript(takeText)

// fromRedis takes what is lacking in one round trip, and a batch of what may be
// wanted next.
func (l *Limiter) fromRedis(
	ctx context.Context, demands []Demand, found *[MaxDemands]*bucket, lacking *[MaxDemands]bool, now int64,
) (Verdict, error) {
	keys := make([]string, 0, MaxDemands)
	args := make([]any, 0, 4*MaxDemands)
	for i := range demands {
		if !lacking[i] {
			continue
		}
		d := &demands[i]
		want := d.cost()
		if found[i].filling.CompareAndSwap(false, true) {
			want += d.Policy.batch()
			defer found[i].filling.Store(false)
		}
		keys = append(keys, l.key(d))
		args = append(args, strconv.FormatFloat(d.Policy.interval()/1e3, 'f', 3, 64), d.Policy.Quota, d.cost(), want)
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	l.metrics.trips.Inc()
	answer, err := take.Run(ctx, l.redis, keys, args...).Int64Slice()
	if err != nil {
		return Verdict{}, err
	}
	if len(answer) != 4*len(keys) {
		return Verdict{}, fmt.Errorf("%d numbers for %d keys", len(answer), len(keys))
	}
	var worst Verdict
	for i := range demands {
		if !lacking[i] {
			continue
		}
		granted, room, wait, reset := answer[0], answer[1], answer[2]*1e3, answer[3]*1e3
		answer = answer[4:]
		b, d := found[i], &demands[i]
		b.room.Store(room)
		b.fullAt.Store(now + reset)
		switch {
		case wait > 0:
			b.deny(d.cost(), now+wait)
			if !worst.Refused || time.Duration(wait) > worst.RetryAfter {
				worst = Verdict{Refused: true, Policy: d.Policy, RetryAfter: time.Duration(wait), Reset: time.Duration(reset)}
			}
		case granted > d.cost():
			b.lease(granted-d.cost(), now)
		}
	}
	return worst, nil
}

// key names a bucket by ids alone. A policy of another quota or period has buckets of
// its own: what is gone of one says nothing about the other.
func (l *Limiter) key(d *Demand) string {
	key := l.prefix + d.Policy.Name + ":" + strconv.FormatInt(d.Policy.Quota, 36) + "/" + strconv.FormatInt(int64(d.Policy.Period), 36)
	if d.Tenant != (ID{}) {
		key += ":" + hex.EncodeToString(d.Tenant[:])
	}
	if d.ID != (ID{}) {
		key += ":" + hex.EncodeToString(d.ID[:])
	}
	return key
}
