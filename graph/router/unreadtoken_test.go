package router_test

import (
	"net/http"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
)

// Where nobody signs in, tokens are passed on unread, on sockets as in requests: that of
// the handshake or of connection_init, and the newer one of a ping to what is asked from
// then on.
func TestUnreadTokensOnSockets(t *testing.T) {
	t.Parallel()
	s := newSocketed(t)
	l := newLiveShop(t, func(shop *shop) {
		delete(shop.options.Local, "users")
		shop.options.Remote = map[string]router.Remote{"users": {URL: s.url, Sockets: true}}
		shop.options.Authenticate, shop.options.Recheck = nil, nil
	})
	subscribe := func(w *wire, id, token string) {
		t.Helper()
		w.subscribe(id, `subscription { userRenamed { name } }`)
		u := s.await(t)
		if got := u.header.Get("Authorization"); got != token {
			t.Errorf("opened with %q in place of %q", got, token)
		}
		if token == "" {
			u.want("connection_init", "")
			u.send(`{"type":"connection_ack"}`)
			u.want("subscribe", "userRenamed")
		} else {
			u.begin(token)
		}
		u.nextOf("1", "of "+token)
		wantNext(t, w, id, "of "+token)
	}
	subscribe(l.dial(t, ""), "s", "")
	w := l.dial(t, "Bearer one")
	subscribe(w, "s", "Bearer one")
	w.send(`{"type":"ping","payload":{"authorization":"Bearer two"}}`)
	w.want(`{"type":"pong"}`)
	subscribe(w, "t", "Bearer two")

	handshaken, _, err := l.handshake(t, http.Header{"Authorization": {"Bearer three"}}, "graphql-transport-ws")
	if err != nil {
		t.Fatal(err)
	}
	handshaken.greet("")
	handshaken.want(`{"type":"connection_ack"}`)
	subscribe(handshaken, "s", "Bearer three")
}
