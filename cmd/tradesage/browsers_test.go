package main_test

import (
	"bufio"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// send makes a request of pairs of headers and returns the answer with its body
// as it came.
func (p *process) send(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	// Not the default's, which would ask for gzip and hide that it got it.
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.text())
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// Pages of an allowed origin use the API as our own do; those of others read
// nothing and change nothing.
func TestPagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	p := start(t, dataFolder(t), "--origin", "https://console.example", "--origin", "*.apps.example")
	token, _ := p.signIn(t, "owner@acme.test")
	const json = "application/json"
	const logout = `{"query":"mutation { logout { revoked } }"}`
	for _, evil := range []string{"https://evil.test", "http://console.example.evil.test", "null"} {
		resp, body := p.send(t, "POST", "/graphql", logout, "Origin", evil, "Content-Type", json, "Authorization", "Bearer "+token)
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "FORBIDDEN") || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %s %v", evil, resp.StatusCode, body, resp.Header)
		}
		_, ack, err := websocket.Dial(t.Context(), strings.Replace(p.url, "http", "ws", 1)+"/graphql", &websocket.DialOptions{
			Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: http.Header{"Origin": {evil}},
		})
		if err == nil || ack.StatusCode != http.StatusForbidden {
			t.Errorf("a socket of %s: %v", evil, err)
		}
	}
	for _, good := range []string{"https://console.example", "http://one.apps.example"} {
		resp, _ := p.send(t, "OPTIONS", "/graphql", "", "Origin", good,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
		if resp.Header.Get("Access-Control-Allow-Origin") != good || resp.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s may not ask: %v", good, resp.Header)
		}
		resp, body := p.send(t, "POST", "/graphql", `{"query":"{ me { email } }"}`, "Origin", good, "Sec-Fetch-Site", "cross-site",
			"Content-Type", json, "Authorization", "Bearer "+token)
		if !strings.Contains(body, "owner@acme.test") || resp.Header.Get("Access-Control-Allow-Origin") != good {
			t.Errorf("%s: %d %s %v", good, resp.StatusCode, body, resp.Header)
		}
		conn, _, err := websocket.Dial(t.Context(), strings.Replace(p.url, "http", "ws", 1)+"/graphql", &websocket.DialOptions{
			Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: http.Header{"Origin": {good}},
		})
		if err != nil {
			t.Errorf("a socket of %s: %v", good, err)
			continue
		}
		_ = conn.CloseNow()
	}
	// What a link or an image could have a browser send.
	path := "/graphql?query=" + url.QueryEscape("{ me { email } }")
	if resp, body := p.send(t, "GET", path, "", "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a simple GET: %d %s", resp.StatusCode, body)
	}
	if resp, body := p.send(t, "GET", path, "", "Authorization", "Bearer "+token); !strings.Contains(body, "owner@acme.test") {
		t.Errorf("a GET: %d %s", resp.StatusCode, body)
	}
	resp, body := p.send(t, "GET", "/graphql?query="+url.QueryEscape("mutation { logout { revoked } }"), "", "Authorization", "Bearer "+token)
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
		t.Errorf("a mutation by GET: %d %s", resp.StatusCode, body)
	}
	if answer := p.ask(t, token, "{ me { email } }", nil); len(answer.Errors) > 0 {
		t.Errorf("signed out by one of these: %+v", answer.Errors)
	}
}

// Every answer says what browsers may do with it; large ones are compressed for
// those who take that, streams never.
func TestAnswersForBrowsers(t *testing.T) {
	t.Parallel()
	p := start(t, dataFolder(t))
	for _, path := range []string{"/", "/graphql", "/schema.graphql", "/playground", "/nothing", "/healthz", "/dev/mail", "/.well-known/jwks.json"} {
		resp, _ := p.send(t, "GET", path, "")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin", "X-Request-Id": "", "Content-Security-Policy": "",
		} {
			if got := resp.Header.Get(name); got == "" || want != "" && got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if policy := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: %s", path, policy)
		}
	}
	const introspection = `{"query":"{ __schema { types { name description fields { name description } } } }"}`
	whole, plain := p.send(t, "POST", "/graphql", introspection, "Content-Type", "application/json")
	if whole.Header.Get("Content-Encoding") != "" {
		t.Error("compressed for a client that did not ask")
	}
	resp, packed := p.send(t, "POST", "/graphql", introspection, "Content-Type", "application/json", "Accept-Encoding", "gzip, br")
	reader, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatalf("%v in %v", err, resp.Header)
	}
	unpacked, err := io.ReadAll(reader)
	if err != nil || string(unpacked) != plain || len(packed)*2 > len(plain) {
		t.Errorf("%d bytes packed, %d unpacked, %d plain: %v", len(packed), len(unpacked), len(plain), err)
	}
	if resp, _ := p.send(t, "POST", "/graphql", `{"query":"{ __typename }"}`, "Content-Type", "application/json", "Accept-Encoding", "gzip"); resp.Header.Get("Content-Encoding") != "" {
		t.Error("a small answer is compressed")
	}
	resp, body := p.send(t, "POST", "/graphql", introspection, "Content-Type", "application/json", "Accept-Encoding", "gzip", "Accept", "text/event-stream")
	if resp.Header.Get("Content-Encoding") != "" || !strings.HasPrefix(body, ":\n\nevent: next") {
		t.Errorf("a stream: %v", resp.Header)
	}
	// As urql asks: it takes a stream too, if there must be one.
	resp, _ = p.send(t, "POST", "/graphql", introspection, "Content-Type", "application/json", "Accept-Encoding", "gzip",
		"Accept", "application/graphql-response+json, application/json, text/event-stream, multipart/mixed")
	if resp.Header.Get("Content-Encoding") != "gzip" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/graphql-response+json") {
		t.Errorf("a response, or a stream: %v", resp.Header)
	}
}

// Clients that break the protocol below HTTP take nothing down with them: each
// connection is answered or closed, and others go on.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	p := start(t, dataFolder(t))
	address := strings.TrimPrefix(p.url, "http://")
	const head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct {
		send string
		half bool // closes its sending side
		want string
	}{
		"half a body, then half-closed": {head + "Content-Length: 100\r\n\r\n{\"query\":", true, "400"},
		"a whole body, half-closed":     {head + "Content-Length: 24\r\nConnection: close\r\n\r\n{\"query\":\"{__typename}\"}", true, "200"},
		"two lengths":                   {head + "Content-Length: 3\r\nContent-Length: 30\r\n\r\n{}", false, "400"},
		"length and chunks":             {head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true, ""},
		"a broken chunk":                {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", true, "400"},
		"a chunk without end":           {head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"que", true, "400"},
		"a NUL in a header":             {head + "X-Request-Id: a\x00b\r\n\r\n", false, "400"},
		"a huge header":                 {head + "X: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", false, "431"},
		"no HTTP":                       {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", false, "400"},
		"half an upgrade":               {"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", false, "4"},
		"an upgrade of version 1":       {"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", false, "4"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, c.send) // the server may have closed already
			if c.half {
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if c.want == "" {
				return // answered or closed: either will do
			}
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+c.want) {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
	if _, body := p.send(t, "POST", "/graphql", `{"query":"{ __typename }"}`, "Content-Type", "application/json"); body != `{"data":{"__typename":"Query"}}` {
		t.Error(body)
	}
	if strings.Contains(p.text(), "panic") {
		t.Error(p.text())
	}
}
