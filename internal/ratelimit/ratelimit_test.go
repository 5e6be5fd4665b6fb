package ratelimit_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/ratelimit"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func newLimiter(t *testing.T, change func(*ratelimit.Options)) *ratelimit.Limiter {
	t.Helper()
	env := dbtest.New(t)
	o := ratelimit.Options{Redis: env.Redis, Prefix: env.Prefix + "rate:", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	l, err := ratelimit.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var somebody = ratelimit.HashID("somebody")

func demand(p *ratelimit.Policy, cost int64) ratelimit.Demand {
	return ratelimit.Demand{Policy: p, ID: somebody, Cost: cost}
}

// value adds up the series of a metric.
func value(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestExactPolicy(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, nil)
	p := &ratelimit.Policy{Name: "login", Quota: 5, Period: time.Hour, Exact: true}
	for i := range int64(5) {
		v := l.Take(t.Context(), []ratelimit.Demand{demand(p, 1)})
		if v.Refused || v.Remaining != 4-i || v.Reset > time.Duration(i+1)*12*time.Minute {
			t.Fatalf("%d: %+v", i, v)
		}
	}
	v := l.Take(t.Context(), []ratelimit.Demand{demand(p, 1)})
	if !v.Refused || v.Policy != p || v.RetryAfter < 10*time.Minute || v.RetryAfter > 12*time.Minute {
		t.Fatalf("%+v", v)
	}
	d := demand(p, 1)
	if v, denied := l.Denied(&d); !denied || v.RetryAfter > 12*time.Minute {
		t.Errorf("what is refused is not remembered: %+v", v)
	}
	other := ratelimit.Demand{Policy: p, ID: ratelimit.HashID("another"), Cost: 1}
	if v := l.Take(t.Context(), []ratelimit.Demand{other}); v.Refused {
		t.Errorf("another one is refused: %+v", v)
	}
	if v := l.Take(t.Context(), []ratelimit.Demand{{Policy: p, ID: ratelimit.HashID("third"), Cost: 99}}); v.Refused || v.Remaining != 0 {
		t.Errorf("more than the quota is not the quota: %+v", v)
	}
}

// Two processes share one count, and ask Redis rarely.
func TestBatches(t *testing.T) {
	t.Parallel()
	env, registry := dbtest.New(t), prometheus.NewRegistry()
	var all [2]*ratelimit.Limiter
	for i := range all {
		all[i] = newLimiter(t, func(o *ratelimit.Options) {
			o.Prefix, o.Redis = env.Prefix+"rate:", env.Redis
			if i == 0 {
				o.Metrics = registry
			}
		})
	}
	p := &ratelimit.Policy{Name: "user", Quota: 1000, Period: 24 * time.Hour}
	allowed := 0
	for i := range 1500 {
		if v := all[i%2].Take(t.Context(), []ratelimit.Demand{demand(p, 1)}); !v.Refused {
			allowed++
		}
	}
	if allowed < 900 || allowed > 1001 {
		t.Errorf("%d were allowed, want 900 to 1001", allowed)
	}
	if trips := value(t, registry, "tradesage_ratelimit_redis_trips_total"); trips > 25 {
		t.Errorf("one process asked Redis %v times for 750 events", trips)
	}
	if n := value(t, registry, "tradesage_ratelimit_refused_total"); n == 0 {
		t.Error("refusals are not counted")
	}
}

// Where one demand is refused nobody is charged.
func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, nil)
	few := &ratelimit.Policy{Name: "few", Quota: 1, Period: time.Hour, Exact: true}
	many := &ratelimit.Policy{Name: "many", Quota: 3, Period: time.Hour, Exact: true}
	batched := &ratelimit.Policy{Name: "batched", Quota: 40, Period: time.Hour}
	both := []ratelimit.Demand{demand(many, 1), demand(few, 1), demand(batched, 1)}
	if v := l.Take(t.Context(), both); v.Refused {
		t.Fatalf("%+v", v)
	}
	for range 10 {
		if v := l.Take(t.Context(), both); !v.Refused || v.Policy != few {
			t.Fatalf("%+v", v)
		}
	}
	for range 2 {
		if v := l.Take(t.Context(), []ratelimit.Demand{demand(many, 1)}); v.Refused {
			t.Errorf("it was charged for what was refused: %+v", v)
		}
	}
	left := 0
	for !l.Take(t.Context(), []ratelimit.Demand{demand(batched, 1)}).Refused {
		left++
	}
	if left < 38 || left > 40 {
		t.Errorf("%d were left, want 39", left)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, nil)
	p := &ratelimit.Policy{Name: "crowd", Quota: 2000, Period: 24 * time.Hour}
	var allowed atomic.Int64
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			for range 100 {
				if !l.Take(t.Context(), []ratelimit.Demand{demand(p, 1)}).Refused {
					allowed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := allowed.Load(); n < 1900 || n > 2001 {
		t.Errorf("%d were allowed, want 1900 to 2001", n)
	}
}

func TestTokensComeBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	clock := newLimiter(t, func(o *ratelimit.Options) { o.Redis, o.Clock = nil, func() time.Time { return now } })
	p := &ratelimit.Policy{Name: "alone", Quota: 10, Period: 10 * time.Second}
	take := func(n int64) ratelimit.Verdict { return clock.Take(t.Context(), []ratelimit.Demand{demand(p, n)}) }
	if v := take(10); v.Refused || v.Remaining != 0 || v.Reset != 10*time.Second {
		t.Fatalf("%+v", v)
	}
	if v := take(1); !v.Refused || v.RetryAfter != time.Second {
		t.Fatalf("%+v", v)
	}
	now = now.Add(2500 * time.Millisecond)
	if v := take(3); !v.Refused || v.RetryAfter != 500*time.Millisecond {
		t.Errorf("%+v", v)
	}
	if v := take(2); v.Refused {
		t.Errorf("%+v", v)
	}
	now = now.Add(time.Hour)
	if v := take(10); v.Refused {
		t.Errorf("%+v", v)
	}
}

// A proxy stands between a limiter and its Redis, and can be away.
type proxy struct {
	listener net.Listener
	to       string
	away     atomic.Bool
	mu       sync.Mutex
	open     []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, to: to}
	t.Cleanup(func() { _ = listener.Close(); p.cut() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.serve(client)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn) {
	network := "tcp"
	if strings.HasPrefix(p.to, "/") {
		network = "unix"
	}
	server, err := net.Dial(network, p.to)
	if err != nil || p.away.Load() {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.open = append(p.open, client, server)
	p.mu.Unlock()
	go func() { _, _ = io.Copy(server, client) }()
	go func() { _, _ = io.Copy(client, server) }()
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// While Redis is away the process counts alone, says so once, and goes back.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	env, registry, lines := dbtest.New(t), prometheus.NewRegistry(), &lockedBuffer{}
	p := newProxy(t, env.Redis.Options().Addr)
	client := redis.NewClient(&redis.Options{Addr: p.listener.Addr().String(), MaxRetries: -1, ContextTimeoutEnabled: true})
	defer client.Close()
	l := newLimiter(t, func(o *ratelimit.Options) {
		o.Redis, o.Prefix, o.Metrics, o.Logger = client, env.Prefix+"rate:", registry, slog.New(slog.NewTextHandler(lines, nil))
	})
	policy := &ratelimit.Policy{Name: "away", Quota: 5, Period: time.Hour, Exact: true}
	take := func() ratelimit.Verdict { return l.Take(t.Context(), []ratelimit.Demand{demand(policy, 1)}) }
	if v := take(); v.Refused {
		t.Fatalf("%+v", v)
	}
	p.away.Store(true)
	p.cut()
	allowed := 0
	for range 20 {
		if !take().Refused {
			allowed++
		}
	}
	if allowed != 5 {
		t.Errorf("alone %d were allowed, want 5", allowed)
	}
	if value(t, registry, "tradesage_ratelimit_redis_up") != 0 || value(t, registry, "tradesage_ratelimit_local_total") == 0 {
		t.Error("the metrics do not say that Redis is away")
	}
	p.away.Store(false)
	deadline, tick := time.After(30*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for i := byte(0); value(t, registry, "tradesage_ratelimit_redis_up") == 0; i++ {
		l.Take(t.Context(), []ratelimit.Demand{{Policy: policy, ID: ratelimit.ID{i}, Cost: 1}})
		select {
		case <-deadline:
			t.Fatal("it did not go back to Redis within 30 s")
		case <-tick.C:
		}
	}
	if n := strings.Count(lines.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, lines)
	}
}

// A client that goes away does not make Redis look away.
func TestClientGone(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	l := newLimiter(t, func(o *ratelimit.Options) { o.Metrics = registry })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Take(ctx, []ratelimit.Demand{demand(&ratelimit.Policy{Name: "gone", Quota: 5, Period: time.Hour, Exact: true}, 1)})
	if value(t, registry, "tradesage_ratelimit_redis_up") != 1 {
		t.Error("Redis is taken for away")
	}
}

// A policy of another quota begins with all of it: who was refused by a narrow one is
// not refused by the wide one in its place.
func TestAnotherQuota(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	l := newLimiter(t, func(o *ratelimit.Options) { o.Redis, o.Prefix = env.Redis, env.Prefix+"quota:" })
	id := ratelimit.HashID("ada@acme.test")
	for _, p := range []*ratelimit.Policy{{Name: "user", Quota: 2, Period: time.Hour, Exact: true}, {Name: "user", Quota: 3, Period: time.Minute, Exact: true}} {
		for i := range p.Quota + 1 {
			v := l.Take(t.Context(), []ratelimit.Demand{{Policy: p, ID: id, Cost: 1}})
			if v.Refused != (i == p.Quota) {
				t.Errorf("%d of %d: refused %v", i+1, p.Quota, v.Refused)
			}
		}
	}
}

// Keys name nobody in the clear, and are forgotten.
func TestKeys(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	l := newLimiter(t, func(o *ratelimit.Options) { o.Redis, o.Prefix = env.Redis, env.Prefix+"keys:" })
	p := &ratelimit.Policy{Name: "login", Quota: 5, Period: time.Minute, Exact: true}
	l.Take(t.Context(), []ratelimit.Demand{{Policy: p, ID: ratelimit.HashID("ada@acme.test"), Cost: 1}})
	keys, err := env.Redis.Keys(t.Context(), env.Prefix+"keys:*").Result()
	if err != nil || len(keys) != 1 || strings.Contains(keys[0], "ada") || !strings.HasPrefix(keys[0], env.Prefix+"keys:login:") {
		t.Fatalf("%v %v", keys, err)
	}
	if ttl := env.Redis.PTTL(t.Context(), keys[0]).Val(); ttl <= 0 || ttl > 13*time.Second {
		t.Errorf("it is kept for %s", ttl)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]ratelimit.Policy{
		"":         {Name: "a", Quota: 1, Period: time.Second},
		"name":     {Quota: 1, Period: time.Second},
		"quota 0":  {Name: "a", Period: time.Second},
		"period 0": {Name: "a", Quota: 1},
	} {
		err := p.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	env := dbtest.New(b)
	l, err := ratelimit.New(ratelimit.Options{Redis: env.Redis, Prefix: env.Prefix + "bench:"})
	if err != nil {
		b.Fatal(err)
	}
	user := &ratelimit.Policy{Name: "user", Quota: 1e8, Period: time.Minute}
	tenant := &ratelimit.Policy{Name: "tenant", Quota: 1e9, Period: time.Minute}
	demands := []ratelimit.Demand{demand(user, 1), demand(tenant, 1), demand(user, 3), demand(tenant, 3)}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Take(b.Context(), demands)
		}
	})
}
