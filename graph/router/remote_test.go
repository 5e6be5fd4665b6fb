package router_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

// overHTTP serves a test subgraph on a port and keeps the headers it receives.
func overHTTP(tb testing.TB, s *subgraph) (url string, headers func() []http.Header) {
	var mu sync.Mutex
	var seen []http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Header.Clone())
		mu.Unlock()
		var body struct {
			Query     string
			Variables json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.Execute(r.Context(), body.Query, "", body.Variables))
	}))
	tb.Cleanup(server.Close)
	return server.URL, func() []http.Header {
		mu.Lock()
		defer mu.Unlock()
		return append([]http.Header(nil), seen...)
	}
}

// The same operations answer the same, in-process and over HTTP.
func TestRemoteSubgraphs(t *testing.T) {
	t.Parallel()
	local := newShop(t, nil)
	var headers func() []http.Header
	remote := newShop(t, func(s *shop) {
		s.options.Local = map[string]router.LocalSubgraph{"reviews": s.reviews}
		orders, _ := overHTTP(t, s.orders)
		var users string
		users, headers = overHTTP(t, s.users)
		s.options.Remote = map[string]router.Remote{"orders": {URL: orders}, "users": {URL: users}}
	})
	for _, c := range [][2]string{
		{`{ me { id: name orders { id reviews { stars author { name reviewCount } } } greeting } }`, ``},
		{`query($p: String, $l: Int) { users(limit: $l) { name greeting(prefix: $p) maybe } }`, `{}`},
		{`query($p: String, $l: Int) { users(limit: $l) { name greeting(prefix: $p) maybe } }`, `{"p":"Hi \"you\" é","l":1}`},
		{`mutation { rename(id: "u2", name: "Rob") { name orders { id } } }`, ``},
		{`{ orders { buyer { risky } } }`, ``},
		{`{ fail(code: "NOT_FOUND", field: "x") }`, ``},
	} {
		want, got := query(local.router, c[0], c[1]), query(remote.router, c[0], c[1])
		wantBody(t, got, want.body)
	}
	for _, h := range headers() {
		if h.Get("Authorization") != "" {
			t.Errorf("a token from nowhere: %v", h)
		}
	}
}

func TestOnlyTokenAndRequestIDArePassedOn(t *testing.T) {
	t.Parallel()
	var headers func() []http.Header
	s := newShop(t, func(s *shop) {
		delete(s.options.Local, "users")
		var users string
		users, headers = overHTTP(t, s.users)
		s.options.Remote = map[string]router.Remote{"users": {URL: users}}
	})
	post(s.router, `{"query":"{me{id}}"}`, "Authorization", "Bearer abc", "Cookie", "session=1",
		"X-Forwarded-For", "10.0.0.1", "X-Tenant-Id", "globex")
	seen := headers()
	if len(seen) != 1 {
		t.Fatalf("%d requests", len(seen))
	}
	if seen[0].Get("X-Request-Id") == "" {
		t.Error("no request id")
	}
	for _, name := range []string{"Content-Length", "User-Agent", "Accept-Encoding", "X-Request-Id"} {
		seen[0].Del(name)
	}
	want := http.Header{"Authorization": {"Bearer abc"}, "Content-Type": {"application/json"}, "Accept": {"application/json"}}
	if diff := cmp.Diff(want, seen[0]); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestUnreachableSubgraphs(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	answers := func(status int, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	for name, url := range map[string]string{
		"closed port":     closed.URL,
		"no such host":    "http://orders.invalid/graphql",
		"malformed URL":   "::",
		"proxy's page":    answers(http.StatusOK, "<html>welcome</html>"),
		"bad gateway":     answers(http.StatusBadGateway, `{"message":"upstream"}`),
		"empty answer":    answers(http.StatusOK, ""),
		"redirect to nil": answers(http.StatusFound, ""),
		"data of a list":  answers(http.StatusOK, `{"data":[1]}`),
		"data of a text":  answers(http.StatusOK, `{"data":"x"}`),
		"no UTF-8":        answers(http.StatusOK, "{\"data\":{\"orders\":[{\"id\":\"\xff\"}]}}"),
		"strange errors":  answers(http.StatusOK, `{"errors":[1,null,"x"],"data":null}`),
		"more of them":    answers(http.StatusOK, `{"errors":[{"message":7,"path":8,"extensions":9}],"data":null}`),
		"no list of them": answers(http.StatusOK, `{"errors":"boom","data":null}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, func(s *shop) {
				delete(s.options.Local, "orders")
				s.options.Remote = map[string]router.Remote{"orders": {URL: url}}
			})
			// Partial data where nullability allows.
			wantBody(t, query(s.router, `{ it: me { name m: maybe reviewCount } }`, ""), `{"data":{"it":{"name":"Ada","m":null,"reviewCount":7}},
				"errors":[{"message":"the orders service does not answer","path":["it"],"extensions":{"code":"UNAVAILABLE"}}]}`)
			wantBody(t, query(s.router, `{ me { name greeting } }`, ""), `{"data":{"me":null},
				"errors":[{"message":"the orders service does not answer","path":["me"],"extensions":{"code":"UNAVAILABLE"}}]}`)
			wantBody(t, query(s.router, `{ orders { id } }`, ""), `{"data":null,
				"errors":[{"message":"the orders service does not answer","path":["orders"],"extensions":{"code":"UNAVAILABLE"}}]}`)
			// Of several fields each says so, by the client's name, and nothing else is said.
			wantBody(t, query(s.router, `{ me { name } a: orders { id } ... { b: orders { id } } }`, ""), `{"data":null,
				"errors":[{"message":"the orders service does not answer","path":["a"],"extensions":{"code":"UNAVAILABLE"}},
				{"message":"the orders service does not answer","path":["b"],"extensions":{"code":"UNAVAILABLE"}}]}`)
		})
	}
}

// A refused token is the subgraph's answer, whatever its status.
func TestARemoteRefusalIsPassedOn(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errors":[{"message":"the token has expired","extensions":{"code":"UNAUTHENTICATED"}}]}`)
	}))
	t.Cleanup(server.Close)
	s := newShop(t, func(s *shop) {
		delete(s.options.Local, "users")
		s.options.Remote = map[string]router.Remote{"users": {URL: server.URL}}
	})
	wantError(t, query(s.router, `{ me { id } }`, ""), fault.CodeUnauthenticated, "the token has expired")
	// It is the reason for what has no value by it, though it says of no field.
	wantBody(t, query(s.router, `{ a: users { id } orders { id } }`, ""), `{"data":null,
		"errors":[{"message":"the token has expired","extensions":{"code":"UNAUTHENTICATED"}}]}`)
}

// Subgraphs of others say as much as they like; the client hears, and the log keeps, the
// beginning.
func TestLongErrorsOfRemoteSubgraphs(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"CONFLICT", "SOMETHING"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			long := strings.Repeat("é", 100_000)
			_, _ = io.WriteString(w, `{"errors":[{"message":"`+long+`","path":["me"],"extensions":{"code":"`+code+`","field":"`+long+`"}}],"data":{"me":null}}`)
		}))
		t.Cleanup(server.Close)
		s := newShop(t, func(s *shop) {
			delete(s.options.Local, "users")
			s.options.Remote = map[string]router.Remote{"users": {URL: server.URL}}
		})
		got := query(s.router, `{ me { id } }`, "")
		if len(got.body) > 2000 || !strings.Contains(got.body, `"path":["me"]`) {
			t.Errorf("%s: %d bytes: %.300s", code, len(got.body), got.body)
		}
	}
}

// A client that goes away takes its fetches with it.
func TestCancelledRequests(t *testing.T) {
	t.Parallel()
	started, ended := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(started)
		<-r.Context().Done()
		close(ended)
	}))
	t.Cleanup(server.Close)
	s := newShop(t, func(s *shop) {
		delete(s.options.Local, "users")
		s.options.Remote = map[string]router.Remote{"users": {URL: server.URL}}
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-started
		cancel()
	}()
	req := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(`{"query":"{me{id}}"}`)).WithContext(ctx)
	req.Header.Set("Content-Type", "application/json")
	send(s.router, req)
	<-ended
}
