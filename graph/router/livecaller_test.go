package router_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// Who may see an event is asked at each event, and asked about the caller alone:
// other clients go on.
func TestCallersAreCheckedAtEachEvent(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	token, ending := l.token(t, nil, time.Hour)
	other, _ := l.token(t, nil, time.Hour)
	w, v, s, anonymous := l.dial(t, token), l.dial(t, other), l.stream(t, token, renamed), l.dial(t, "")
	for _, each := range []*wire{w, v, anonymous} {
		each.subscribe("s", renamed)
	}
	l.await(t, 4)
	l.rename("One")
	const first = `{"id":"s","type":"next","payload":{"data":{"userRenamed":{"id":"u1","name":"One"}}}}`
	w.want(first)
	v.want(first)
	anonymous.want(first)
	s.want(`{"data":{"userRenamed":{"id":"u1","name":"One"}}}`)

	l.refuse(ending, fault.Unauthenticated("this sign-in has ended"))
	l.rename("Secret")
	const second = `{"id":"s","type":"next","payload":{"data":{"userRenamed":{"id":"u1","name":"Secret"}}}}`
	if reason := w.wantClosed(4401); reason != "this sign-in has ended" {
		t.Errorf("closed with %q", reason)
	}
	s.want(`{"errors":[{"message":"this sign-in has ended","extensions":{"code":"UNAUTHENTICATED"}}]}`)
	s.wantComplete()
	v.want(second)
	anonymous.want(second)
}

// While it cannot be told whether a sign-in counts, nothing is shown; the
// connection stays.
func TestCallersThatCannotBeChecked(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.PingEvery = 10 * time.Millisecond }))
	token, caller := l.token(t, nil, time.Hour)
	w := l.dial(t, token)
	w.subscribe("s", renamed)
	l.await(t, 1)
	l.refuse(caller, fault.Unavailable("revocations are not followed"))
	l.rename("Secret")
	w.want(`{"id":"s","type":"error","payload":[{"message":"revocations are not followed","extensions":{"code":"UNAVAILABLE"}}]}`)
	w.subscribe("s", renamed)
	w.want(`{"id":"s","type":"error","payload":[{"message":"revocations are not followed","extensions":{"code":"UNAVAILABLE"}}]}`)
	w.alive()
	l.refuse(caller, nil)
	w.subscribe("s", renamed)
	l.await(t, 1)
	l.rename("Seen")
	w.want(`{"id":"s","type":"next","payload":{"data":{"userRenamed":{"id":"u1","name":"Seen"}}}}`)
}

// A socket on which nothing happens notices too, at its next ping.
func TestCallersAreCheckedWithoutEvents(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.PingEvery = 10 * time.Millisecond }))
	for name, c := range map[string]struct {
		err  error
		code websocket.StatusCode
	}{
		"ended":     {fault.Unauthenticated("this sign-in has ended"), 4401},
		"suspended": {fault.New(fault.CodeTenantSuspended, strings.Repeat("é", 100)), 4403}, // more than a close frame holds
	} {
		token, caller := l.token(t, nil, time.Hour)
		w, s := l.dial(t, token), l.stream(t, token, renamed)
		l.await(t, 1)
		l.refuse(caller, c.err)
		f, _ := fault.As(c.err)
		if reason := w.wantClosed(c.code); reason == "" || !strings.HasPrefix(f.Message, reason) {
			t.Errorf("%s: closed with %q", name, reason)
		}
		s.want(`{"errors":[{"message":"` + f.Message + `","extensions":{"code":"` + string(f.Code) + `"}}]}`)
		s.wantComplete()
	}
}

func TestEndSessions(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	token, ending := l.token(t, nil, time.Hour)
	other, _ := l.token(t, nil, time.Hour)
	socket, idle, s := l.dial(t, token), l.dial(t, token), l.stream(t, token, renamed)
	stays, anonymous := l.dial(t, other), l.dial(t, "")
	socket.subscribe("s", renamed)
	l.await(t, 2)
	l.router.EndSessions(func(c *identity.Caller) bool { return c.Session == ending.Session })
	socket.wantClosed(4401)
	idle.wantClosed(4401)
	s.want(`{"errors":[{"message":"this sign-in has ended; sign in again","extensions":{"code":"UNAUTHENTICATED"}}]}`)
	s.wantComplete()
	stays.alive()
	anonymous.alive()
	l.await(t, 0)
}

// A connection ends a while after its token, unless a newer one of the same
// session comes.
func TestExpiry(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.Grace = time.Millisecond }))
	const lives = 10 * time.Second // a busy machine needs that to open three connections
	short, caller := l.token(t, nil, lives)
	longer, _ := l.token(t, caller, time.Hour)
	w, kept, s := l.dial(t, short), l.dial(t, short), l.stream(t, short, renamed)
	kept.subscribe("s", renamed)
	kept.send(`{"type":"ping","payload":{"authorization":"` + longer + `"}}`)
	want := l.callers[longer].Expires.UTC().Format(time.RFC3339)
	kept.want(`{"type":"pong","payload":{"renewedUntil":"` + want + `"}}`)
	l.await(t, 2)
	w.wantClosed(4403)
	// It is past the first token's end now.
	l.rename("Seen")
	s.want(`{"errors":[{"message":"the access token has expired; go on with a new one","extensions":{"code":"UNAUTHENTICATED"}}]}`)
	s.wantComplete()
	kept.want(`{"id":"s","type":"next","payload":{"data":{"userRenamed":{"id":"u1","name":"Seen"}}}}`)
	if v := l.open(t); v != nil {
		v.greet(short) // which a real Authenticate would refuse
		v.wantClosed(4403)
	}
}

func TestRenewals(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	token, _ := l.token(t, nil, time.Hour)
	stranger, _ := l.token(t, nil, time.Hour)
	for name, c := range map[string]struct {
		from, to string
		code     websocket.StatusCode
	}{
		"a bad one":         {token, "Bearer x", 4403},
		"another session's": {token, stranger, 4403},
		"no way to tell":    {token, "Bearer unknown", 1013},
	} {
		t.Run(name, func(t *testing.T) {
			w := l.dial(t, c.from)
			w.send(`{"type":"ping","payload":{"authorization":"` + c.to + `"}}`)
			w.wantClosed(c.code)
		})
	}
	t.Run("an anonymous client signs in", func(t *testing.T) {
		w := l.dial(t, "")
		w.send(`{"type":"ping","payload":{"authorization":"` + token + `"}}`)
		if m := w.receive(); m.Type != "pong" || !strings.Contains(string(m.Payload), "renewedUntil") {
			t.Errorf("%+v", m)
		}
		w.subscribe("1", `{ whoami }`)
		if m := w.receive(); !strings.Contains(string(m.Payload), l.callers[token].Subject.String()) {
			t.Errorf("%s", m.Payload)
		}
	})
}
