package automatic_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/graph/persisted"
	"github.com/tradesage/tradesage/graph/persisted/automatic"
	"github.com/tradesage/tradesage/internal/dbtest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func open(t *testing.T, o automatic.Options) *automatic.Store {
	t.Helper()
	s, err := automatic.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDocumentsAreKeptForTheirTenant(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	registry := prometheus.NewRegistry()
	here := open(t, automatic.Options{Redis: env.Redis, Prefix: env.Prefix, Metrics: registry})
	there := open(t, automatic.Options{Redis: env.Redis, Prefix: env.Prefix})
	mine, others := uuid.New(), uuid.New()
	const text = "{ me { id } }"
	hash := persisted.Hash(text)
	if _, ok := here.Find(t.Context(), mine, hash); ok {
		t.Error("found what nobody has sent")
	}
	here.Register(t.Context(), mine, text)
	for what, c := range map[string]struct {
		store  *automatic.Store
		tenant uuid.UUID
		hash   string
		want   bool
	}{
		"here":           {here, mine, hash, true},
		"another router": {there, mine, hash, true},
		"in capitals":    {here, mine, strings.ToUpper(hash), true},
		"another tenant": {here, others, hash, false},
		"nobody":         {there, uuid.Nil, hash, false},
		"no hash":        {here, mine, "me", false},
		"half a hash":    {here, mine, hash[:32], false},
		"not hex":        {here, mine, strings.Repeat("z", 64), false},
	} {
		if got, ok := c.store.Find(t.Context(), c.tenant, c.hash); ok != c.want || ok && got != text {
			t.Errorf("%s: %q %v", what, got, ok)
		}
	}
	here.Register(t.Context(), mine, strings.Repeat("x", automatic.MaxText+1))
	if _, ok := here.Find(t.Context(), mine, persisted.Hash(strings.Repeat("x", automatic.MaxText+1))); ok {
		t.Error("too large a document is kept")
	}
	want := `
# HELP tradesage_router_automatic_queries_total Automatic persisted queries: found in memory or redis, missed, registered, oversized (not kept), failed (Redis did not answer).
# TYPE tradesage_router_automatic_queries_total counter
tradesage_router_automatic_queries_total{result="memory"} 2
tradesage_router_automatic_queries_total{result="missed"} 6
tradesage_router_automatic_queries_total{result="oversized"} 1
tradesage_router_automatic_queries_total{result="registered"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// A tenant that registers without end loses its own oldest documents, and only in
// Redis what it may have there.
func TestATenantsDocumentsAreBounded(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	o := automatic.Options{Redis: env.Redis, Prefix: env.Prefix, PerTenant: 10, TTL: time.Hour}
	writer := open(t, o)
	calm, hostile := uuid.New(), uuid.New()
	writer.Register(t.Context(), calm, "{ calm }")
	for i := range 50 {
		writer.Register(t.Context(), hostile, fmt.Sprintf("{ a%d: me { id } }", i))
	}
	reader := open(t, o)
	found := 0
	for i := range 50 {
		if _, ok := reader.Find(t.Context(), hostile, persisted.Hash(fmt.Sprintf("{ a%d: me { id } }", i))); ok {
			found++
		}
	}
	if _, ok := reader.Find(t.Context(), hostile, persisted.Hash("{ a49: me { id } }")); !ok || found != 10 {
		t.Errorf("%d are kept, the latest: %v", found, ok)
	}
	if _, ok := reader.Find(t.Context(), calm, persisted.Hash("{ calm }")); !ok {
		t.Error("another tenant has lost its own")
	}
	keys, err := env.Redis.Keys(t.Context(), env.Prefix+"*").Result()
	if err != nil || len(keys) != 4 {
		t.Fatalf("%v %v", keys, err)
	}
	for _, key := range keys {
		if left, err := env.Redis.PTTL(t.Context(), key).Result(); err != nil || left <= 0 || left > time.Hour {
			t.Errorf("%s is kept for %s, %v", key, left, err)
		}
	}
}

// What stands in Redis under a hash that is not its own is not taken.
func TestNothingIsPlanted(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	tenant := uuid.New()
	s := open(t, automatic.Options{Redis: env.Redis, Prefix: env.Prefix})
	s.Register(t.Context(), tenant, "{ me { id } }")
	key := env.Prefix + "{" + tenant.String() + "}:texts"
	fields, err := env.Redis.HKeys(t.Context(), key).Result()
	if err != nil || len(fields) != 1 {
		t.Fatalf("%v %v", fields, err)
	}
	if err := env.Redis.HSet(t.Context(), key, fields[0], "mutation { deleteEverything }").Err(); err != nil {
		t.Fatal(err)
	}
	fresh := open(t, automatic.Options{Redis: env.Redis, Prefix: env.Prefix})
	if got, ok := fresh.Find(t.Context(), tenant, persisted.Hash("{ me { id } }")); ok {
		t.Errorf("found %q", got)
	}
}

// Without Redis a process knows its own, and others ask again.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	away := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	t.Cleanup(func() { _ = away.Close() })
	s := open(t, automatic.Options{Redis: away})
	tenant := uuid.New()
	if _, ok := s.Find(t.Context(), tenant, persisted.Hash("{ a }")); ok {
		t.Error("found what nobody has sent")
	}
	s.Register(t.Context(), tenant, "{ a }")
	if got, ok := s.Find(t.Context(), tenant, persisted.Hash("{ a }")); !ok || got != "{ a }" {
		t.Errorf("%q %v", got, ok)
	}
}

// outage is a Redis that can be made not to answer.
type outage struct{ away atomic.Bool }

var errAway = errors.New("away, as asked")

func (o *outage) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o *outage) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if o.away.Load() {
			cmd.SetErr(errAway)
			return errAway
		}
		return next(ctx, cmd)
	}
}

func (o *outage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// What one process could not tell Redis, or Redis has lost, comes there with a later
// registration, which a client sends that another process has not answered.
func TestARegistrationThatFailed(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	client := redis.NewClient(env.Redis.Options())
	t.Cleanup(func() { _ = client.Close() })
	var redisIs outage
	client.AddHook(&redisIs)
	var now atomic.Int64
	clock := func() time.Time { return time.Unix(now.Load(), 0) }
	here := open(t, automatic.Options{Redis: client, Prefix: env.Prefix, Clock: clock})
	there := func(what string, want bool) {
		t.Helper()
		fresh := open(t, automatic.Options{Redis: env.Redis, Prefix: env.Prefix})
		if _, ok := fresh.Find(t.Context(), uuid.Nil, persisted.Hash("{ a }")); ok != want {
			t.Errorf("%s: another process finds it: %v", what, ok)
		}
	}
	redisIs.away.Store(true)
	here.Register(t.Context(), uuid.Nil, "{ a }")
	if got, ok := here.Find(t.Context(), uuid.Nil, persisted.Hash("{ a }")); !ok || got != "{ a }" {
		t.Errorf("here: %q %v", got, ok)
	}
	there("while Redis is away", false)
	redisIs.away.Store(false)
	here.Register(t.Context(), uuid.Nil, "{ a }")
	there("in the same moment", false) // Redis is not asked for each request
	now.Add(1)
	here.Register(t.Context(), uuid.Nil, "{ a }")
	there("after the next registration", true)
	keys, err := env.Redis.Keys(t.Context(), env.Prefix+"*").Result()
	if err != nil || env.Redis.Del(t.Context(), keys...).Err() != nil {
		t.Fatal(err)
	}
	now.Add(60)
	here.Register(t.Context(), uuid.Nil, "{ a }")
	there("after Redis has lost it", true)
}
