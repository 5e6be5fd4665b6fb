package events

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/internal/dbtest"
)

// A consumer that does not keep up holds a bounded number of events in memory,
// and misses none that are kept.
func TestASlowConsumerLosesNothing(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	p, acme := newProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t)
	slow, fast := p.subscribe(t, acme, nil), p.subscribe(t, acme, nil)
	slow.want(KindSubscribed)
	fast.want(KindSubscribed)
	p.append(t, acme, numbers(1, 500)...)
	fast.want(numbers(1, 500)...)
	if held := len(slow.queue.entries) + len(slow.pending); held > queueLength {
		t.Errorf("%d events are held in memory", held)
	}
	for i, number := range numbers(1, 500) {
		slow.want(number)
		if held := len(slow.pending); held > readBatch {
			t.Fatalf("after %d events, %d are held in memory", i, held)
		}
	}
	if got := value(t, p.metrics.dropped); got == 0 {
		t.Error("the full queue is not counted")
	}
	// Back at the pace of the others, it is served from memory again.
	p.append(t, acme, "a", "b")
	slow.want("a", "b")
	fast.want("a", "b")
	slow.nothing()
}

// One that is behind by more than is kept hears of it, once, and goes on from
// now.
func TestATooSlowConsumerIsTold(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	p, acme := newProcess(t, e.Redis.Options(), e.Prefix), e.Tenant(t)
	old := p.subscribe(t, acme, nil)
	cursor := old.want(KindSubscribed)
	p.append(t, acme, numbers(1, defaultKept+300)...)
	p.subscribe(t, acme, nil).want(KindSubscribed)
	old.want(KindGap)
	again := p.subscribe(t, acme, cursor)
	here := again.want(KindGap)
	p.append(t, acme, "after")
	old.want("after")
	again.want("after")
	p.subscribe(t, acme, here).want(KindSubscribed, "after")
	if got := value(t, p.metrics.gaps); got != 2 {
		t.Errorf("%v gaps are counted, want 2", got)
	}
	length, err := e.Redis.XLen(t.Context(), p.keys.stream(acme.ID())).Result()
	if err != nil || length > defaultKept+200 {
		t.Errorf("the stream holds %d entries, %v", length, err)
	}
	seen, err := e.Redis.ZCard(t.Context(), p.keys.seen(acme.ID())).Result()
	if err != nil || seen > defaultKept {
		t.Errorf("%d ids are remembered, %v", seen, err)
	}
	for _, key := range []string{p.keys.stream(acme.ID()), p.keys.seen(acme.ID())} {
		if ttl, err := e.Redis.TTL(t.Context(), key).Result(); err != nil || ttl <= 0 || ttl > keptFor {
			t.Errorf("%s lives for %s, %v", key, ttl, err)
		}
	}
}

func value(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}
