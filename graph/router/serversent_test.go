package router_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/sse"
	"github.com/tradesage/tradesage/internal/fault"
)

func TestStreams(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	s := l.stream(t, "", renamedWide)
	if got := s.resp.Header.Get("Cache-Control"); s.resp.StatusCode != http.StatusOK || got != "no-store" {
		t.Errorf("%d, %q", s.resp.StatusCode, got)
	}
	l.await(t, 1)
	l.rename("line\nbreaks\r\n\u2028end")
	s.want(`{"data":{"userRenamed":{"called":"line\nbreaks\r\n\u2028end","orders":[{"id":"o1","total":10}],"reviewCount":7,"greeting":"hi line\nbreaks\r\n\u2028end"}}}`)
	l.publish(happening{value: fault.NotFound("no such user")})
	s.want(`{"data":{"userRenamed":null},"errors":[{"message":"no such user","path":["userRenamed"],"extensions":{"code":"NOT_FOUND"}}]}`)
	l.publish(happening{end: true})
	s.wantComplete()

	for _, c := range [][2]string{
		{`{ me { id } }`, `{"data":{"me":{"id":"u1"}}}`}, {`mutation { touch }`, `{"data":{"touch":1}}`},
	} {
		s := l.stream(t, "", c[0])
		s.want(c[1])
		s.wantComplete()
	}
	failing := l.stream(t, "", renamed)
	l.await(t, 1)
	l.publish(happening{end: true, err: fault.Unavailable("the feed is lost")})
	failing.want(`{"errors":[{"message":"the feed is lost","extensions":{"code":"UNAVAILABLE"}}]}`)
	failing.wantComplete()

	leaving := l.stream(t, "", renamed)
	l.await(t, 1)
	leaving.cancel()
	l.await(t, 0)
}

// What is refused before it runs is answered as JSON with a status.
func TestStreamsThatAreRefused(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	ended, caller := l.token(t, nil, time.Hour)
	l.refuse(caller, fault.Unauthenticated("this sign-in has ended"))
	for name, c := range map[string]struct {
		token, query string
		status       int
		code         fault.Code
	}{
		"a bad token":    {"Bearer x", renamed, 401, fault.CodeUnauthenticated},
		"no way to tell": {"Bearer unknown", renamed, 503, fault.CodeUnavailable},
		"a bad query":    {"", `subscription { nothing }`, 400, fault.CodeInvalidInput},
	} {
		s := l.stream(t, c.token, c.query)
		body := s.body()
		if s.resp.StatusCode != c.status {
			t.Errorf("%s: %d %s", name, s.resp.StatusCode, body)
		}
		wantError(t, answer{body: body}, c.code, "")
	}
	// One that is refused as it begins has begun.
	s := l.stream(t, ended, renamed)
	s.want(`{"errors":[{"message":"this sign-in has ended","extensions":{"code":"UNAUTHENTICATED"}}]}`)
	s.wantComplete()
	if got := query(l.router, renamed, ""); !strings.Contains(got.body, "text/event-stream") {
		t.Errorf("without a stream: %s", got.body)
	}
}

func TestHeartbeats(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.PingEvery = 5 * time.Millisecond }))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, strings.NewReader(`{"query":"subscription{userRenamed{id}}"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream;q=0.9, application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	beats := make([]byte, len(":\n\n:\n\n:\n\n"))
	if _, err := io.ReadFull(resp.Body, beats); err != nil || string(beats) != ":\n\n:\n\n:\n\n" {
		t.Errorf("%q, %v", beats, err)
	}
}

// A subgraph behind HTTP is followed over server-sent events.
func TestRemoteSubscriptions(t *testing.T) {
	t.Parallel()
	type source func(w http.ResponseWriter, r *http.Request)
	write := func(parts ...string) source {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			for _, part := range parts {
				_, _ = io.WriteString(w, part)
			}
		}
	}
	const event = "event: next\ndata: {\"data\":{\"userRenamed\":{\"__typename\":\"User\",\"id\":\"u1\",\"name\":\"Ada\"}}}\n\n"
	const shown = `{"data":{"userRenamed":{"name":"Ada","reviewCount":7}}}`
	const away = `{"errors":[{"message":"the users service does not answer","extensions":{"code":"UNAVAILABLE"}}]}`
	for name, c := range map[string]struct {
		source source
		want   []string
	}{
		"ends by itself":     {write(":\n\n", event, ":\n\n", event, "event: complete\ndata:\n\n"), []string{shown, shown}},
		"breaks off":         {write(event, "event: next\nda"), []string{shown, away}},
		"never begins":       {write(), []string{away}},
		"too large an event": {write("event: next\ndata: " + strings.Repeat("x", 2<<20)), []string{away}},
		"events of others":   {write("event: gossip\ndata: {}\n\n", event, "event: complete\ndata:\n\n"), []string{shown}},
		"refuses": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"message":"the token has expired","extensions":{"code":"UNAUTHENTICATED"}}]}`)
		}, []string{`{"data":null,"errors":[{"message":"the token has expired","extensions":{"code":"UNAUTHENTICATED"}}]}`}},
		"a proxy's page": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<html>")
		}, []string{away}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept") != sse.MediaType || r.Header.Get("Authorization") != "Bearer abc" {
					t.Errorf("asked with %v", r.Header)
				}
				c.source(w, r)
			}))
			t.Cleanup(server.Close)
			l := newLiveShop(t, func(s *shop) {
				delete(s.options.Local, "users")
				s.options.Remote = map[string]router.Remote{"users": {URL: server.URL}}
				s.options.Authenticate = nil
				s.options.Streams.ResumeWithin = -1
			})
			s := l.stream(t, "Bearer abc", `subscription { userRenamed { name reviewCount } }`)
			for _, want := range c.want {
				s.want(want)
			}
			s.wantComplete()
		})
	}
}

// A client that leaves takes its stream to a remote subgraph with it, however
// long nothing happens.
func TestRemoteSubscriptionsEnd(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if _, err := sse.NewWriter(w); err != nil {
			t.Error(err)
		}
		close(began)
		<-r.Context().Done()
		close(ended)
	}))
	t.Cleanup(server.Close)
	l := newLiveShop(t, func(s *shop) {
		delete(s.options.Local, "users")
		s.options.Remote = map[string]router.Remote{"users": {URL: server.URL}}
		s.options.FetchTimeout = 50 * time.Millisecond // not of streams
	})
	w := l.dial(t, "")
	w.subscribe("s", renamed)
	<-began
	time.AfterFunc(100*time.Millisecond, func() { _ = w.conn.CloseNow() })
	<-ended
}

// A client that renews its token on its socket renews the streams to remote
// subgraphs with it, and takes them along when it leaves.
func TestRemoteSubscriptionsAreRenewed(t *testing.T) {
	t.Parallel()
	lines, ended := make(chan string, 4), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != sse.MediaRenewed {
			t.Errorf("asked with %v", r.Header)
		}
		lines <- r.Header.Get("Authorization")
		body := bufio.NewScanner(r.Body)
		body.Scan()
		if !strings.HasPrefix(body.Text(), `{"query":"subscription`) {
			t.Errorf("the first line is %s", body.Text())
		}
		if _, err := sse.NewWriter(w); err != nil {
			t.Error(err)
		}
		for body.Scan() {
			lines <- body.Text()
		}
		close(ended)
	}))
	server.Config.Protocols = &http.Protocols{}
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	l := newLiveShop(t, func(s *shop) {
		delete(s.options.Local, "users")
		s.options.Remote = map[string]router.Remote{"users": {URL: server.URL, Transport: transport, Renews: true}}
	})
	first, caller := l.token(t, nil, time.Hour)
	w := l.dial(t, first)
	w.subscribe("s", renamed)
	if got := <-lines; got != first {
		t.Errorf("began with %q, want %q", got, first)
	}
	later, _ := l.token(t, caller, 2*time.Hour)
	w.send(`{"type":"ping","payload":{"authorization":"` + later + `"}}`)
	if got := <-lines; got != `{"authorization":"`+later+`"}` {
		t.Errorf("renewed with %q, want %q", got, later)
	}
	_ = w.conn.CloseNow()
	<-ended
}
