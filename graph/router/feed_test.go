package router_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/sse"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// newFeeds is a live shop whose equal subscriptions share their sources, each of
// which says first that it has begun.
func newFeeds(t *testing.T, change func(*shop)) *liveShop {
	t.Helper()
	return newLiveShop(t, func(s *shop) {
		s.users.feed.begins = true
		s.options.Streams.Feeds = map[string]string{"userRenamed": "after"}
		if change != nil {
			change(s)
		}
	})
}

// named is the message of an event of an operation s.
func named(name string) string {
	return fmt.Sprintf(`{"id":"s","type":"next","payload":{"data":{"userRenamed":{"id":"u1","name":%q}}}}`, name)
}

func TestEqualSubscriptionsShareASource(t *testing.T) {
	t.Parallel()
	l := newFeeds(t, nil)
	token, caller := l.token(t, nil, time.Hour)
	later, _ := l.token(t, caller, 2*time.Hour) // another token of the same session
	var all []*wire
	for _, with := range []string{token, token, later} {
		w := l.dial(t, with)
		w.subscribe("s", renamed)
		w.want(named("begun"))
		all = append(all, w)
	}
	s := l.stream(t, token, renamed)
	s.want(`{"data":{"userRenamed":{"id":"u1","name":"begun"}}}`)
	l.await(t, 1)
	for _, name := range []string{"One", "Two"} {
		l.rename(name)
		for _, w := range all {
			w.want(named(name))
		}
		s.want(`{"data":{"userRenamed":{"id":"u1","name":"` + name + `"}}}`)
	}
	// Who began it leaves, and the others go on.
	all[0].send(`{"id":"s","type":"complete"}`)
	all[0].alive()
	l.rename("Three")
	all[1].want(named("Three"))
	all[2].want(named("Three"))
	all[0].alive() // and nothing came before
	// Whoever completed may begin again.
	all[0].subscribe("s", renamed)
	all[0].want(named("begun"))
	l.await(t, 1)
	s.cancel()
	for _, w := range all {
		_ = w.conn.CloseNow()
	}
	l.await(t, 0) // nobody is left: the source ends
}

// Whatever may make a difference to what somebody sees makes a source of its own.
func TestSubscriptionsThatShareNothing(t *testing.T) {
	t.Parallel()
	l := newFeeds(t, nil)
	token, caller := l.token(t, nil, time.Hour)
	as := func(change func(*identity.Caller)) string {
		other, c := l.token(t, caller, time.Hour)
		change(c)
		return other
	}
	followed := 0
	for what, c := range map[string]struct{ token, query string }{
		"the first":          {token, renamed},
		"nobody signed in":   {"", renamed},
		"nor somebody else":  {"", renamed},
		"another session":    {as(func(c *identity.Caller) { c.Session = uuid.New() }), renamed},
		"another user":       {as(func(c *identity.Caller) { c.Subject = uuid.New() }), renamed},
		"other permissions":  {as(func(c *identity.Caller) { c.Epoch++ }), renamed},
		"a newer credential": {as(func(c *identity.Caller) { c.AuthTime = time.Now() }), renamed},
		"another tenant": {as(func(c *identity.Caller) {
			_, elsewhere := l.token(t, nil, time.Hour)
			c.Tenant = elsewhere.Tenant
		}), renamed},
		"other fields":   {token, `subscription { userRenamed { id name email } }`},
		"a cursor":       {token, `subscription { userRenamed(after: "c1") { id name } }`},
		"the same again": {token, `subscription { userRenamed(after: "c1") { id name } }`},
	} {
		w := l.dial(t, c.token)
		w.subscribe("s", c.query)
		if m := w.receive(); m.Type != "next" {
			t.Errorf("%s: %+v", what, m)
		}
		followed++
		eventually(t, what+" has a source of its own", func() bool { return len(l.users.feed.list()) == followed })
	}
	// No cursor is no cursor, however it is said; names are the client's own.
	for _, query := range []string{
		`subscription { userRenamed(after: null) { id name } }`,
		`subscription Named { userRenamed { id name } }`,
		`subscription { another: userRenamed { id called: name } }`,
	} {
		for range 3 {
			w := l.dial(t, token)
			w.subscribe("s", query)
			if m := w.receive(); m.Type != "next" {
				t.Errorf("%s: %+v", query, m)
			}
		}
	}
	eventually(t, "one source for each way to say it", func() bool { return len(l.users.feed.list()) <= followed+3 })
}

// Each client is admitted to each event by itself, however many share its source.
func TestClientsOfOneSourceAreAdmittedEach(t *testing.T) {
	t.Parallel()
	var refused atomic.Pointer[identity.Caller]
	l := newFeeds(t, func(s *shop) {
		s.options.Recheck = func(_ context.Context, caller *identity.Caller) error {
			if caller == refused.Load() {
				return fault.Unauthenticated("not any more")
			}
			return nil
		}
	})
	token, caller := l.token(t, nil, time.Hour)
	other, _ := l.token(t, caller, time.Hour)
	w, v := l.dial(t, token), l.dial(t, other)
	for _, each := range []*wire{w, v} {
		each.subscribe("s", renamed)
		each.want(named("begun"))
	}
	l.await(t, 1)
	l.rename("One")
	w.want(named("One"))
	v.want(named("One"))
	refused.Store(caller) // who began the source
	l.rename("Two")
	if reason := w.wantClosed(4401); reason != "not any more" {
		t.Errorf("closed with %q", reason)
	}
	v.want(named("Two"))
	l.router.EndSessions(func(c *identity.Caller) bool { return c.Session == caller.Session })
	v.wantClosed(4401)
}

// What all see alike is joined once; what fails, for each by itself.
func TestEventsOfOneSourceAreResolvedOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	l := newFeeds(t, func(s *shop) {
		joined := s.reviews.fields["User.reviewCount"]
		s.reviews.fields["User.reviewCount"] = func(ctx context.Context, o, args object) (any, error) {
			calls.Add(1)
			return joined(ctx, o, args)
		}
	})
	token, caller := l.token(t, nil, time.Hour)
	other, _ := l.token(t, caller, time.Hour)
	var all []*wire
	for range 5 {
		for _, with := range []string{token, other} {
			w := l.dial(t, with)
			w.subscribe("s", `subscription { userRenamed { name reviewCount } }`)
			w.want(`{"id":"s","type":"next","payload":{"data":{"userRenamed":{"name":"begun","reviewCount":7}}}}`)
			all = append(all, w)
		}
	}
	before := calls.Load()
	l.rename("One")
	for _, w := range all {
		w.want(`{"id":"s","type":"next","payload":{"data":{"userRenamed":{"name":"One","reviewCount":7}}}}`)
	}
	if got := calls.Load() - before; got != 1 {
		t.Errorf("joined %d times for %d clients, want once", got, len(all))
	}
}

// A source that ends, ends for all, after what it has brought; the next
// subscription begins another one.
func TestSourcesThatEnd(t *testing.T) {
	t.Parallel()
	l := newFeeds(t, nil)
	token, _ := l.token(t, nil, time.Hour)
	w, v := l.dial(t, token), l.dial(t, token)
	begin := func() {
		t.Helper()
		for _, each := range []*wire{w, v} {
			each.subscribe("s", renamed)
			each.want(named("begun"))
		}
		l.await(t, 1)
	}
	begin()
	l.rename("One")
	l.publish(happening{end: true, err: fault.Unavailable("the service is away")})
	for _, each := range []*wire{w, v} {
		each.want(named("One"))
		each.want(`{"id":"s","type":"error","payload":[{"message":"the service is away","extensions":{"code":"UNAVAILABLE"}}]}`)
	}
	begin()
	l.publish(happening{end: true})
	for _, each := range []*wire{w, v} {
		each.want(`{"id":"s","type":"complete"}`)
	}
	begin()
	l.publish(happening{raw: []byte(`{"errors":[{"message":"no","extensions":{"code":"FORBIDDEN"}}],"data":{"userRenamed":null}}`)})
	for _, each := range []*wire{w, v} {
		each.want(`{"id":"s","type":"next","payload":{"errors":[{"message":"no","extensions":{"code":"FORBIDDEN"}}],"data":{"userRenamed":null}}}`)
	}
}

// A client that does not read holds a bounded queue and is cut off; those who share
// its source get everything.
func TestASlowClientOfASharedSource(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	l := newFeeds(t, func(s *shop) {
		s.options.Metrics = registry
		s.options.Streams.Queue = 2
		s.options.Streams.SlowWithin = 50 * time.Millisecond
		s.options.Streams.WriteWithin = time.Hour // not because of that
	})
	token, _ := l.token(t, nil, time.Hour)
	slow, quick := l.dial(t, token), l.dial(t, token)
	for _, w := range []*wire{slow, quick} {
		w.subscribe("s", renamed)
		w.want(named("begun"))
	}
	slows := func() float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() == "tradesage_router_slow_clients_total" {
				return family.GetMetric()[0].GetCounter().GetValue()
			}
		}
		t.Fatal("there is no such metric")
		return 0
	}
	big := strings.Repeat("x", 1<<20)
	deadline := time.Now().Add(patience)
	for i := 0; slows() == 0; i++ {
		if time.Now().After(deadline) {
			t.Fatal("nobody was too slow")
		}
		name := fmt.Sprint(i) + big
		l.rename(name)
		quick.want(named(name))
	}
	if got := slows(); got != 1 {
		t.Errorf("%v clients were too slow", got)
	}
	l.rename("After")
	quick.want(named("After"))
	// The slow one finds, behind what it had been sent, that it is to begin again.
	for {
		m := slow.receive()
		if m.Type == "next" {
			continue
		}
		if m.Type != "error" || !strings.Contains(string(m.Payload), `"UNAVAILABLE"`) || !strings.Contains(string(m.Payload), "cursor") {
			t.Errorf("%.200v", m)
		}
		break
	}
	slow.alive()
	slow.subscribe("s", renamed)
	slow.want(named("begun"))
	l.await(t, 1)
}

// Clients that come and go while events flow see each event at most once more than
// they should, in order, and none after they have left.
func TestManyClientsOfOneSource(t *testing.T) {
	t.Parallel()
	l := newFeeds(t, func(s *shop) { s.options.Streams.SlowWithin = patience })
	token, _ := l.token(t, nil, time.Hour)
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				l.rename(fmt.Sprintf("%09d", i))
			}
		}
	})
	var clients sync.WaitGroup
	for i := range 6 {
		clients.Go(func() {
			for range 4 {
				w := l.dial(t, token)
				for op := range 3 {
					w.subscribe(fmt.Sprint(op), renamed)
				}
				last := map[string]string{}
				for range 30 {
					m := w.receive()
					_, name, _ := strings.Cut(string(m.Payload), `"name":"`)
					if m.Type != "next" || name < last[m.ID] && !strings.HasPrefix(name, "begun") && !strings.HasPrefix(last[m.ID], "begun") {
						t.Errorf("after %s came %+v", last[m.ID], m)
						return
					}
					last[m.ID] = name
				}
				if i%2 == 0 {
					w.send(`{"id":"1","type":"complete"}`)
				}
				_ = w.conn.CloseNow()
			}
		})
	}
	clients.Wait()
	close(stop)
	publishing.Wait()
	l.await(t, 0)
}

// The newest token of all that share a remote source is the one that it goes on
// with.
func TestSharedRemoteSubscriptionsAreRenewed(t *testing.T) {
	t.Parallel()
	type line struct {
		stream int32
		text   string
	}
	lines := make(chan line, 16)
	var streams, open atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := streams.Add(1)
		open.Add(1)
		defer open.Add(-1)
		lines <- line{id, r.Header.Get("Authorization")}
		body := bufio.NewScanner(r.Body)
		body.Scan()
		out, err := sse.NewWriter(w)
		if err != nil {
			t.Error(err)
		}
		if err := out.Next([]byte(`{"data":{"userRenamed":{"__typename":"User","id":"u1","name":"begun"}}}`)); err != nil {
			t.Error(err)
		}
		for body.Scan() {
			lines <- line{id, body.Text()}
		}
	}))
	server.Config.Protocols = &http.Protocols{}
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	l := newFeeds(t, func(s *shop) {
		delete(s.options.Local, "users")
		s.options.Remote = map[string]router.Remote{"users": {URL: server.URL, Transport: transport, Renews: true}}
	})
	wantLine := func(want line) {
		t.Helper()
		if got := <-lines; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	renewal := func(token string) string { return `{"authorization":"` + token + `"}` }
	first, caller := l.token(t, nil, time.Hour)
	w := l.dial(t, first)
	w.subscribe("s", renamed)
	w.want(named("begun"))
	wantLine(line{1, first})
	second, _ := l.token(t, caller, 2*time.Hour)
	v := l.dial(t, second)
	v.subscribe("s", renamed)
	v.want(named("begun"))
	// The first event came from a stream of its own; its token is newer.
	got := map[line]bool{<-lines: true, <-lines: true}
	if !got[line{2, second}] || !got[line{1, renewal(second)}] {
		t.Errorf("got %v", got)
	}
	eventually(t, "one stream is left", func() bool { return open.Load() == 1 })
	older, _ := l.token(t, caller, 90*time.Minute)
	w.send(`{"type":"ping","payload":{"authorization":"` + older + `"}}`)
	w.receive()
	newest, _ := l.token(t, caller, 3*time.Hour)
	w.send(`{"type":"ping","payload":{"authorization":"` + newest + `"}}`)
	w.receive()
	wantLine(line{1, renewal(newest)})
	_ = w.conn.CloseNow()
	v.alive()
	_ = v.conn.CloseNow()
	eventually(t, "no stream is left", func() bool { return open.Load() == 0 })
}

// Those who share a source go on sharing it when the supergraph changes, or share
// the one that takes its place.
func TestSharedSourcesLiveThroughReloads(t *testing.T) {
	t.Parallel()
	l := newFeeds(t, nil)
	token, _ := l.token(t, nil, time.Hour)
	all := []*wire{l.dial(t, token), l.dial(t, token)}
	want := func(name string) {
		t.Helper()
		for _, w := range all {
			w.want(fmt.Sprintf(`{"id":"1","type":"next","payload":{"data":{"userRenamed":{"name":%q,"greeting":"hi %s"}}}}`, name, name))
		}
	}
	for i, w := range all {
		w.subscribe("1", `subscription { userRenamed { name greeting(prefix: "hi") } }`)
		w.want(`{"id":"1","type":"next","payload":{"data":{"userRenamed":{"name":"begun","greeting":"hi begun"}}}}`)
		l.await(t, 1)
		if i == 0 {
			l.rename("Alone")
			w.want(`{"id":"1","type":"next","payload":{"data":{"userRenamed":{"name":"Alone","greeting":"hi Alone"}}}}`)
		}
	}
	before := l.users.feed.list()[0]
	reload(t, l.router, renamedConfig(t, "whoami", "whoIsThat"))
	reload(t, l.router, readConfig(t, "shop"))
	l.rename("Ada L")
	want("Ada L")
	select {
	case <-before.ended:
		t.Error("the source was begun anew for nothing")
	default:
	}
	// Now it is asked for something else: both move, and share again.
	reload(t, l.router, renamedConfig(t, `"selectionSet": "name"
`, `"selectionSet": "name email"
`))
	want("begun")
	eventually(t, "both to share another source", func() bool {
		open := l.users.feed.list()
		return len(open) == 1 && strings.Contains(open[0].query, "email")
	})
	l.rename("Ada K")
	want("Ada K")
	reload(t, l.router, renamedConfig(t, "userRenamed", "userChanged"))
	for _, w := range all {
		if m := w.receive(); m.Type != "error" || !strings.Contains(string(m.Payload), "the schema has changed") {
			t.Errorf("%s %s", m.Type, m.Payload)
		}
		w.alive()
	}
	l.await(t, 0)
}
