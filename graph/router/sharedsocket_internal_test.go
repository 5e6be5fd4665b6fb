package router

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// Whatever a subgraph may know callers by keeps their sockets apart; what tells one
// request from another does not.
func TestKeysOfSockets(t *testing.T) {
	t.Parallel()
	r := &remoteFetcher{name: "users", way: Remote{URL: "http://users.test/graphql"}, log: slog.New(slog.DiscardHandler)}
	as := func(token, agent, forwarded string) context.Context {
		req := httptest.NewRequest(http.MethodPost, "/graphql", http.NoBody)
		req.Header.Set("User-Agent", agent)
		req.Header.Set("Forwarded", forwarded)
		ctx, _ := telemetry.EnsureRequestID(identity.WithForwardedClient(req).Context())
		return withBearer(ctx, newBearer(token))
	}
	const here, there = `for="192.0.2.1"`, `for="192.0.2.2"`
	key := func(ctx context.Context) string {
		t.Helper()
		hello, err := r.greeting(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return hello.key()
	}
	seen := map[string]string{}
	for name, ctx := range map[string]context.Context{
		"a caller":          as("Bearer one", "app/1", here),
		"another":           as("Bearer two", "app/1", here),
		"of another client": as("Bearer one", "app/2", here),
		"of another place":  as("Bearer one", "app/1", there),
		"nobody":            as("", "app/1", here),
		"nobody, elsewhere": as("", "app/1", there),
		"nobody, a robot":   as("", "robot", here),
		"one who imitates":  as("Bearer one\"}\n\"User-Agent\" \"app/1", "", here),
	} {
		k := key(ctx)
		if former, taken := seen[k]; taken {
			t.Errorf("%s has the socket of %s", name, former)
		}
		seen[k] = name
	}
	if _, known := seen[key(as("Bearer one", "app/1", here))]; !known {
		t.Error("two requests of one caller have sockets of their own")
	}

	// What is sent is what the key was made of, also when the token changes meanwhile.
	ctx := as("Bearer one", "app/1", here)
	hello, err := r.greeting(ctx)
	if err != nil {
		t.Fatal(err)
	}
	before := hello.key()
	bearerFrom(ctx).replace("Bearer two")
	if hello.key() != before || hello.header.Get("Authorization") != "Bearer one" || string(hello.init) != `{"authorization":"Bearer one"}` {
		t.Errorf("%v %s", hello.header, hello.init)
	}
}
