package router_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

func TestWhoMayOpenASocket(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.Origins = []string{"console.example", "*.shop.example"} }))
	host := strings.TrimPrefix(l.url, "http://")
	for name, c := range map[string]struct {
		header string
		value  string
		status int
	}{
		"a program":              {"User-Agent", "curl", 101},
		"a page of this server":  {"Origin", "http://" + host, 101},
		"a page that may":        {"Origin", "https://console.example", 101},
		"a page of a pattern":    {"Origin", "https://a.shop.example", 101},
		"a page of elsewhere":    {"Origin", "https://evil.example", 403},
		"a page that looks like": {"Origin", "https://console.example.evil.example", 403},
		"a page of no origin":    {"Origin", "null", 403},
		"a bad token":            {"Authorization", "Bearer x", 401},
		"no way to tell":         {"Authorization", "Bearer unknown", 503},
	} {
		w, resp, err := l.handshake(t, http.Header{c.header: {c.value}}, "graphql-transport-ws")
		if resp == nil || resp.StatusCode != c.status {
			t.Errorf("%s: got %v, %v, want %d", name, resp, err, c.status)
			continue
		}
		if c.status != 101 {
			body, err := io.ReadAll(resp.Body)
			if want := map[int]fault.Code{401: fault.CodeUnauthenticated, 403: fault.CodeForbidden, 503: fault.CodeUnavailable}[c.status]; err != nil || !strings.Contains(string(body), `"code":"`+string(want)+`"`) {
				t.Errorf("%s: %s, %v", name, body, err)
			}
		}
		if c.status == 101 {
			w.greet("")
			w.want(`{"type":"connection_ack"}`)
			_ = w.conn.CloseNow()
		}
	}
	for _, protocols := range [][]string{nil, {"graphql-ws"}, {"soap", "graphql-WS"}} {
		w, _, err := l.handshake(t, nil, protocols...)
		if err != nil {
			t.Fatal(err)
		}
		w.wantClosed(4406)
	}
}

func TestGreeting(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	good, _ := l.token(t, nil, time.Hour)
	other, _ := l.token(t, nil, time.Hour)
	revoked, caller := l.token(t, nil, time.Hour)
	l.refuse(caller, fault.Unauthenticated("this sign-in has ended"))
	for name, c := range map[string]struct {
		header string
		sent   []string
		code   websocket.StatusCode
	}{
		"twice":                    {"", []string{`{"type":"connection_init"}`, `{"type":"connection_init"}`}, 4429},
		"an operation first":       {"", []string{`{"id":"1","type":"subscribe","payload":{"query":"{me{id}}"}}`}, 4401},
		"a renewal first":          {"", []string{`{"type":"ping","payload":{"authorization":"` + good + `"}}`}, 4401},
		"a bad token":              {"", []string{`{"type":"connection_init","payload":{"authorization":"Bearer x"}}`}, 4403},
		"an empty token":           {"", []string{`{"type":"connection_init","payload":{"authorization":""}}`}, 4403},
		"no way to tell":           {"", []string{`{"type":"connection_init","payload":{"authorization":"Bearer unknown"}}`}, 1013},
		"a suspended tenant":       {"", []string{`{"type":"connection_init","payload":{"authorization":"Bearer suspended"}}`}, 4403},
		"a sign-in that ended":     {"", []string{`{"type":"connection_init","payload":{"authorization":"` + revoked + `"}}`}, 4403},
		"a token of another":       {good, []string{`{"type":"connection_init","payload":{"authorization":"` + other + `"}}`}, 4403},
		"no object":                {"", []string{`{"type":"connection_init","payload":[1]}`}, 4400},
		"no text":                  {"", []string{`{"type":"connection_init","payload":{"authorization":7}}`}, 4400},
		"a payload too large":      {"", []string{`{"type":"connection_init","payload":{"x":"` + strings.Repeat("x", 16<<10) + `"}}`}, 4400},
		"a message too large":      {"", []string{`{"type":"connection_init","payload":{"x":"` + strings.Repeat("x", 17<<10) + `"}}`}, 1009},
		"a bad ping":               {"", []string{`{"type":"ping","payload":"x"}`}, 4400},
		"nothing that makes sense": {"", []string{`hello`}, 4400},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if c.header != "" {
				header.Set("Authorization", c.header)
			}
			w, _, err := l.handshake(t, header, "graphql-transport-ws")
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range c.sent {
				w.send(text)
			}
			w.wantClosed(c.code)
		})
	}
	t.Run("pings need no greeting", func(t *testing.T) {
		w := l.open(t)
		w.alive()
		w.send(`{"type":"pong"}`)
		w.greet(good)
		w.want(`{"type":"connection_ack"}`)
	})
	t.Run("a token in the header is enough", func(t *testing.T) {
		w, _, err := l.handshake(t, http.Header{"Authorization": {good}}, "graphql-transport-ws")
		if err != nil {
			t.Fatal(err)
		}
		w.greet("")
		w.want(`{"type":"connection_ack"}`)
		w.subscribe("1", `{ whoami }`)
		if m := w.receive(); !strings.Contains(string(m.Payload), l.callers[good].Subject.String()) {
			t.Errorf("%s", m.Payload)
		}
	})
}

func TestAClientThatNeverGreets(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.InitWithin = 2 * time.Second }))
	silent, talks := l.open(t), l.dial(t, "")
	silent.wantClosed(4408)
	talks.alive()
}
