package router_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/identity"
)

// A supergraph that is fixed stays, and a subgraph of another process has the token
// of who asks on a connection that stays open, the newest one.
func TestAFixedSupergraph(t *testing.T) {
	t.Parallel()
	for _, remote := range []bool{false, true} {
		t.Run(fmt.Sprintf("remote %t", remote), func(t *testing.T) {
			t.Parallel()
			headers := func() []http.Header { return nil }
			l := newLiveShop(t, func(s *shop) {
				s.options.Fixed = true
				if remote {
					delete(s.options.Local, "orders")
					var orders string
					orders, headers = overHTTP(t, s.orders)
					s.options.Remote = map[string]router.Remote{"orders": {URL: orders}}
				}
			})
			const orders = `{"id":"q","type":"next","payload":{"data":{"orders":[{"id":"o1"},{"id":"o2"},{"id":"o3"}]}}}`
			token, caller := l.token(t, nil, time.Hour)
			w := l.dial(t, token)
			w.subscribe("s", renamed)
			l.await(t, 1)
			w.subscribe("q", `{ orders { id } }`)
			w.want(orders)
			w.want(`{"id":"q","type":"complete"}`)
			newer, _ := l.token(t, caller, 2*time.Hour)
			w.renew(newer)
			w.subscribe("q", `{ orders { id } }`)
			w.want(orders)
			w.want(`{"id":"q","type":"complete"}`)

			if err := l.router.Reload(t.Context(), renamedConfig(t, "email", "letters"), nil); err == nil {
				t.Error("it is replaced")
			}
			wantBody(t, query(l.router, `{ me { email } }`, ""), `{"data":{"me":{"email":"ada@shop.test"}}}`)
			l.rename("Ann") // what goes on needs no token
			w.want(`{"id":"s","type":"next","payload":{"data":{"userRenamed":{"id":"u1","name":"Ann"}}}}`)
			var tokens []string
			for _, h := range headers() {
				tokens = append(tokens, h.Get("Authorization"))
			}
			var want []string
			if remote {
				want = []string{token, newer}
			}
			if diff := cmp.Diff(want, tokens); diff != "" {
				t.Errorf("tokens of the other process (-want +got):\n%s", diff)
			}
		})
	}
}

// Later tokens of a socket are verified as if they came with the request that
// opened it.
func TestLaterTokensComeFromTheSamePlace(t *testing.T) {
	t.Parallel()
	type place struct{ Host, Remote, Token string }
	seen := make(chan place, 2)
	var l *liveShop
	l = newLiveShop(t, func(s *shop) {
		s.options.Authenticate = func(r *http.Request) (*identity.Caller, error) {
			seen <- place{r.Host, r.RemoteAddr, r.Header.Get("Authorization")}
			return l.authenticate(r)
		}
	})
	token, caller := l.token(t, nil, time.Hour)
	w, _, err := l.handshake(t, http.Header{"Authorization": {token}}, "graphql-transport-ws")
	if err != nil {
		t.Fatal(err)
	}
	w.greet("")
	w.want(`{"type":"connection_ack"}`)
	newer, _ := l.token(t, caller, 2*time.Hour)
	w.renew(newer)
	first, second := <-seen, <-seen
	if first.Remote == "" || first.Host == "" || first.Token != token {
		t.Errorf("the first is %+v", first)
	}
	if first.Token = newer; first != second {
		t.Errorf("the first came from %+v, the second from %+v", first, second)
	}
}

// renew sends a newer token.
func (w *wire) renew(token string) {
	w.t.Helper()
	w.send(`{"type":"ping","payload":{"authorization":"` + token + `"}}`)
	if m := w.receive(); m.Type != "pong" || !strings.Contains(string(m.Payload), "renewedUntil") {
		w.t.Fatalf("%+v", m)
	}
}
