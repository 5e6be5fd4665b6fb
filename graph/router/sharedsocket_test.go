package router_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router"
)

// subscribed takes one more subscription on an open socket.
func (u *upstreamSocket) subscribed(id string) {
	u.t.Helper()
	m, err := u.receive()
	if err != nil || m.Type != "subscribe" || m.ID != id {
		u.t.Fatalf("%s %s, %v: want subscribe of %s", m.Type, m.ID, err, id)
	}
}

func (u *upstreamSocket) nextOf(id, name string) {
	u.t.Helper()
	u.send(fmt.Sprintf(`{"type":"next","id":%q,"payload":{"data":{"userRenamed":{"__typename":"User","id":"u1","name":%q}}}}`, id, name))
}

func wantNext(t *testing.T, w *wire, id, name string) {
	t.Helper()
	w.want(`{"id":"` + id + `","type":"next","payload":{"data":{"userRenamed":{"name":"` + name + `"}}}}`)
}

// Subscriptions of one caller share a socket to their subgraph, of as many as it is
// told; each gets its own events, and the socket ends with the last of them.
func TestSubscriptionsShareASubgraphsSocket(t *testing.T) {
	t.Parallel()
	s, registry := newSocketed(t), prometheus.NewRegistry()
	l := newLiveShop(t, func(shop *shop) {
		delete(shop.options.Local, "users")
		shop.options.Remote = map[string]router.Remote{"users": {URL: s.url, Sockets: true, PerSocket: 2}}
		shop.options.Metrics = registry
	})
	token, _ := l.token(t, nil, time.Hour)
	w, other := l.dial(t, token), l.dial(t, token)
	w.subscribe("a", `subscription { userRenamed { name } }`)
	first := s.await(t)
	first.begin(token)
	other.subscribe("b", `subscription { userRenamed { name } }`)
	first.subscribed("2")
	w.subscribe("c", `subscription { userRenamed { name } }`)
	second := s.await(t)
	second.begin(token)
	if n := metric(t, registry, "tradesage_subgraph_sockets", "users"); n != 2 {
		t.Errorf("%v open sockets are counted", n)
	}
	first.nextOf("1", "one")
	wantNext(t, w, "a", "one")
	first.nextOf("2", "two")
	wantNext(t, other, "b", "two")
	second.nextOf("1", "three")
	wantNext(t, w, "c", "three")

	// One that leaves is told of, and its place is taken by the next.
	w.send(`{"id":"a","type":"complete"}`)
	if m, err := first.receive(); err != nil || m.Type != "complete" || m.ID != "1" {
		t.Fatalf("%+v %v", m, err)
	}
	first.nextOf("1", "too late")
	w.subscribe("d", `subscription { userRenamed { name } }`)
	first.subscribed("3")
	first.nextOf("3", "four")
	wantNext(t, w, "d", "four")
	first.send(`{"type":"complete","id":"3"}`)
	w.want(`{"id":"d","type":"complete"}`)
	first.send(`{"type":"error","id":"2","payload":[{"message":"not yours","extensions":{"code":"FORBIDDEN"}}]}`)
	if m := other.receive(); m.Type != "next" || !strings.Contains(string(m.Payload), `"FORBIDDEN"`) {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
	other.want(`{"id":"b","type":"complete"}`)
	if _, err := first.receive(); err == nil {
		t.Error("the socket outlives its last subscription")
	}
	second.nextOf("1", "five")
	wantNext(t, w, "c", "five")
}

// A socket that breaks off costs none of its subscriptions: all of them go on, on one
// socket again.
func TestABrokenSocketResumesAllItsSubscriptions(t *testing.T) {
	t.Parallel()
	s := newSocketed(t)
	l := s.live(t)
	token, _ := l.token(t, nil, time.Hour)
	const many = 5
	wires := make([]*wire, many)
	var u *upstreamSocket
	for i := range wires {
		wires[i] = l.dial(t, token)
		wires[i].subscribe("s", `subscription { userRenamed { name } }`)
		if i == 0 {
			u = s.await(t)
			u.begin(token)
		} else {
			u.subscribed(fmt.Sprint(i + 1))
		}
		u.nextOf(fmt.Sprint(i+1), "before")
		wantNext(t, wires[i], "s", "before")
	}
	u.end()
	u = s.await(t)
	u.begin(token)
	for range many - 1 { // in any order
		u.want("subscribe", "userRenamed")
	}
	for i := range wires {
		u.nextOf(fmt.Sprint(i+1), "after")
	}
	for _, w := range wires {
		wantNext(t, w, "s", "after")
	}
	select {
	case <-s.opened:
		t.Error("more than one socket was opened again")
	default:
	}
}

// Nobody's subscription goes over a socket that was opened with somebody else's
// credentials, however much else is the same: not another user's, not another session
// of the same user, not a newer token of the same session, and not one of a caller
// without any.
func TestSocketsAreNeverSharedBetweenCallers(t *testing.T) {
	t.Parallel()
	s := newSocketed(t)
	l := s.live(t)
	opened := map[string]*upstreamSocket{}
	subscribe := func(w *wire, token string) *upstreamSocket {
		t.Helper()
		w.subscribe("s", `subscription { userRenamed { name } }`)
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
		return u
	}
	var wires []*wire
	for range 4 {
		token, _ := l.token(t, nil, time.Hour)
		if opened[token] != nil {
			t.Fatal("two callers have one token")
		}
		w := l.dial(t, token)
		opened[token] = subscribe(w, token)
		wires = append(wires, w)
	}
	anonymous := l.dial(t, "")
	opened[""] = subscribe(anonymous, "")

	// A token that the client renews is that of what it subscribes to from then on; what
	// runs stays where it is.
	first, caller := l.token(t, nil, time.Hour)
	renewing := l.dial(t, first)
	opened[first] = subscribe(renewing, first)
	second, _ := l.token(t, caller, 2*time.Hour)
	renewing.send(`{"type":"ping","payload":{"authorization":"` + second + `"}}`)
	if m := renewing.receive(); m.Type != "pong" || !strings.Contains(string(m.Payload), "renewedUntil") {
		t.Fatalf("%s %s", m.Type, m.Payload)
	}
	renewing.subscribe("t", `subscription { userRenamed { name } }`)
	u := s.await(t)
	u.begin(second)
	opened[second] = u

	for token, u := range opened {
		u.nextOf("1", "of "+token)
	}
	for i, w := range append(wires, anonymous) {
		if m := w.receive(); m.Type != "next" || strings.Count(string(m.Payload), "of ") != 1 {
			t.Errorf("%d: %s %s", i, m.Type, m.Payload)
		}
	}
	got := map[string]string{}
	for range 2 {
		m := renewing.receive()
		got[m.ID] = string(m.Payload)
	}
	if !strings.Contains(got["s"], "of "+first+`"`) || !strings.Contains(got["t"], "of "+second+`"`) {
		t.Errorf("%v", got)
	}
}
