package main_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/sse"
)

// soon bounds the wait for an event, generously: machines are busy.
const soon = 20 * time.Second

// wire is a client's WebSocket.
type wire struct {
	t    *testing.T
	conn *websocket.Conn
}

type wireMessage struct {
	ID, Type string
	Payload  json.RawMessage
}

func (p *process) dial(t *testing.T, token string) *wire {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, strings.Replace(p.url, "http", "ws", 1)+"/graphql",
		&websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	w := &wire{t, conn}
	w.send(map[string]any{"type": "connection_init", "payload": map[string]any{"authorization": "Bearer " + token}})
	if m := w.receive(); m.Type != "connection_ack" {
		t.Fatalf("%+v", m)
	}
	return w
}

func (w *wire) send(m any) {
	w.t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), soon)
	defer cancel()
	if err := w.conn.Write(ctx, websocket.MessageText, text); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) subscribe(id, query string, variables map[string]any) {
	w.t.Helper()
	w.send(map[string]any{"id": id, "type": "subscribe", "payload": map[string]any{"query": query, "variables": variables}})
}

func (w *wire) receive() wireMessage {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), soon)
	defer cancel()
	_, text, err := w.conn.Read(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var m wireMessage
	if err := json.Unmarshal(text, &m); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// event returns the field's value of the next result.
func (w *wire) event(field string) map[string]any {
	w.t.Helper()
	m := w.receive()
	var r gqlResponse
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		w.t.Fatalf("%s %s: %v", m.Type, m.Payload, err)
	}
	found, ok := r.Data[field].(map[string]any)
	if m.Type != "next" || !ok {
		w.t.Fatalf("%s %s", m.Type, m.Payload)
	}
	return found
}

const (
	sessionEvents = `subscription($after: String) { sessionEvents(after: $after) { id cursor kind reason sessionId was: session { id current device { name } } } }`
	activity      = `subscription { activityEvents { cursor kind action target actor { email tenant { slug } sessions(first: 1) { edges { node { id } } } } } }`
	tenantEvents  = `subscription { tenantEvents { kind tenant { slug state } actor { email } } }`
)

func TestLiveEvents(t *testing.T) { everywhere(t, liveEvents) }

func liveEvents(t *testing.T, p *process) {
	token, id := p.signIn(t, "owner@acme.test")
	stranger, _ := p.signIn(t, "owner@globex.test")
	own, foreign := p.dial(t, token), p.dial(t, stranger)
	foreign.subscribe("a", activity, nil)
	if e := foreign.event("activityEvents"); e["kind"] != "SUBSCRIBED" {
		t.Fatal(e)
	}

	t.Run("what somebody does is seen", func(t *testing.T) {
		own.subscribe("a", activity, nil)
		if e := own.event("activityEvents"); e["kind"] != "SUBSCRIBED" || e["actor"] != nil {
			t.Fatal(e)
		}
		began := time.Now()
		if answer := p.ask(t, token, `mutation { updateProfile(input: {displayName: "Live"}) { user { id } } }`, nil); len(answer.Errors) > 0 {
			t.Fatalf("%+v", answer)
		}
		e := own.event("activityEvents")
		for e["action"] == "auth.login" || e["action"] == "user.join" { // of before, still on its way
			e = own.event("activityEvents")
		}
		t.Logf("the event came %s after the mutation was sent", time.Since(began))
		got := []any{e["kind"], e["action"], e["target"], dig(e, "actor", "email"), dig(e, "actor", "tenant", "slug")}
		if diff := cmp.Diff([]any{"RECORDED", "user.update_profile", id, "owner@acme.test", "acme"}, got); diff != "" {
			t.Error(diff)
		}
		if s, _ := dig(e, "actor", "sessions", "edges", 0, "node", "id").(string); s == "" {
			t.Errorf("the actor's sessions are not joined: %v", e)
		}
		own.send(map[string]any{"id": "a", "type": "complete"})
	})
	t.Run("a reconnect loses nothing", func(t *testing.T) {
		first := p.dial(t, token)
		first.subscribe("s", sessionEvents, nil)
		cursor := first.event("sessionEvents")["cursor"]
		_ = first.conn.CloseNow()
		second, _ := p.signIn(t, "owner@acme.test")
		p.signIn(t, "owner@globex.test") // of another tenant
		p.signIn(t, "trader@acme.test")  // another's
		if answer := p.ask(t, second, `mutation { logout { revoked } }`, nil); len(answer.Errors) > 0 {
			t.Fatalf("%+v", answer)
		}
		p.signIn(t, "owner@acme.test")
		again := p.dial(t, token)
		again.subscribe("s", sessionEvents, map[string]any{"after": cursor})
		var got []any
		for range 4 {
			e := again.event("sessionEvents")
			got = append(got, e["kind"])
			if name, _ := dig(e, "was", "device", "name").(string); len(got) == 4 && name == "" {
				t.Errorf("the device is not joined: %v", e)
			}
		}
		if diff := cmp.Diff([]any{"SUBSCRIBED", "STARTED", "ENDED", "STARTED"}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("administrators follow tenants", func(t *testing.T) {
		admin, _ := p.signIn(t, "admin@tradesage.test")
		w := p.dial(t, admin)
		w.subscribe("t", tenantEvents, nil)
		w.event("tenantEvents")
		if answer := p.ask(t, admin, `mutation { createTenant(input: {name: "Live", slug: "live-one", ownerEmail: "o@live.test"}) { tenant { id } } }`, nil); len(answer.Errors) > 0 {
			t.Fatalf("%+v", answer)
		}
		for _, want := range []string{"CREATED", "STATE_CHANGED"} {
			e := w.event("tenantEvents")
			if diff := cmp.Diff([]any{want, "live-one", "admin@tradesage.test"}, []any{e["kind"], dig(e, "tenant", "slug"), dig(e, "actor", "email")}); diff != "" {
				t.Error(diff)
			}
		}
	})
	t.Run("queries and mutations on a socket", func(t *testing.T) {
		w := p.dial(t, token)
		w.subscribe("q", meQuery, nil)
		if got := w.event("me")["id"]; got != id {
			t.Error(got)
		}
		if m := w.receive(); m.Type != "complete" || m.ID != "q" {
			t.Errorf("%+v", m)
		}
	})
	t.Run("server-sent events", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		body, err := json.Marshal(map[string]any{"query": sessionEvents})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/graphql", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		// A stream is not what this client likes best, but all it can have.
		req.Header.Set("Accept", "application/json, text/event-stream")
		req.Header.Set("Accept-Encoding", "gzip")
		ending, _ := p.signIn(t, "trader@acme.test")
		req.Header.Set("Authorization", "Bearer "+ending)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got []any
		err = sse.Read(resp.Body, 1<<20, func(text []byte) error {
			var r gqlResponse
			if err := json.Unmarshal(text, &r); err != nil {
				return err
			}
			if dig(r.Data, "sessionEvents", "kind") == "STARTED" {
				return nil // of before, still on its way
			}
			got = append(got, dig(r.Data, "sessionEvents", "kind"), r.code())
			if len(got) == 2 { // the sign-in has ended: so must the stream
				p.ask(t, ending, `mutation { logout { revoked } }`, nil)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]any{"SUBSCRIBED", "", nil, "UNAUTHENTICATED"}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("the end of a session closes its socket", func(t *testing.T) {
		ended, _ := p.signIn(t, "trader@acme.test")
		w := p.dial(t, ended)
		w.subscribe("s", sessionEvents, nil)
		w.event("sessionEvents")
		began := time.Now()
		if answer := p.ask(t, ended, `mutation { logout { revoked } }`, nil); len(answer.Errors) > 0 {
			t.Fatalf("%+v", answer)
		}
		if status := closed(t, w); status != 4401 {
			t.Errorf("closed with %d", status)
		}
		t.Logf("closed %s after the mutation was sent", time.Since(began))
	})
	// All of the above was nothing to the other tenant.
	foreign.send(map[string]any{"type": "ping"})
	for m := foreign.receive(); m.Type != "pong"; m = foreign.receive() {
		if text := string(m.Payload); strings.Contains(text, "acme") || strings.Contains(text, id) {
			t.Errorf("globex sees %s", text)
		}
	}
	own.send(map[string]any{"type": "ping"})
	ended := make(chan struct{})
	go func() {
		p.interrupt(t)
		close(ended)
	}()
	if status := closed(t, foreign); status != websocket.StatusGoingAway {
		t.Errorf("closed with %d at the end of the server", status)
	}
	<-ended
}

// closed reads until the socket is closed and returns with which status.
func closed(t *testing.T, w *wire) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for {
		if _, _, err := w.conn.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}
