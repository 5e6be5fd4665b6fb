package router_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/sse"
)

// wire is a client's WebSocket.
type wire struct {
	t    *testing.T
	conn *websocket.Conn
}

type wireMessage struct {
	ID, Type string
	Payload  json.RawMessage
}

func (l *liveShop) handshake(t *testing.T, header http.Header, protocols ...string) (*wire, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, strings.Replace(l.url, "http", "ws", 1)+"/graphql",
		&websocket.DialOptions{Subprotocols: protocols, HTTPHeader: header})
	if conn != nil {
		conn.SetReadLimit(-1)
		t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return &wire{t, conn}, resp, err
}

// open opens a socket and says nothing yet.
func (l *liveShop) open(t *testing.T) *wire {
	t.Helper()
	w, _, err := l.handshake(t, nil, "graphql-transport-ws")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// dial opens a socket and greets; an empty token is an anonymous client.
func (l *liveShop) dial(t *testing.T, token string) *wire {
	t.Helper()
	w := l.open(t)
	w.greet(token)
	if m := w.receive(); m.Type != "connection_ack" {
		t.Fatalf("%+v", m)
	}
	return w
}

func (w *wire) greet(token string) {
	w.t.Helper()
	if token == "" {
		w.send(`{"type":"connection_init"}`)
		return
	}
	w.send(`{"type":"connection_init","payload":{"authorization":"` + token + `"}}`)
}

func (w *wire) send(text string) {
	w.t.Helper()
	w.sendAs(websocket.MessageText, text)
}

func (w *wire) sendAs(kind websocket.MessageType, text string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := w.conn.Write(ctx, kind, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) subscribe(id, query string) {
	w.t.Helper()
	text, err := json.Marshal(object{"id": id, "type": "subscribe", "payload": object{"query": query}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.send(string(text))
}

func (w *wire) receive() wireMessage {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
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

// want compares the next message with one that is given as JSON; requestIds are
// not compared.
func (w *wire) want(want string) {
	w.t.Helper()
	m := w.receive()
	got, err := json.Marshal(object{"id": m.ID, "type": m.Type, "payload": m.Payload})
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(withoutNulls(decode(w.t, want)), withoutNulls(decode(w.t, string(got)))); diff != "" {
		w.t.Fatalf("message (-want +got):\n%s", diff)
	}
}

// withoutNulls drops what a message does not have, and requestIds.
func withoutNulls(v any) any {
	o := v.(object)
	for _, key := range []string{"id", "payload"} {
		if o[key] == nil || o[key] == "" {
			delete(o, key)
		}
	}
	if errs, ok := o["payload"].([]any); ok {
		for _, e := range errs {
			delete(e.(object)["extensions"].(object), "requestId")
		}
	}
	return o
}

// wantClosed reads to the end and compares its code.
func (w *wire) wantClosed(want websocket.StatusCode) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for {
		_, _, err := w.conn.Read(ctx)
		if err == nil {
			continue
		}
		var closed websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != want {
			w.t.Errorf("closed with %v, want %d", err, want)
		}
		return closed.Reason
	}
}

// alive proves that the socket still serves.
func (w *wire) alive() {
	w.t.Helper()
	w.send(`{"type":"ping"}`)
	w.want(`{"type":"pong"}`)
}

// stream is a client's stream of server-sent events.
type stream struct {
	t      *testing.T
	resp   *http.Response
	cancel context.CancelFunc
	events chan string
	ended  chan error
}

func (l *liveShop) stream(t *testing.T, token, query string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	body, err := json.Marshal(object{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, resp: resp, cancel: cancel, events: make(chan string), ended: make(chan error, 1)}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.Header.Get("Content-Type") == sse.MediaType {
		go func() {
			s.ended <- sse.Read(resp.Body, 1<<20, func(event []byte) error {
				select {
				case s.events <- string(event):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}()
	}
	return s
}

func (s *stream) want(want string) {
	s.t.Helper()
	select {
	case got := <-s.events:
		wantBody(s.t, answer{body: got}, want)
	case err := <-s.ended:
		s.t.Fatalf("the stream ended: %v", err)
	}
}

// wantComplete is that the stream ends as it should.
func (s *stream) wantComplete() {
	s.t.Helper()
	select {
	case got := <-s.events:
		s.t.Fatalf("one more event: %s", got)
	case err := <-s.ended:
		if err != nil {
			s.t.Fatalf("the stream ended: %v", err)
		}
	}
}

func (s *stream) body() string {
	s.t.Helper()
	text, err := io.ReadAll(s.resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}
