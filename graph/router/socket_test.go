package router_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

func TestMessagesThatEndTheSocket(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, func(s *shop) { s.options.Limits.MaxBodyBytes = 100_000 })
	for name, c := range map[string]struct {
		kind websocket.MessageType
		text string
		code websocket.StatusCode
	}{
		"binary":             {websocket.MessageBinary, `{"type":"ping"}`, 4400},
		"no JSON":            {websocket.MessageText, `{"type":`, 4400},
		"empty":              {websocket.MessageText, ``, 4400},
		"null":               {websocket.MessageText, `null`, 4400},
		"a list":             {websocket.MessageText, `[{"type":"ping"}]`, 4400},
		"a number as type":   {websocket.MessageText, `{"type":7}`, 4400},
		"a key twice":        {websocket.MessageText, `{"type":"subscribe","type":"ping"}`, 4400},
		"and escaped":        {websocket.MessageText, `{"type":"subscribe","typ\u0065":"ping"}`, 4400},
		"an unknown type":    {websocket.MessageText, `{"type":"start"}`, 4400},
		"a server's type":    {websocket.MessageText, `{"type":"next","id":"1","payload":{}}`, 4400},
		"an ack":             {websocket.MessageText, `{"type":"connection_ack"}`, 4400},
		"no id":              {websocket.MessageText, `{"type":"subscribe","payload":{"query":"{me{id}}"}}`, 4400},
		"an id that is long": {websocket.MessageText, `{"type":"subscribe","id":"` + strings.Repeat("x", 129) + `","payload":{"query":"{me{id}}"}}`, 4400},
		"no payload":         {websocket.MessageText, `{"type":"subscribe","id":"1"}`, 4400},
		"too large":          {websocket.MessageText, `{"type":"ping","x":"` + strings.Repeat("x", 100_001) + `"}`, 1009},
	} {
		t.Run(name, func(t *testing.T) {
			w := l.dial(t, "")
			w.sendAs(c.kind, c.text)
			w.wantClosed(c.code)
		})
	}
}

// What is wrong with one operation is that operation's error; the others go on.
func TestOperationsThatFail(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	w := l.dial(t, "")
	w.subscribe("live", renamed)
	l.await(t, 1)
	for name, c := range map[string]struct {
		payload string
		code    fault.Code
	}{
		"null":            {`null`, fault.CodeInvalidInput},
		"a batch":         {`[{"query":"{me{id}}"}]`, fault.CodeInvalidInput},
		"no query":        {`{}`, fault.CodeInvalidInput},
		"syntax":          {`{"query":"{"}`, fault.CodeInvalidInput},
		"an unknown":      {`{"query":"{nobody}"}`, fault.CodeInvalidInput},
		"a wrong value":   {`{"query":"query($i:ID!){user(id:$i){id}}","variables":{"i":[1]}}`, fault.CodeInvalidInput},
		"keys twice":      {`{"query":"{me{id}}","query":"{me{id}}"}`, fault.CodeInvalidInput},
		"two roots":       {`{"query":"subscription{a:userRenamed{id} b:userRenamed{id}}"}`, fault.CodeInvalidInput},
		"a kept query":    {`{"extensions":{"persistedQuery":{"sha256Hash":"x"}}}`, fault.CodePersistedQueryNotSupported},
		"bytes not UTF-8": {"{\"query\":\"{echo(value:\\\"\xff\\\")}\"}", fault.CodeInvalidInput},
	} {
		w.send(`{"id":"bad","type":"subscribe","payload":` + c.payload + `}`)
		m := w.receive()
		var errs []struct{ Extensions struct{ Code fault.Code } }
		if err := json.Unmarshal(m.Payload, &errs); err != nil || m.Type != "error" || m.ID != "bad" || len(errs) == 0 || errs[0].Extensions.Code != c.code {
			t.Errorf("%s: %s %s, want %s", name, m.Type, m.Payload, c.code)
		}
	}
	// A field's error is part of a result.
	w.subscribe("q", `{ fail(code: "NOT_FOUND") me { id } }`)
	w.want(`{"id":"q","type":"next","payload":{"data":{"fail":null,"me":{"id":"u1"}},"errors":[{"message":"it failed as asked","path":["fail"],"extensions":{"code":"NOT_FOUND","retryAfter":3}}]}}`)
	w.want(`{"id":"q","type":"complete"}`)
	w.subscribe("m", `mutation { touch }`)
	w.want(`{"id":"m","type":"next","payload":{"data":{"touch":1}}}`)
	w.want(`{"id":"m","type":"complete"}`)
	l.rename("Eve")
	w.want(`{"id":"live","type":"next","payload":{"data":{"userRenamed":{"id":"u1","name":"Eve"}}}}`)
}

func TestOperationsOfOneSocket(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.MaxOperations = 3 }))
	w := l.dial(t, "")
	w.subscribe("a", renamed)
	w.subscribe("b\"\u2028", renamedWide)
	l.await(t, 2)
	l.rename("One")
	got := map[string]string{}
	for range 2 {
		m := w.receive()
		got[m.ID] = string(m.Payload)
	}
	wantBody(t, answer{body: got["a"]}, `{"data":{"userRenamed":{"id":"u1","name":"One"}}}`)
	// The rest comes from the other subgraphs, as they know it now.
	wantBody(t, answer{body: got["b\"\u2028"]}, `{"data":{"userRenamed":{"called":"One","orders":[{"id":"o1","total":10}],"reviewCount":7,"greeting":"hi One"}}}`)

	w.subscribe("c", renamed)
	l.await(t, 3)
	w.subscribe("d", renamed)
	w.want(`{"id":"d","type":"error","payload":[{"message":"at most 3 operations run at once on a connection","extensions":{"code":"RATE_LIMITED","retryAfter":1}}]}`)
	for _, id := range []string{"a", "b\"\u2028"} {
		text, err := json.Marshal(object{"id": id, "type": "complete"})
		if err != nil {
			t.Fatal(err)
		}
		w.send(string(text))
	}
	w.send(`{"id":"never was","type":"complete"}`)
	l.await(t, 1)
	w.subscribe("a", renamed) // an id that was used before
	l.await(t, 2)
	l.publish(happening{end: true})
	for range 2 {
		if m := w.receive(); m.Type != "complete" || m.ID != "a" && m.ID != "c" {
			t.Errorf("%+v", m)
		}
	}
	w.subscribe("a", renamed)
	w.subscribe("a", renamed)
	w.wantClosed(4409)
	l.await(t, 0)
}

// After complete nothing more comes, however much is on its way.
func TestCompleteDuringEvents(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	w := l.dial(t, "")
	stop := make(chan struct{})
	published := make(chan struct{})
	go func() {
		defer close(published)
		for {
			select {
			case <-stop:
				return
			default:
				l.rename("Storm")
			}
		}
	}()
	for round := range 50 {
		id := fmt.Sprint(round)
		w.subscribe(id, renamed)
		for n := 0; n < 3; {
			if m := w.receive(); m.ID != id || m.Type != "next" {
				t.Fatalf("round %d: %+v", round, m)
			}
			n++
		}
		w.send(`{"id":"` + id + `","type":"complete"}`)
		// What was sent before the server read this comes before the pong.
		w.send(`{"type":"ping"}`)
		for m := w.receive(); m.Type != "pong"; m = w.receive() {
			if m.ID != id || m.Type != "next" {
				t.Fatalf("round %d: %+v", round, m)
			}
		}
	}
	close(stop)
	<-published
}

// An id is used again while the operation before it ends by itself: its last
// message is never taken for the next one's.
func TestAnIDThatIsUsedAgainAtOnce(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	w := l.dial(t, "")
	for round := range 300 {
		w.subscribe("x", fmt.Sprintf(`{ echo(value: "%d") }`, round))
		if m := w.receive(); m.Type != "next" {
			t.Fatalf("round %d: %+v", round, m)
		}
		// The server sends complete at the same time, or not at all.
		w.send(`{"id":"x","type":"complete"}`)
		w.subscribe("x", fmt.Sprintf(`{ echo(value: "%d again") }`, round))
		m := w.receive()
		if m.Type == "complete" {
			m = w.receive() // of the first
		}
		if want := fmt.Sprintf(`{"data":{"echo":"%d again"}}`, round); m.Type != "next" || string(m.Payload) != want {
			t.Fatalf("round %d: %s %s, want %s", round, m.Type, m.Payload, want)
		}
		if m := w.receive(); m.Type != "complete" {
			t.Fatalf("round %d: %+v", round, m)
		}
	}
	w.alive()
}

func TestSourcesThatFail(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	w := l.dial(t, "")
	begin := func() {
		w.subscribe("s", renamed)
		l.await(t, 1)
	}
	begin()
	l.publish(happening{value: fault.NotFound("no such user")})
	w.want(`{"id":"s","type":"next","payload":{"data":{"userRenamed":null},"errors":[{"message":"no such user","path":["userRenamed"],"extensions":{"code":"NOT_FOUND"}}]}}`)
	l.publish(happening{value: nil})
	w.want(`{"id":"s","type":"next","payload":{"data":{"userRenamed":null}}}`)
	l.publish(happening{raw: []byte(`{"errors":[{"message":"quota","extensions":{"code":"QUOTA_EXCEEDED"}}]}`)})
	w.want(`{"id":"s","type":"next","payload":{"data":null,"errors":[{"message":"quota","extensions":{"code":"QUOTA_EXCEEDED"}}]}}`)
	for _, end := range []happening{
		{raw: []byte(`{"data":`)}, {raw: []byte(`{}`)}, {raw: []byte(`{"data":7}`)},
		{end: true, err: io.ErrUnexpectedEOF}, {end: true, err: fault.Internal(io.EOF)},
	} {
		l.publish(end)
		w.want(`{"id":"s","type":"error","payload":[{"message":"internal error","extensions":{"code":"INTERNAL"}}]}`)
		begin()
	}
	l.publish(happening{end: true, err: fault.Unavailable("the feed is lost")})
	w.want(`{"id":"s","type":"error","payload":[{"message":"the feed is lost","extensions":{"code":"UNAVAILABLE"}}]}`)
	w.alive()
	// What the other subgraphs cannot give is null with an error, as in a query.
	w.subscribe("s", `subscription { userRenamed { name m: maybe risky } }`)
	l.await(t, 1)
	l.rename("Ada")
	if m := w.receive(); m.Type != "next" || !strings.Contains(string(m.Payload), `"UNAVAILABLE"`) {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
}

func TestSubscriptionsThatMayNotBegin(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, func(s *shop) {
		s.options.AllowMutations = func() error { return fault.Unavailable("revocations are not followed") }
	})
	w := l.dial(t, "")
	w.subscribe("s", renamed)
	w.want(`{"id":"s","type":"error","payload":[{"message":"revocations are not followed","extensions":{"code":"UNAVAILABLE"}}]}`)
	w.subscribe("q", `{ me { id } }`)
	w.want(`{"id":"q","type":"next","payload":{"data":{"me":{"id":"u1"}}}}`)
}

// A socket outlives the request that opened it, not its client.
func TestClientsThatVanish(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.PingEvery, s.WriteWithin = 20*time.Millisecond, time.Second }))
	for name, vanish := range map[string]func(*wire){
		"closes":              func(w *wire) { _ = w.conn.Close(websocket.StatusNormalClosure, "bye") },
		"breaks off":          func(w *wire) { _ = w.conn.CloseNow() },
		"answers no pings":    func(*wire) {}, // nobody reads
		"answers a ping late": func(w *wire) { w.send(`{"type":"ping"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			w := l.dial(t, "")
			w.subscribe("s", renamed)
			vanish(w)
			l.await(t, 0)
		})
	}
}

func TestPingsOfTheServer(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.PingEvery = 5 * time.Millisecond }))
	pings := make(chan struct{}, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(l.url, "http", "ws", 1), &websocket.DialOptions{
		Subprotocols: []string{"graphql-transport-ws"},
		OnPingReceived: func(context.Context, []byte) bool {
			select {
			case pings <- struct{}{}:
			default:
			}
			return true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	w := &wire{t, conn}
	w.greet("")
	w.want(`{"type":"connection_ack"}`)
	w.subscribe("s", renamed)
	l.await(t, 1)
	reading := make(chan string, 1)
	go func() {
		_, text, err := conn.Read(ctx)
		reading <- fmt.Sprint(string(text), err)
	}()
	for range 5 {
		<-pings
	}
	l.rename("Ada")
	if got := <-reading; !strings.Contains(got, "Ada") {
		t.Error(got)
	}
}
