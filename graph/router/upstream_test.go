package router_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/upstream"
	"github.com/tradesage/tradesage/internal/fault"
)

// shaky is a subgraph over HTTP that loses each first answer while it is shaky: what
// was asked has been done by then.
func shaky(t *testing.T, s *subgraph, is *atomic.Bool) string {
	t.Helper()
	inner, _ := overHTTP(t, s)
	var mu sync.Mutex
	lost := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		response := forward(r, inner, body)
		mu.Lock()
		again := lost[string(body)]
		lost[string(body)] = true
		mu.Unlock()
		if is.Load() && !again {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, response)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// A query whose answers get lost is asked again; a mutation is done once, and its
// client hears that nobody knows how it went.
func TestMutationsAreSentOnce(t *testing.T) {
	t.Parallel()
	var is atomic.Bool
	is.Store(true)
	s := newShop(t, func(s *shop) {
		s.options.Local = map[string]router.LocalSubgraph{"reviews": s.reviews}
		s.options.Remote = map[string]router.Remote{"users": {URL: shaky(t, s.users, &is)}, "orders": {URL: shaky(t, s.orders, &is)}}
	})
	wantBody(t, query(s.router, `{ me { name greeting } }`, ""), `{"data":{"me":{"name":"Ada","greeting":"Dear Ada"}}}`)
	if n := len(s.users.Calls()); n != 2 {
		t.Errorf("users was asked %d times", n)
	}
	wantError(t, query(s.router, `mutation { touch }`, ""), fault.CodeUnavailable, "the users service does not answer")
	wantError(t, query(s.router, `mutation M { rename(id: "u2", name: "Rob") { name orders { id } } }`, ""), fault.CodeUnavailable, "the users service does not answer")
	if n := len(s.users.Calls()); n != 4 {
		t.Errorf("users was asked %d times in all", n)
	}
	// What a mutation reads afterwards is asked again.
	is.Store(false)
	wantBody(t, query(s.router, `mutation { rename(id: "u2", name: "Rob") { name } }`, ""), `{"data":{"rename":{"name":"Rob"}}}`)
	is.Store(true)
	wantBody(t, query(s.router, `{ me { orders { id } } }`, ""), `{"data":{"me":{"orders":[{"id":"o1"}]}}}`)
}

// A subgraph whose circuit is open costs nothing but its own fields.
func TestPartialDataWhileACircuitIsOpen(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	var asked atomic.Int64
	s := newShop(t, func(s *shop) {
		inner, _ := overHTTP(t, s.orders)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			body, err := io.ReadAll(r.Body)
			if err != nil || down.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = io.WriteString(w, forward(r, inner, body))
		}))
		t.Cleanup(server.Close)
		delete(s.options.Local, "orders")
		s.options.Remote = map[string]router.Remote{"orders": {URL: server.URL}}
		s.options.Upstream = upstream.Policy{Retries: -1}
	})
	const text = `{ me { name orders { id } } other: user(id: "u2") { name } }`
	const partial = `{"data":{"me":null,"other":{"name":"Bob"}},
		"errors":[{"message":"the orders service does not answer","path":["me"],"extensions":{"code":"UNAVAILABLE"}}]}`
	down.Store(true)
	for range 30 {
		wantBody(t, query(s.router, text, ""), partial)
	}
	if n := asked.Load(); n < 10 || n == 30 {
		t.Errorf("orders was asked %d times", n)
	}
	if circuit := s.router.Circuits()["orders"]; circuit == upstream.Closed {
		t.Error("the circuit is closed")
	}
	down.Store(false)
	eventually(t, "recovery", func() bool {
		return query(s.router, text, "").body == `{"data":{"me":{"name":"Ada","orders":[{"id":"o1"}]},"other":{"name":"Bob"}}}`
	})
	if circuit := s.router.Circuits()["orders"]; circuit != upstream.Closed {
		t.Errorf("the circuit is %s", circuit)
	}
}

// forward asks another server the same and returns its answer.
func forward(r *http.Request, url string, body []byte) string {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return string(text)
}
