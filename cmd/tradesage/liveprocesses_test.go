package main_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	tradesage "github.com/tradesage/tradesage/cmd/tradesage"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// twins are two whole processes on one database and one Redis, with the dev
// accounts. What one does, clients of the other see.
type twins struct {
	settings map[string]string
	a, b     *process
}

func newTwins(t *testing.T) *twins {
	t.Helper()
	p := &twins{settings: settings(dbtest.NewDatabase(t))}
	// A part of Redis where no other test's processes are.
	address, err := url.Parse(p.settings["TRADESAGE_REDIS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	if address.Scheme == "unix" {
		address.RawQuery = "db=7"
	} else {
		address.Path = "/7"
	}
	p.settings["TRADESAGE_REDIS_URL"] = address.String()
	p.settings["TRADESAGE_PUBLIC_URL"] = "http://api.tradesage.test"
	if err := tradesage.Seed(t.Context(), p.settings); err != nil {
		t.Fatal(err)
	}
	p.a, p.b = p.begin(t), p.begin(t)
	return p
}

func (p *twins) begin(t *testing.T) *process {
	t.Helper()
	one := serveWith(t, p.settings)
	one.awaitText(t, func(s string) bool { return strings.Contains(s, "msg=serving") })
	return one
}

// kill ends a process as a lost machine does.
func kill(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.ended
}

const (
	rename         = `mutation ($name: String!) { updateProfile(input: {displayName: $name}) { user { id } } }`
	activityFrom   = `subscription ($after: String) { activityEvents(after: $after) { id cursor kind action actor { email } } }`
	logoutMutation = `mutation { logout { revoked pending } }`
)

// must is ask without errors.
func (p *process) must(t *testing.T, token, query string, variables map[string]any) gqlResponse {
	t.Helper()
	answer := p.ask(t, token, query, variables)
	if len(answer.Errors) > 0 {
		t.Fatalf("%s: %+v", query, answer.Errors)
	}
	return answer
}

// renames takes events until so many profiles have been renamed, and returns by
// whom and the last cursor. Sign-ins come in between.
func (w *wire) renames(n int) (by []any, cursor any) {
	w.t.Helper()
	for len(by) < n {
		e := w.event("activityEvents")
		cursor = e["cursor"]
		if e["kind"] == "GAP" {
			w.t.Fatal("a gap")
		}
		if e["action"] == "user.update_profile" {
			by = append(by, dig(e, "actor", "email"))
		}
	}
	return by, cursor
}

func TestLiveEventsOfTwoProcesses(t *testing.T) {
	t.Parallel()
	p := newTwins(t)
	whole := t // for what outlives a part of the test
	owner, _ := p.a.signIn(t, "owner@acme.test")
	globex, _ := p.a.signIn(t, "owner@globex.test")
	t.Run("close codes", p.b.closeCodes)
	far := p.b.dial(t, globex) // after what takes long: who reads nothing answers no pings
	far.subscribe("a", activityFrom, nil)
	foreignCursor := far.event("activityEvents")["cursor"]

	t.Run("what one commits is seen at the other", func(t *testing.T) {
		w := p.b.dial(t, owner)
		w.subscribe("a", activityFrom, nil)
		w.event("activityEvents")
		var took []time.Duration
		for i := range 20 {
			began := time.Now()
			p.a.must(t, owner, rename, map[string]any{"name": fmt.Sprint("A ", i)})
			if by, _ := w.renames(1); by[0] != "owner@acme.test" {
				t.Fatal(by)
			}
			took = append(took, time.Since(began))
		}
		t.Logf("from the mutation's beginning to the event at the other process: %s", spreadOf(took))
	})
	t.Run("permissions count at each event", func(t *testing.T) {
		trader, id := p.b.signIn(t, "trader@acme.test")
		w := p.b.dial(t, trader)
		w.subscribe("a", activityFrom, nil)
		w.event("activityEvents")
		all := p.b.dial(t, owner)
		all.subscribe("a", activityFrom, nil)
		all.event("activityEvents")
		// Without audit:read one sees what one does oneself, and no more.
		both := func(want ...any) {
			t.Helper()
			p.a.must(t, owner, rename, map[string]any{"name": "Owner"})
			all.renames(1) // else the other one may overtake it
			p.a.must(t, trader, rename, map[string]any{"name": "Trader"})
			all.renames(1) // both have arrived: none is judged by the rights of later
			var got []any
			for len(got) == 0 || got[len(got)-1] != "trader@acme.test" {
				by, _ := w.renames(1)
				got = append(got, by...)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
		// known waits until the other process has heard of a change: a mutation waits
		// for that only a moment.
		known := func(allowed bool) {
			t.Helper()
			deadline, tick := time.After(soon), time.NewTicker(10*time.Millisecond)
			defer tick.Stop()
			for p.b.ask(t, trader, `{ can(permission: "audit:read") }`, nil).Data["can"] != allowed {
				select {
				case <-tick.C:
				case <-deadline:
					t.Fatal("the change of a role is not known everywhere")
				}
			}
		}
		both("trader@acme.test")
		const assign = `mutation ($id: ID!) { assignRole(input: {userId: $id, role: "admin"}) { user { id } } }`
		p.a.must(t, owner, assign, map[string]any{"id": id})
		known(true)
		both("owner@acme.test", "trader@acme.test")
		p.a.must(t, owner, strings.Replace(assign, "assignRole", "unassignRole", 1), map[string]any{"id": id})
		known(false)
		both("trader@acme.test")
	})
	t.Run("cursors of others and made up", func(t *testing.T) {
		w := p.a.dial(t, owner)
		for _, after := range []any{foreignCursor, "AQAA", "AcXNiYigNAA"} {
			w.subscribe("s", activityFrom, map[string]any{"after": after})
			if e := w.event("activityEvents"); e["kind"] != "GAP" || e["actor"] != nil {
				t.Errorf("after %v: %v", after, e)
			}
			w.send(map[string]any{"id": "s", "type": "complete"})
		}
		w.subscribe("t", activityFrom, map[string]any{"after": "nonsense"})
		for {
			m := w.receive()
			if m.ID == "s" {
				continue
			}
			if text := string(m.Payload); !strings.Contains(text, `"INVALID_INPUT"`) || !strings.Contains(text, `"field":"after"`) {
				t.Errorf("%s %s", m.Type, text)
			}
			break
		}
	})
	t.Run("renewal on the socket", func(t *testing.T) {
		access, refresh := p.a.tokens(t, "owner@acme.test")
		w := p.b.dial(t, access)
		w.subscribe("a", activityFrom, nil)
		w.event("activityEvents")
		next := dig(p.a.must(t, "", refreshMutation, map[string]any{"token": refresh}).Data, "refreshSession", "accessToken")
		w.send(map[string]any{"type": "ping", "payload": map[string]any{"authorization": fmt.Sprint("Bearer ", next)}})
		for m := w.receive(); ; m = w.receive() { // events of before may come first
			if m.Type == "pong" {
				if !strings.Contains(string(m.Payload), "renewedUntil") {
					t.Errorf("%s", m.Payload)
				}
				break
			}
		}
		p.a.must(t, owner, rename, map[string]any{"name": "Renewed"})
		w.renames(1)
		w.send(map[string]any{"type": "ping", "payload": map[string]any{"authorization": "Bearer " + globex}})
		if status := closed(t, w); status != 4403 {
			t.Errorf("another tenant's token: closed with %d", status)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		w := p.a.open(t)
		w.send(map[string]any{"type": "connection_init"})
		w.receive()
		for _, field := range []string{"activityEvents", "sessionEvents", "tenantEvents"} {
			w.subscribe("s", `subscription { `+field+` { kind } }`, nil)
			if m := w.receive(); m.Type != "error" || !strings.Contains(string(m.Payload), "UNAUTHENTICATED") {
				t.Errorf("%s: %s %s", field, m.Type, m.Payload)
			}
		}
	})
	t.Run("revocations close sockets", p.revocationsCloseSockets)
	t.Run("a process is lost", func(t *testing.T) {
		w := p.a.dial(t, owner)
		w.subscribe("a", activityFrom, nil)
		w.event("activityEvents")
		p.b.must(t, owner, rename, map[string]any{"name": "1"})
		_, cursor := w.renames(1)
		// What a process commits with its last breath comes out through the other.
		p.a.must(t, owner, rename, map[string]any{"name": "2"})
		kill(t, p.a)
		p.b.must(t, owner, rename, map[string]any{"name": "3"})
		again := p.b.dial(t, owner)
		again.subscribe("a", activityFrom, map[string]any{"after": cursor})
		if e := again.event("activityEvents"); e["kind"] != "SUBSCRIBED" {
			t.Fatal(e)
		}
		_, cursor = again.renames(2)
		// Both are lost, one after the other; the cursor still counts.
		p.a = p.begin(whole)
		p.b.must(t, owner, rename, map[string]any{"name": "4"})
		kill(t, p.b)
		p.a.must(t, owner, rename, map[string]any{"name": "5"})
		last := p.a.dial(t, owner)
		last.subscribe("a", activityFrom, map[string]any{"after": cursor})
		if e := last.event("activityEvents"); e["kind"] != "SUBSCRIBED" {
			t.Fatal(e)
		}
		last.renames(2)
		p.b = p.begin(whole)
	})
	t.Run("a deactivated user", func(t *testing.T) {
		trader, id := p.a.signIn(t, "trader@acme.test")
		one, other := p.a.dial(t, trader), p.b.dial(t, trader)
		other.subscribe("a", activityFrom, nil)
		other.event("activityEvents")
		p.a.must(t, owner, `mutation ($id: ID!) { deactivateUser(input: {userId: $id}) { user { id } } }`, map[string]any{"id": id})
		for _, w := range []*wire{one, other} {
			if status := closed(t, w); status != 4401 {
				t.Errorf("closed with %d", status)
			}
		}
		if _, status := p.b.greet(t, "Bearer "+trader); status != 4403 {
			t.Errorf("again: closed with %d", status)
		}
	})
}

// revocationsCloseSockets: a revocation closes the session's sockets in every
// process. How soon is on record in the log.
func (p *twins) revocationsCloseSockets(t *testing.T) {
	stays, _ := p.a.signIn(t, "owner@acme.test")
	bystander := p.b.dial(t, stays)
	var took []time.Duration
	for range 20 {
		token, _ := p.a.signIn(t, "owner@acme.test")
		here, there, idle := p.a.dial(t, token), p.b.dial(t, token), p.b.dial(t, token)
		for _, w := range []*wire{here, there} {
			w.subscribe("s", `subscription { sessionEvents { kind } }`, nil)
			w.event("sessionEvents")
		}
		ends := make(chan websocket.StatusCode, 3)
		for _, w := range []*wire{here, there, idle} {
			go func() { ends <- closed(t, w) }()
		}
		began := time.Now()
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if answer := p.a.ask(t, token, logoutMutation, nil); len(answer.Errors) > 0 {
				t.Errorf("%+v", answer)
			}
		}()
		for range 3 {
			if status := <-ends; status != 4401 {
				t.Errorf("closed with %d", status)
			}
		}
		took = append(took, time.Since(began))
		<-answered
		bystander.send(map[string]any{"type": "ping"})
		if m := bystander.receive(); m.Type != "pong" {
			t.Errorf("%+v", m)
		}
		for _, one := range []*process{p.a, p.b} {
			if answer := one.ask(t, token, meQuery, nil); answer.code() != "UNAUTHENTICATED" {
				t.Errorf("the token still counts: %+v", answer)
			}
		}
	}
	t.Logf("from the mutation's beginning until the sockets of both processes are closed: %s", spreadOf(took))
}

// spreadOf says how long something took, at the least, in the middle and at the most.
func spreadOf(took []time.Duration) string {
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(time.Millisecond / 10) }
	return fmt.Sprintf("%s least, %s median, %s p99, of %d", at(0), at(0.5), at(0.99), len(took))
}

// open opens a socket and says nothing.
func (p *process) open(t *testing.T, protocols ...string) *wire {
	t.Helper()
	if len(protocols) == 0 {
		protocols = []string{"graphql-transport-ws"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(p.url, "http", "ws", 1)+"/graphql",
		&websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &wire{t, conn}
}

// greet opens a socket with a token that is not accepted.
func (p *process) greet(t *testing.T, authorization string) (*wire, websocket.StatusCode) {
	t.Helper()
	w := p.open(t)
	w.send(map[string]any{"type": "connection_init", "payload": map[string]any{"authorization": authorization}})
	return w, closed(t, w)
}

// closeCodes are those with which the built program closes sockets, and what it
// answers streams that it refuses, as docs/errors.md lists them.
func (p *process) closeCodes(t *testing.T) {
	token, _ := p.signIn(t, "trader@acme.test")
	head, _, _ := strings.Cut(token, ".")
	none := head + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "."
	object := func(kind string) map[string]any { return map[string]any{"type": kind} }
	subscription := map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{"query": `subscription { tenantEvents { kind } }`}}
	for name, c := range map[string]struct {
		greeted   bool
		protocols []string
		sent      []any
		code      websocket.StatusCode
	}{
		"4400": {true, nil, []any{object("start")}, 4400},
		"4401": {false, nil, []any{subscription}, 4401},
		"4403": {false, nil, []any{map[string]any{"type": "connection_init", "payload": map[string]any{"authorization": "Bearer " + none}}}, 4403},
		"4406": {false, []string{"graphql-ws"}, nil, 4406},
		"4408": {false, nil, nil, 4408},
		"4409": {true, nil, []any{subscription, subscription}, 4409},
		"4429": {true, nil, []any{object("connection_init")}, 4429},
		"1009": {true, nil, []any{map[string]any{"type": "ping", "x": strings.Repeat("x", 1<<20)}}, 1009},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := p.open(t, c.protocols...)
			if c.greeted {
				w.send(map[string]any{"type": "connection_init", "payload": map[string]any{"authorization": "Bearer " + token}})
				w.receive()
			}
			for _, m := range c.sent {
				w.send(m)
			}
			if status := closed(t, w); status != c.code {
				t.Errorf("closed with %d", status)
			}
		})
	}
	for name, c := range map[string]struct {
		token, query string
		status       int
		want         string
	}{
		"nobody":      {"", `subscription { tenantEvents { kind } }`, 401, "UNAUTHENTICATED"},
		"a bad token": {none, `subscription { tenantEvents { kind } }`, 401, "UNAUTHENTICATED"},
		"a bad field": {token, `subscription { tenantEvents { secret } }`, 400, "INVALID_INPUT"},
		"a cursor":    {token, `subscription { tenantEvents(after: \"x\") { kind } }`, 200, `"field":"after"`},
	} {
		t.Run("a stream of "+name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/graphql", strings.NewReader(`{"query":"`+c.query+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Accept", "text/event-stream")
			if c.token != "" {
				req.Header.Set("Authorization", "Bearer "+c.token)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var text strings.Builder
			if err := resp.Write(&text); err != nil || resp.StatusCode != c.status || !strings.Contains(text.String(), c.want) {
				t.Errorf("%s, %v", text.String(), err)
			}
		})
	}
}
