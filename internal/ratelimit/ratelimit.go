// Package ratelimit lets only so much of something happen in a time, counted in
// Redis for all processes together (GCRA, the generic cell rate algorithm).
//
// A process takes tokens from Redis by the batch and spends them by itself, so that
// most questions need no round trip, and none needs more than one. While Redis is
// away each process counts alone. It knows no request: what is counted, and under
// which ids, is the caller's matter.
package ratelimit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Policy is how much one id may have: Quota at once, and as much again in each
// Period. Policies of one name share their counts.
type Policy struct {
	// Name is a label of metrics and a part of keys.
	Name string
	// Quota is at least 1.
	Quota int64
	// Period is how long an empty bucket takes to be full again.
	Period time.Duration
	// Exact asks Redis each time and takes no batch: for what is rare and must not be
	// refused before its time.
	Exact bool
}

// Validate names what is wrong with a policy.
func (p *Policy) Validate() error {
	switch {
	case p.Name == "" || strings.ContainsAny(p.Name, " :\""):
		return fmt.Errorf("policy %q: needs a name without spaces", p.Name)
	case p.Quota < 1 || p.Quota > 1e9:
		return fmt.Errorf("policy %s: the quota %d is not between 1 and 1,000,000,000", p.Name, p.Quota)
	case p.Period < time.Second || p.Period > 24*time.Hour:
		return fmt.Errorf("policy %s: the period %s is not between 1s and 24h", p.Name, p.Period)
	}
	return nil
}

// interval is the time in which one token comes back, in nanoseconds.
func (p *Policy) interval() float64 { return float64(p.Period) / float64(p.Quota) }

// batch is how many tokens are taken ahead.
func (p *Policy) batch() int64 {
	if p.Exact {
		return 0
	}
	return p.Quota / 20
}

// ID says whose tokens are meant.
type ID [16]byte

// HashID makes an id of text that must not stand in a key, as an address.
func HashID(text string) ID {
	sum := sha256.Sum256([]byte(text))
	return ID(sum[:16])
}

// Demand is what one event takes from one bucket.
type Demand struct {
	Policy *Policy
	// Tenant and ID name the bucket; either may be zero.
	Tenant, ID ID
	// Cost is how many tokens; more than the quota counts as the quota.
	Cost int64
}

func (d *Demand) cost() int64 { return min(d.Cost, d.Policy.Quota) }

// Verdict says whether something may happen. With several demands it is about the
// one that is refused, or else the one of which least is left.
type Verdict struct {
	Refused bool
	Policy  *Policy
	// RetryAfter is when a refused demand would be met if nothing else happened.
	RetryAfter time.Duration
	// Remaining is how many tokens are left, as far as this process knows, and Reset
	// when all are back.
	Remaining int64
	Reset     time.Duration
}

const (
	// leaseFor is how long tokens that were taken ahead can be spent.
	leaseFor = 10 * time.Second
	// redisTimeout bounds the wait for Redis, retryEvery how often one that is away
	// is asked again.
	redisTimeout = 250 * time.Millisecond
	retryEvery   = time.Second
	// maxBuckets bounds what one process remembers.
	maxBuckets = 100_000
	// MaxDemands bounds the demands of one event.
	MaxDemands = 8
)

// Options are what New needs.
type Options struct {
	// Redis counts for all processes; nil lets each count alone.
	Redis redis.UniversalClient
	// Prefix begins each key; "tradesage:rate:" if empty.
	Prefix string
	// Clock is time.Now if nil. It does not move the buckets in Redis, which has a
	// clock of its own.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Metrics is where the metrics are registered; nil for nowhere.
	Metrics prometheus.Registerer
}

// Limiter keeps buckets. It is safe for concurrent use.
type Limiter struct {
	redis   redis.UniversalClient
	prefix  string
	now     func() time.Time
	began   time.Time
	log     *slog.Logger
	buckets *otter.Cache[bucketKey, *bucket]
	// away is whether Redis did not answer the last time, and askAt when it is asked
	// whether it is back.
	askAt   atomic.Int64
	away    atomic.Bool
	metrics metrics
}

// New returns a limiter. It does not connect.
func New(o Options) (*Limiter, error) {
	l := &Limiter{redis: o.Redis, prefix: o.Prefix, now: o.Clock, log: o.Logger, metrics: newMetrics()}
	if l.prefix == "" {
		l.prefix = "tradesage:rate:"
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	l.began = l.now()
	var err error
	if l.buckets, err = otter.New(&otter.Options[bucketKey, *bucket]{MaximumSize: maxBuckets}); err != nil {
		return nil, fmt.Errorf("buckets: %w", err)
	}
	l.metrics.up.Set(1)
	return l, l.metrics.register(o.Metrics)
}

// elapsed is the limiter's own monotonic time.
func (l *Limiter) elapsed() int64 { return int64(l.now().Sub(l.began)) }

// Denied reports whether a demand is known to be refused without asking anybody. It
// takes nothing.
func (l *Limiter) Denied(d *Demand) (Verdict, bool) {
	b, ok := l.buckets.GetIfPresent(bucketKey{d.Policy, d.Tenant, d.ID})
	if !ok {
		return Verdict{}, false
	}
	v, denied := b.denied(d, l.elapsed())
	if denied {
		l.metrics.refused.WithLabelValues(d.Policy.Name).Inc()
	}
	return v, denied
}

// Take takes what all demands ask for, at most MaxDemands, or nothing: where one is
// refused the others are not charged. It fails never: while Redis does not answer,
// what this process knows decides.
func (l *Limiter) Take(ctx context.Context, demands []Demand) Verdict {
	if len(demands) == 0 {
		return Verdict{}
	}
	if len(demands) > MaxDemands {
		panic(fmt.Sprintf("ratelimit: %d demands", len(demands))) // a fault of the program
	}
	now := l.elapsed()
	var found [MaxDemands]*bucket
	for i := range demands {
		d := &demands[i]
		b := l.bucket(d)
		if v, denied := b.denied(d, now); denied {
			l.metrics.refused.WithLabelValues(d.Policy.Name).Inc()
			return v
		}
		found[i] = b
	}
	var lacking [MaxDemands]bool
	missing := 0
	for i := range demands {
		if !found[i].spend(demands[i].cost(), now) {
			lacking[i] = true
			missing++
		}
	}
	if missing > 0 {
		if v := l.fill(ctx, demands, &found, &lacking, now); v.Refused {
			for i := range demands {
				if !lacking[i] {
					found[i].giveBack(demands[i].cost())
				}
			}
			l.metrics.refused.WithLabelValues(v.Policy.Name).Inc()
			return v
		}
	}
	tightest, share := 0, math.Inf(1)
	for i := range demands {
		if s := float64(found[i].remaining(now)) / float64(demands[i].Policy.Quota); s < share {
			tightest, share = i, s
		}
	}
	return found[tightest].verdict(demands[tightest].Policy, now)
}

// fill gets what is lacking, from Redis or, without it, from this process's own
// count.
func (l *Limiter) fill(ctx context.Context, demands []Demand, found *[MaxDemands]*bucket, lacking *[MaxDemands]bool, now int64) Verdict {
	if l.ask(now) {
		v, err := l.fromRedis(ctx, demands, found, lacking, now)
		if err == nil {
			return v
		}
		if ctx.Err() == nil { // a client that is gone says nothing about Redis
			l.isAway(now, err)
		}
	}
	l.metrics.local.Inc()
	for i := range demands {
		if !lacking[i] {
			continue
		}
		if v := found[i].takeAlone(&demands[i], now); v.Refused {
			for j := range i {
				if lacking[j] {
					found[j].giveBackAlone(&demands[j])
				}
			}
			return v
		}
	}
	return Verdict{}
}

// ask reports whether Redis may be asked. While it is away that is found out beside
// the requests, once in a while.
func (l *Limiter) ask(now int64) bool {
	if l.redis == nil {
		return false
	}
	if !l.away.Load() {
		return true
	}
	if at := l.askAt.Load(); now >= at && l.askAt.CompareAndSwap(at, now+int64(retryEvery)) {
		go l.probe()
	}
	return false
}

// probe asks whether Redis is back.
func (l *Limiter) probe() {
	ctx, cancel := context.WithTimeout(context.Background(), redisTimeout)
	defer cancel()
	if l.redis.Ping(ctx).Err() == nil && l.away.CompareAndSwap(true, false) {
		l.metrics.up.Set(1)
		l.log.Info("rate limits are counted in Redis again")
	}
}

func (l *Limiter) isAway(now int64, err error) {
	l.askAt.Store(now + int64(retryEvery))
	if l.away.CompareAndSwap(false, true) {
		l.metrics.up.Set(0)
		l.log.Warn("rate limits are counted by this process alone: Redis does not answer", "error", err)
	}
}
