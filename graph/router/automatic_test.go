package router_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/graph/persisted"
	"github.com/tradesage/tradesage/graph/persisted/automatic"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
)

// lossy is a Redis that does not answer while it is away.
type lossy struct{ away atomic.Bool }

func (l *lossy) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *lossy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if l.away.Load() {
			err := errors.New("away, as asked")
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (l *lossy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A registration that Redis does not take is one operation that is run: nobody is told
// that it is kept. Other routers ask for the text, and have it then.
func TestARegistrationThatFailsInRedis(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	client := redis.NewClient(env.Redis.Options())
	t.Cleanup(func() { _ = client.Close() })
	var redisIs lossy
	client.AddHook(&redisIs)
	open := func() *shop {
		store, err := automatic.New(automatic.Options{Redis: client, Prefix: env.Prefix})
		if err != nil {
			t.Fatal(err)
		}
		return newShop(t, func(s *shop) { s.options.Automatic = store })
	}
	first, second, third := open(), open(), open()
	const text = `{ me { id } }`
	hash := fmt.Sprintf(`"extensions":{"persistedQuery":{"version":1,"sha256Hash":"%s"}}`, persisted.Hash(text))
	alone, whole := `{`+hash+`}`, fmt.Sprintf(`{"query":%q,%s}`, text, hash)
	run := func(what string, on *shop, body string) {
		t.Helper()
		if got := post(on.router, body); got.body != `{"data":{"me":{"id":"u1"}}}` {
			t.Errorf("%s: %s", what, got.body)
		}
	}
	unknown := func(what string, on *shop) {
		t.Helper()
		got := post(on.router, alone)
		wantError(t, got, fault.CodePersistedQueryNotFound, "PersistedQueryNotFound")
		if !strings.Contains(got.body, `"message":"PersistedQueryNotFound"`) {
			t.Errorf("%s: %s", what, got.body)
		}
	}
	unknown("before", first)
	redisIs.away.Store(true)
	run("while Redis is away", first, whole)
	run("from memory", first, alone)
	unknown("another one, while Redis is away", second)
	redisIs.away.Store(false)
	unknown("another one", second)
	run("registered again", second, whole)
	run("from then on", third, alone)
}
