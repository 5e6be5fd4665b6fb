package ratelimit

import (
	"sync/atomic"
	"time"
)

type bucketKey struct {
	policy     *Policy
	tenant, id ID
}

// bucket is what this process knows of one id. Times are the limiter's own.
type bucket struct {
	// tokens were taken from Redis and can be spent until leaseEnds.
	tokens, leaseEnds atomic.Int64
	// filling is whether somebody takes a batch: others take only what they need.
	filling atomic.Bool
	// room is what Redis had left when it was asked last, which was full again at
	// fullAt.
	room, fullAt atomic.Int64
	// deniedUntil is when a demand of deniedCost can be met.
	deniedUntil, deniedCost atomic.Int64
	// tat is the theoretical arrival time of GCRA, while Redis is away.
	tat atomic.Int64
}

func (l *Limiter) bucket(d *Demand) *bucket {
	key := bucketKey{d.Policy, d.Tenant, d.ID}
	if b, ok := l.buckets.GetIfPresent(key); ok {
		return b
	}
	b, _ := l.buckets.SetIfAbsent(key, &bucket{})
	return b
}

func (b *bucket) denied(d *Demand, now int64) (Verdict, bool) {
	until := b.deniedUntil.Load()
	if now >= until || d.cost() < b.deniedCost.Load() {
		return Verdict{}, false
	}
	return Verdict{
		Refused: true, Policy: d.Policy, RetryAfter: time.Duration(until - now), Reset: b.reset(now),
	}, true
}

// deny notes that a demand cannot be met before a time.
func (b *bucket) deny(cost int64, until int64) {
	b.deniedCost.Store(cost)
	b.deniedUntil.Store(until)
}

// spend takes tokens that are here already.
func (b *bucket) spend(cost, now int64) bool {
	if now >= b.leaseEnds.Load() {
		return cost == 0
	}
	for {
		has := b.tokens.Load()
		if has < cost {
			return false
		}
		if b.tokens.CompareAndSwap(has, has-cost) {
			return true
		}
	}
}

func (b *bucket) giveBack(cost int64) { b.tokens.Add(cost) }

// lease adds tokens; those of an earlier lease that has ended are gone.
func (b *bucket) lease(tokens, now int64) {
	if now >= b.leaseEnds.Load() {
		b.tokens.Store(0)
	}
	b.tokens.Add(tokens)
	b.leaseEnds.Store(now + int64(leaseFor))
}

func (b *bucket) reset(now int64) time.Duration { return time.Duration(max(b.fullAt.Load()-now, 0)) }

func (b *bucket) remaining(now int64) int64 {
	left := b.room.Load()
	if now < b.leaseEnds.Load() {
		left += b.tokens.Load()
	}
	return max(left, 0)
}

func (b *bucket) verdict(p *Policy, now int64) Verdict {
	return Verdict{Policy: p, Remaining: min(b.remaining(now), p.Quota), Reset: b.reset(now)}
}

// takeAlone is GCRA in this process.
func (b *bucket) takeAlone(d *Demand, now int64) Verdict {
	interval := d.Policy.interval()
	cost, full := int64(float64(d.cost())*interval), int64(d.Policy.Period)
	for {
		old := b.tat.Load()
		next := max(old, now) + cost
		if wait := next - now - full; wait > 0 {
			b.deny(d.cost(), now+wait)
			b.fullAt.Store(old)
			return Verdict{Refused: true, Policy: d.Policy, RetryAfter: time.Duration(wait), Reset: time.Duration(old - now)}
		}
		if b.tat.CompareAndSwap(old, next) {
			b.room.Store(int64(float64(now+full-next) / interval))
			b.fullAt.Store(next)
			return Verdict{}
		}
	}
}

func (b *bucket) giveBackAlone(d *Demand) {
	b.tat.Add(-int64(float64(d.cost()) * d.Policy.interval()))
}
