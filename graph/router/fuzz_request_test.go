package router

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tradesage/tradesage/internal/fault"
)

// known reports whether an error is one that a client may get for what it sent.
func known(err error) bool {
	f, ok := fault.As(err)
	return ok && f.Code != fault.CodeInternal
}

// FuzzParseRequest compares what is read from a body with what encoding/json reads
// from it: nothing may be checked in one meaning and run in another.
func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		`{"query":"{me{id}}","operationName":"A","variables":{"a":[1,{"b":null}]},"extensions":{}}`,
		`{"query":"\ud83d\ude00\u0000","variables":null}`, `{"query":"a","query":"b"}`, `{"Query":"a","QUERY":"b"}`,
		`{"query":"\ud800"}`, `{"variables":{"n":1e999999,"m":-0}}`, `[{"query":""}]`, ` {"query":7} `, "\xff", "\xef\xbb\xbf{}",
		`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"x"}}}`,
		strings.Repeat(`{"variables":`, 400) + `{}` + strings.Repeat(`}`, 400),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseRequest(bytes.Clone(body))
		if err != nil {
			if !known(err) {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		var object map[string]json.RawMessage // whose keys are not folded
		if err := json.Unmarshal(body, &object); err != nil {
			t.Fatalf("%q is taken: %v", body, err)
		}
		var want struct{ query, name string }
		named := object["documentId"] != nil || object["extensions"] != nil // a persisted operation may stand for the query
		if err := json.Unmarshal(object["query"], &want.query); err != nil && !named {
			t.Fatalf("%q: query is taken: %v", body, err)
		}
		if raw := object["operationName"]; raw != nil {
			if err := json.Unmarshal(raw, &want.name); err != nil {
				t.Fatalf("%q: operationName is taken: %v", body, err)
			}
		}
		// A lone surrogate is no character: each reader has its own way with it.
		if !strings.Contains(strings.ToLower(string(body)), `\ud`) && (got.query != want.query || got.operationName != want.name) {
			t.Errorf("%q: %q %q, want %q %q", body, got.query, got.operationName, want.query, want.name)
		}
	})
}

// FuzzReadURL: a GET says what a POST with its parameters would.
func FuzzReadURL(f *testing.F) {
	for _, seed := range []string{
		"query=%7Bme%7Bid%7D%7D", "query={me{id}}&variables={\"a\":1}&operationName=A", "query=a&query=b", "variables={},\"query\":\"b\"&query=a",
		"query=%ff", "%zz", "query=a;b&variables=", "extensions=%7B%22persistedQuery%22%3A%7B%7D%7D", "variables=1}", "query=\"}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		body, err := readURL(raw)
		if err != nil {
			if !known(err) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%q becomes %s: %v", raw, body, err)
		}
		values, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatalf("%q is read: %v", raw, err)
		}
		for name, value := range got {
			switch {
			case slices.Contains(textParameters, name):
				var text string
				if err := json.Unmarshal(value, &text); err != nil || text != values.Get(name) {
					t.Errorf("%q: %s is %s: %v", raw, name, value, err)
				}
			case slices.Contains(jsonParameters, name):
				if strings.TrimSpace(values.Get(name)) != string(value) {
					t.Errorf("%q: %s is %s", raw, name, value)
				}
			default:
				t.Errorf("%q says %s", raw, name)
			}
		}
	})
}

// FuzzSocket sends any lines as the messages of a WebSocket: what comes back is
// GraphQL over WebSocket, the socket ends with a code that docs/errors.md tells, and
// nothing of it stays.
func FuzzSocket(f *testing.F) {
	const init = `{"type":"connection_init"}` + "\n"
	for _, seed := range []string{
		init + `{"type":"subscribe","id":"1","payload":{"query":"{ me { id } }"}}`,
		init + `{"type":"subscribe","id":"1","payload":{"query":"subscription { userRenamed { id } }"}}` + "\n" + `{"type":"complete","id":"1"}`,
		init + init, init + `{"type":"ping","payload":{"authorization":"x"}}` + "\n" + `{"type":"pong"}`,
		init + `{"type":"subscribe","id":"1","payload":{}}` + "\n" + `{"type":"subscribe","id":"1","payload":{"query":"x"}}`,
		`{"type":"subscribe","id":"1"}`, `{"type":"connection_init","payload":7}`, `{"type":1}`, "\xff\xfe", "{}", "", `{"type":"next","id":"1"}`,
	} {
		f.Add([]byte(seed))
	}
	config, err := os.ReadFile(filepath.Join("testdata", "shop", "supergraph.json"))
	if err != nil {
		f.Fatal(err)
	}
	r, err := New(f.Context(), Options{
		Config: config, Logger: slog.New(slog.DiscardHandler), Limits: Limits{MaxTokens: 500},
		Local: map[string]LocalSubgraph{"users": nothing{}, "orders": nothing{}, "reviews": nothing{}},
	})
	if err != nil {
		f.Fatal(err)
	}
	server := httptest.NewServer(r)
	f.Cleanup(server.Close)
	types := []string{messageAck, messagePing, messagePong, messageNext, messageError, messageComplete}
	codes := []websocket.StatusCode{
		closeBadRequest, closeUnauthorized, closeForbidden, closeTooManyInits, closeDuplicateID,
		websocket.StatusNormalClosure, websocket.StatusMessageTooBig, websocket.StatusInvalidFramePayloadData, closeTryAgain,
	}
	f.Fuzz(func(t *testing.T, conversation []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, strings.Replace(server.URL, "http", "ws", 1), &websocket.DialOptions{Subprotocols: []string{subprotocol}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.CloseNow() }()
		go func() {
			for line := range bytes.SplitSeq(conversation, []byte("\n")) {
				if conn.Write(ctx, websocket.MessageText, line) != nil {
					return // it has been closed: read below
				}
			}
			// Nobody can mean this: it ends the socket if nothing did before.
			_ = conn.Write(ctx, websocket.MessageText, []byte(`{"type":"the end"}`))
		}()
		for {
			_, text, err := conn.Read(ctx)
			if err != nil {
				if code := websocket.CloseStatus(err); !slices.Contains(codes, code) {
					t.Errorf("%q ends with %d: %v", conversation, code, err)
				}
				return
			}
			var m message
			if err := json.Unmarshal(text, &m); err != nil || !slices.Contains(types, m.Type) {
				t.Errorf("%q is answered with %s: %v", conversation, text, err)
			}
			if strings.Contains(string(text), "INTERNAL") {
				t.Errorf("%q is answered with %s", conversation, text)
			}
		}
	})
}
