package router_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/sse"
)

// socketed is a remote subgraph that speaks graphql-transport-ws as another one's
// author has written it: a test plays it.
type socketed struct {
	url     string
	opened  chan *upstreamSocket
	refuses atomic.Int32 // with this status
}

// upstreamSocket is the subgraph's side of one socket.
type upstreamSocket struct {
	t      *testing.T
	conn   *websocket.Conn
	header http.Header
	over   chan struct{}
}

func newSocketed(t *testing.T) *socketed {
	t.Helper()
	return startSocketed(t, (*httptest.Server).Start)
}

func startSocketed(t *testing.T, start func(*httptest.Server)) *socketed {
	t.Helper()
	s := &socketed{opened: make(chan *upstreamSocket, 4)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			out, err := sse.NewWriter(w)
			if err != nil {
				t.Error(err)
				return
			}
			_ = out.Next([]byte(`{"data":{"userRenamed":{"__typename":"User","id":"u1","name":"streamed"}}}`))
			_ = out.Complete()
			return
		}
		if status := s.refuses.Load(); status != 0 {
			w.WriteHeader(int(status))
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"graphql-transport-ws"}})
		if err != nil {
			return // refused
		}
		socket := &upstreamSocket{t, conn, r.Header, make(chan struct{})}
		s.opened <- socket
		<-socket.over
		_ = conn.CloseNow()
	}))
	start(server)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *socketed) await(t *testing.T) *upstreamSocket {
	t.Helper()
	select {
	case u := <-s.opened:
		t.Cleanup(u.end)
		return u
	case <-time.After(patience):
		t.Fatal("nobody opens a socket")
		return nil
	}
}

func (u *upstreamSocket) end() {
	select {
	case <-u.over:
	default:
		close(u.over)
	}
}

func (u *upstreamSocket) send(text string) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := u.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		u.t.Error(err)
	}
}

func (u *upstreamSocket) receive() (m wireMessage, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, text, err := u.conn.Read(ctx)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	return m, err
}

func (u *upstreamSocket) want(kind, part string) {
	u.t.Helper()
	m, err := u.receive()
	if err != nil || m.Type != kind || !strings.Contains(string(m.Payload), part) {
		u.t.Fatalf("%s %s, %v: want %s with %s", m.Type, m.Payload, err, kind, part)
	}
}

// begin greets and takes the subscription.
func (u *upstreamSocket) begin(token string) {
	u.t.Helper()
	u.want("connection_init", `{"authorization":"`+token+`"}`)
	u.send(`{"type":"ping"}`)
	u.want("pong", "")
	u.send(`{"type":"connection_ack","payload":{"hello":"world"}}`)
	u.want("subscribe", "userRenamed")
}

func (u *upstreamSocket) next(name string) {
	u.t.Helper()
	u.send(`{"type":"next","id":"1","payload":{"data":{"userRenamed":{"__typename":"User","id":"u1","name":"` + name + `"}}}}`)
}

func (s *socketed) live(t *testing.T) *liveShop {
	t.Helper()
	return newLiveShop(t, func(shop *shop) {
		delete(shop.options.Local, "users")
		shop.options.Remote = map[string]router.Remote{"users": {URL: s.url, Sockets: true}}
	})
}

// A subgraph is asked over graphql-transport-ws where it speaks it, and is asked
// again when its socket breaks off.
func TestSubscriptionsOverSubgraphsSockets(t *testing.T) {
	t.Parallel()
	s := newSocketed(t)
	l := s.live(t)
	token, _ := l.token(t, nil, time.Hour)
	w := l.dial(t, token)
	w.subscribe("s", `subscription { userRenamed { id name reviewCount } }`)
	u := s.await(t)
	if u.header.Get("Authorization") != token || u.header.Get("X-Request-Id") == "" {
		t.Errorf("opened with %v", u.header)
	}
	u.begin(token)
	want := func(name string) {
		t.Helper()
		w.want(`{"id":"s","type":"next","payload":{"data":{"userRenamed":{"id":"u1","name":"` + name + `","reviewCount":7}}}}`)
	}
	u.next("one")
	want("one")
	u.send(`{"type":"ping","payload":{}}`)
	u.want("pong", "")
	u.send(`{"type":"pong"}`)
	u.next("two")
	want("two")
	u.send(`{"type":"next","id":"1","payload":{"data":{"userRenamed":{"__typename":"User","id":"u1","name":5}}}}`)
	if m := w.receive(); m.Type != "next" || !strings.Contains(string(m.Payload), `"path":["userRenamed","name"],"extensions":{"code":"INTERNAL"`) {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
	u.end()

	u = s.await(t)
	u.begin(token)
	u.next("three")
	want("three")
	u.send(`{"type":"complete","id":"1"}`)
	w.want(`{"id":"s","type":"complete"}`)
	if _, err := u.receive(); err == nil {
		t.Error("the socket stays open")
	}
}

// What a subgraph refuses is refused; a client that has had enough ends the socket.
func TestEndsOfSubgraphsSockets(t *testing.T) {
	t.Parallel()
	s := newSocketed(t)
	l := s.live(t)
	token, _ := l.token(t, nil, time.Hour)
	w := l.dial(t, token)
	w.subscribe("s", renamed)
	u := s.await(t)
	u.begin(token)
	u.send(`{"type":"error","id":"1","payload":[{"message":"not yours","extensions":{"code":"FORBIDDEN"}}]}`)
	if m := w.receive(); m.Type != "next" || !strings.Contains(string(m.Payload), `"FORBIDDEN"`) {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
	w.want(`{"id":"s","type":"complete"}`)

	w.subscribe("s", renamed)
	u = s.await(t)
	u.begin(token)
	u.next("one")
	w.want(named("one"))
	w.send(`{"id":"s","type":"complete"}`)
	if _, err := u.receive(); err == nil {
		t.Error("the socket stays open")
	}

	for name, bad := range map[string]string{
		"no JSON": `{"type":`, "no response": `{"type":"next","id":"1","payload":[]}`, "no errors": `{"type":"error","id":"1","payload":"x"}`,
	} {
		w.subscribe("s", renamed)
		u = s.await(t)
		u.begin(token)
		u.send(bad)
		if m := w.receive(); m.Type != "error" || !strings.Contains(string(m.Payload), `"UNAVAILABLE"`) {
			t.Errorf("%s: %s %s", name, m.Type, m.Payload)
		}
	}
}

// A subgraph that opens no sockets is asked over server-sent events.
func TestSubgraphsWithoutSockets(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int32{"no upgrade": 200, "not found": 404, "bad request": 400} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSocketed(t)
			s.refuses.Store(status)
			l := s.live(t)
			token, _ := l.token(t, nil, time.Hour)
			w := l.dial(t, token)
			for range 2 {
				w.subscribe("s", renamed)
				w.want(named("streamed"))
				w.want(`{"id":"s","type":"complete"}`)
			}
		})
	}
	t.Run("away", func(t *testing.T) {
		t.Parallel()
		s := newSocketed(t)
		s.refuses.Store(503)
		l := s.live(t)
		token, _ := l.token(t, nil, time.Hour)
		w := l.dial(t, token)
		w.subscribe("s", renamed)
		w.want(`{"id":"s","type":"error","payload":[{"message":"the users service does not answer","extensions":{"code":"UNAVAILABLE"}}]}`)
	})
}
