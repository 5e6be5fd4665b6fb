package router_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/sse"
	"github.com/tradesage/tradesage/internal/fault"
)

// restless is a remote subgraph whose streams a test breaks off.
type restless struct {
	url string
	// asked are the requests for streams.
	asked chan stretch
	// away is whether it answers 503.
	away atomic.Bool
}

// stretch is one stream, for as long as it holds.
type stretch struct {
	token, query string
	variables    map[string]any
	// events go out until the channel is closed; then the connection breaks off.
	events chan string
}

func newRestless(t *testing.T) *restless {
	t.Helper()
	r := &restless{asked: make(chan stretch, 16)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s := stretch{token: req.Header.Get("Authorization"), events: make(chan string)}
		body := bufio.NewScanner(req.Body)
		body.Scan()
		var request struct {
			Query     string
			Variables map[string]any
		}
		if err := json.Unmarshal(body.Bytes(), &request); err != nil {
			t.Error(err)
		}
		s.query, s.variables = request.Query, request.Variables
		out, err := sse.NewWriter(w)
		if err != nil {
			t.Error(err)
		}
		r.asked <- s
		for {
			select {
			case event, more := <-s.events:
				switch {
				case !more:
					panic(http.ErrAbortHandler)
				case event == "complete":
					_ = out.Complete()
					return
				}
				_ = out.Next([]byte(event)) // the router may be gone
			case <-req.Context().Done():
				return
			}
		}
	}))
	server.Config.Protocols = &http.Protocols{}
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// live serves the shop with r for its users; own is whether r is a service of ours.
func (r *restless) live(t *testing.T, own bool, change func(*shop)) *liveShop {
	t.Helper()
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return newLiveShop(t, func(s *shop) {
		delete(s.options.Local, "users")
		s.options.Remote = map[string]router.Remote{"users": {URL: r.url, Transport: transport, Renews: own}}
		s.options.Streams.Cursor = "cursor"
		s.options.Streams.Feeds = map[string]string{"userRenamed": "after"}
		s.options.Upstream.Pause = 100 * time.Millisecond
		if change != nil {
			change(s)
		}
	})
}

func (r *restless) await(t *testing.T) stretch {
	t.Helper()
	select {
	case s := <-r.asked:
		return s
	case <-time.After(patience):
		t.Fatal("nobody asks for a stream")
		return stretch{}
	}
}

const leaving = `{"errors":[{"message":"this service is about to end","extensions":{"code":"UNAVAILABLE"}}],"data":null}`

func event(name, cursor string) string {
	return fmt.Sprintf(`{"data":{"userRenamed":{"__typename":"User","id":"u1","name":%q,"__cursor":%q}}}`, name, cursor)
}

// A subscription outlives its subgraph: its client gets events, and hears nothing of
// the connections that broke off meanwhile.
func TestSubscriptionsOutliveTheirSubgraph(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"a service of ours": true, "another subgraph": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRestless(t)
			registry := prometheus.NewRegistry()
			l := r.live(t, own, func(s *shop) { s.options.Metrics = registry })
			token, _ := l.token(t, nil, time.Hour)
			w := l.dial(t, token)
			w.subscribe("s", renamed)
			first := r.await(t)
			first.events <- event("one", "c1")
			w.want(named("one"))
			close(first.events)

			second := r.await(t)
			second.events <- event("two", "c2")
			w.want(named("two"))
			// A subgraph that ends in order says so; it may take a while to come back.
			second.events <- leaving
			r.away.Store(true)
			second.events <- "complete"
			w.alive()
			eventually(t, "the circuit to open", func() bool {
				return metric(t, registry, "tradesage_router_subscriptions_resumed_total", "users") > 3
			})
			r.away.Store(false)
			third := r.await(t)
			third.events <- event("three", "c3")
			w.want(named("three"))

			wantAfter := map[bool][3]string{true: {``, `(after: "c1")`, `(after: "c2")`}}[own]
			for i, s := range []stretch{first, second, third} {
				if s.token != token || strings.Contains(s.query, "after") != (wantAfter[i] != "") || !strings.Contains(s.query, wantAfter[i]) {
					t.Errorf("%d: %s with %q, want %s", i, s.query, s.token, wantAfter[i])
				}
			}
			third.events <- "complete"
			w.want(`{"id":"s","type":"complete"}`)
		})
	}
}

// What a client says about where to begin counts until there is a newer event.
func TestResumedSubscriptionsGoOnAfterTheLastEvent(t *testing.T) {
	t.Parallel()
	r := newRestless(t)
	l := r.live(t, true, nil)
	token, _ := l.token(t, nil, time.Hour)
	w := l.dial(t, token)
	w.send(`{"id":"s","type":"subscribe","payload":{"query":"subscription($a:String){it:userRenamed(after:$a){id name}}","variables":{"a":"c0"}}}`)
	first := r.await(t)
	if len(first.variables) != 1 || !strings.Contains(first.query, "$") {
		t.Errorf("asked for %s with %v", first.query, first.variables)
	}
	root, _, _ := strings.Cut(strings.TrimSpace(first.query[strings.IndexByte(first.query, '{')+1:]), "(")
	key, _, _ := strings.Cut(root, ":")
	first.events <- strings.Replace(event("one", "c1"), "userRenamed", strings.TrimSpace(key), 1)
	w.want(`{"id":"s","type":"next","payload":{"data":{"it":{"id":"u1","name":"one"}}}}`)
	close(first.events)
	if second := r.await(t); !strings.Contains(second.query, `(after: "c1")`) || strings.Contains(second.query, "$") {
		t.Errorf("asked for %s", second.query)
	}
}

// It does not wait for ever, nor before it has begun.
func TestSubscriptionsThatAreNotResumed(t *testing.T) {
	t.Parallel()
	const away = `{"id":"s","type":"error","payload":[{"message":"the users service does not answer","extensions":{"code":"UNAVAILABLE"}}]}`
	t.Run("never back", func(t *testing.T) {
		t.Parallel()
		r := newRestless(t)
		l := r.live(t, true, quick(func(s *router.Streams) { s.ResumeWithin = 300 * time.Millisecond }))
		token, _ := l.token(t, nil, time.Hour)
		w := l.dial(t, token)
		w.subscribe("s", renamed)
		s := r.await(t)
		s.events <- event("one", "c1")
		w.want(named("one"))
		r.away.Store(true)
		close(s.events)
		w.want(away)
		w.alive()
	})
	t.Run("switched off", func(t *testing.T) {
		t.Parallel()
		r := newRestless(t)
		l := r.live(t, true, quick(func(s *router.Streams) { s.ResumeWithin = -1 }))
		token, _ := l.token(t, nil, time.Hour)
		w := l.dial(t, token)
		w.subscribe("s", renamed)
		s := r.await(t)
		s.events <- event("one", "c1")
		w.want(named("one"))
		close(s.events)
		w.want(away)
	})
	t.Run("never there", func(t *testing.T) {
		t.Parallel()
		r := newRestless(t)
		r.away.Store(true)
		l := r.live(t, true, nil)
		token, _ := l.token(t, nil, time.Hour)
		w := l.dial(t, token)
		w.subscribe("s", renamed)
		w.want(away)
	})
	t.Run("refused when it is back", func(t *testing.T) {
		t.Parallel()
		r := newRestless(t)
		l := r.live(t, true, nil)
		token, _ := l.token(t, nil, time.Hour)
		w := l.dial(t, token)
		w.subscribe("s", renamed)
		s := r.await(t)
		s.events <- event("one", "c1")
		w.want(named("one"))
		close(s.events)
		again := r.await(t)
		again.events <- `{"errors":[{"message":"not yours","extensions":{"code":"FORBIDDEN"}}],"data":null}`
		again.events <- "complete"
		if m := w.receive(); !strings.Contains(string(m.Payload), string(fault.CodeForbidden)) {
			t.Errorf("%s %s", m.Type, m.Payload)
		}
	})
}

// An event that is only unlucky is shown, and the stream goes on.
func TestEventsWithoutData(t *testing.T) {
	t.Parallel()
	r := newRestless(t)
	l := r.live(t, true, nil)
	token, _ := l.token(t, nil, time.Hour)
	w := l.dial(t, token)
	w.subscribe("s", renamed)
	s := r.await(t)
	s.events <- event("one", "c1")
	w.want(named("one"))
	s.events <- leaving
	s.events <- event("two", "c2")
	if m := w.receive(); m.Type != "next" || !strings.Contains(string(m.Payload), string(fault.CodeUnavailable)) {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
	w.want(named("two"))
	s.events <- "{\"data\":{\"userRenamed\":{\"id\":\"\xff\"}}}"
	close(s.events)
	if after := r.await(t); !strings.Contains(after.query, `(after: "c2")`) {
		t.Errorf("asked for %s", after.query)
	}
}
