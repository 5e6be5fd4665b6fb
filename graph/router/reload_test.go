package router_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// renamedConfig is the shop's config with a name changed everywhere.
func renamedConfig(t *testing.T, from, to string) []byte {
	t.Helper()
	before := string(readConfig(t, "shop"))
	after := strings.ReplaceAll(before, from, to)
	if after == before {
		t.Fatalf("the shop has no %s", from)
	}
	return []byte(after)
}

func reload(t *testing.T, r *router.Router, config []byte) {
	t.Helper()
	if err := r.Reload(t.Context(), config, nil); err != nil {
		t.Fatal(err)
	}
}

func sdlOf(t *testing.T, h http.Handler) (etag, sdl string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/schema.graphql", http.NoBody))
	return rec.Header().Get("ETag"), rec.Body.String()
}

func TestAnotherSupergraph(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := newShop(t, func(s *shop) { s.options.Metrics = registry })
	sdl := s.router.SchemaSDL()
	firstTag, _ := sdlOf(t, sdl)
	wantBody(t, query(s.router, `{ me { email } }`, ""), `{"data":{"me":{"email":"ada@shop.test"}}}`)
	wantBody(t, query(s.router, `{ me { name } }`, ""), `{"data":{"me":{"name":"Ada"}}}`)

	reload(t, s.router, renamedConfig(t, "email", "letters"))
	wantError(t, query(s.router, `{ me { email } }`, ""), fault.CodeInvalidInput, "email")
	wantBody(t, query(s.router, `{ me { name } }`, ""), `{"data":{"me":{"name":"Ada"}}}`)
	tag, text := sdlOf(t, sdl)
	if tag == firstTag || !strings.Contains(text, "letters: String") {
		t.Errorf("the schema is still %s: %s", tag, text)
	}

	for name, c := range map[string]struct{ config, want string }{
		"half a file":          {string(readConfig(t, "shop")[:1000]), "not an execution config in JSON"},
		"nothing":              {"", "not an execution config in JSON"},
		"another file":         {`{"name":"tradesage"}`, "engineConfig.graphqlSchema is missing"},
		"no subgraphs":         {`{"engineConfig":{"graphqlSchema":"type Query{a:Int}","datasourceConfigurations":[{"id":"0"}]}}`, "subgraphs is missing"},
		"an unknown subgraph":  {string(renamedConfig(t, `"name": "users"`, `"name": "people"`)), `local subgraph "users" is not in the supergraph`},
		"a schema that breaks": {string(renamedConfig(t, "type Query {", "type Query {{")), "schema"},
		"one name twice":       {string(renamedConfig(t, `"name": "users"`, `"name": "orders"`)), `"orders" occurs twice`},
		"a source of no one": {string(renamedConfig(t, `"requestTimeoutSeconds": "10",
        "id": "0"`, `"id": "7"`)), "is no subgraph's"},
		"a reserved name": {string(renamedConfig(t, "whoami", "tsAlias_x")), "reserved"},
	} {
		if err := s.router.Reload(t.Context(), []byte(c.config), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if now, _ := sdlOf(t, sdl); now != tag {
		t.Error("a refused supergraph is in force")
	}
	wantBody(t, query(s.router, `{ me { name } }`, ""), `{"data":{"me":{"name":"Ada"}}}`)
	const want = `# HELP tradesage_router_supergraph_reloads_total Changed supergraphs by outcome: taken, refused.
# TYPE tradesage_router_supergraph_reloads_total counter
tradesage_router_supergraph_reloads_total{outcome="refused"} 9
tradesage_router_supergraph_reloads_total{outcome="taken"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "tradesage_router_supergraph_reloads_total"); err != nil {
		t.Error(err)
	}
}

// What was asked is prepared before the change, what no longer fits is left out.
func TestPlansAreReady(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := newShop(t, func(s *shop) { s.options.Metrics = registry })
	texts := []string{`{ me { name } }`, `{ orders { id buyer { name } } }`, `{ me { greeting orders { id } } }`}
	for _, text := range append(texts, `{ me { email } }`) {
		query(s.router, text, "")
	}
	const conditional = `query($a: Boolean!) { me { name id @include(if: $a) } }`
	query(s.router, conditional, `{"a":true}`)
	planned := counter(t, registry, "tradesage_router_plan_cache_misses_total")
	reload(t, s.router, renamedConfig(t, "email", "letters"))
	for _, text := range texts {
		query(s.router, text, "")
	}
	query(s.router, conditional, `{"a":true}`)
	if now := counter(t, registry, "tradesage_router_plan_cache_misses_total"); now != planned {
		t.Errorf("%v operations were planned by a client", now-planned)
	}
	query(s.router, conditional, `{"a":false}`)
	if now := counter(t, registry, "tradesage_router_plan_cache_misses_total"); now != planned+1 {
		t.Errorf("%v operations were planned", now-planned)
	}
	if !strings.Contains(s.log.String(), "operations_no_longer_valid=1") {
		t.Errorf("the log says nothing: %s", s.log)
	}
}

func counter(t *testing.T, registry prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

// Fifty changes while clients ask: every answer is right and none is lost.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	noGoroutineIsLeft(t)
	s := newShop(t, func(s *shop) {
		delete(s.options.Local, "orders")
		orders, _ := overHTTP(t, s.orders)
		s.options.Remote = map[string]router.Remote{"orders": {URL: orders}}
	})
	server := httptest.NewServer(s.router)
	t.Cleanup(server.Close)
	var stop atomic.Bool
	var answered atomic.Int64
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for n := 0; !stop.Load(); n++ {
				text := fmt.Sprintf(`{ me { n%d: name orders { id total } reviewCount } }`, n%7+i*10)
				want := fmt.Sprintf(`{"data":{"me":{"n%d":"Ada","orders":[{"id":"o1","total":10}],"reviewCount":7}}}`, n%7+i*10)
				if got := overTheWire(server.URL, text); got != want {
					t.Errorf("%s: %s", text, got)
					return
				}
				answered.Add(1)
			}
		})
	}
	first, second := readConfig(t, "shop"), renamedConfig(t, "email", "letters")
	for n := range 50 {
		before := answered.Load()
		config := first
		if n%2 == 0 {
			config = second
		}
		if err := s.router.Reload(t.Context(), config, s.options.Remote); err != nil {
			t.Fatal(err)
		}
		eventually(t, "answers between changes", func() bool { return answered.Load() > before+4 || t.Failed() })
	}
	stop.Store(true)
	clients.Wait()
	if circuits := s.router.Circuits(); len(circuits) != 1 {
		t.Errorf("%v", circuits)
	}
}

func overTheWire(url, text string) string {
	resp, err := http.Post(url+"/graphql", "application/json", strings.NewReader(fmt.Sprintf(`{"query":%q}`, text)))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var out strings.Builder
	if err := resp.Write(&out); err != nil {
		return err.Error()
	}
	_, body, _ := strings.Cut(out.String(), "\r\n\r\n")
	return strings.TrimSpace(body)
}

// Open subscriptions live through changes: unnoticed by their subgraph where it is
// asked for the same, begun anew where it is asked for something else, and ended
// with a reason where they are no part of the schema any more.
func TestSubscriptionsLiveThroughReloads(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	w := l.dial(t, "")
	w.subscribe("1", `subscription { userRenamed { name greeting(prefix: "hi") } }`)
	l.await(t, 1)
	s := l.stream(t, "", renamed)
	l.await(t, 2)
	before := l.users.feed.list()

	reload(t, l.router, renamedConfig(t, "whoami", "whoIsThat"))
	reload(t, l.router, readConfig(t, "shop"))
	l.rename("Ada L")
	w.want(`{"id":"1","type":"next","payload":{"data":{"userRenamed":{"name":"Ada L","greeting":"hi Ada L"}}}}`)
	s.want(`{"data":{"userRenamed":{"id":"u1","name":"Ada L"}}}`)
	for _, f := range before {
		select {
		case <-f.ended:
			t.Error("a subscription was begun anew for nothing")
		default:
		}
	}

	// The greeting now needs the address too: its subscription is asked for otherwise.
	reload(t, l.router, renamedConfig(t, `"selectionSet": "name"
`, `"selectionSet": "name email"
`))
	eventually(t, "one of them to begin anew", func() bool {
		asked := 0
		for _, f := range l.users.feed.list() {
			if strings.Contains(f.query, "email") {
				asked++
			}
		}
		return asked == 1 && len(l.users.feed.list()) == 2
	})
	l.rename("Ada K")
	w.want(`{"id":"1","type":"next","payload":{"data":{"userRenamed":{"name":"Ada K","greeting":"hi Ada K"}}}}`)
	s.want(`{"data":{"userRenamed":{"id":"u1","name":"Ada K"}}}`)

	reload(t, l.router, renamedConfig(t, "userRenamed", "userChanged"))
	m := w.receive()
	if m.Type != "error" || m.ID != "1" || !strings.Contains(string(m.Payload), "the schema has changed") || !strings.Contains(string(m.Payload), "INVALID_INPUT") {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
	select {
	case last := <-s.events:
		if !strings.Contains(last, "the schema has changed") {
			t.Errorf("%s", last)
		}
	case err := <-s.ended:
		t.Errorf("the stream ended without a reason: %v", err)
	}
	s.wantComplete()
	l.await(t, 0)
	w.alive()
	w.subscribe("1", `subscription { userChanged { id } }`)
	l.await(t, 1)
	w.send(`{"id":"1","type":"complete"}`)
	l.await(t, 0)
}

// Persisted operations that another supergraph cannot run are named; the others, and
// everybody else, go on. A manifest that fits it ends that.
func TestPersistedOperationsOfAnotherSupergraph(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := newShop(t, func(s *shop) {
		s.options.Metrics, s.options.Trusted = registry, router.Trusted{Only: true}
	})
	set := func(documents map[string]string) {
		t.Helper()
		if err := s.router.SetManifest(t.Context(), manifest(t, documents)); err != nil {
			t.Fatal(err)
		}
	}
	const invalid = "tradesage_router_persisted_operations_invalid"
	set(map[string]string{"name": `{ me { name } }`, "mail": `{ me { email } }`, "mails": `{ users { email } }`})
	reload(t, s.router, renamedConfig(t, "email", "letters"))
	if got := strings.Join(s.router.UnfitOperations(), " "); got != "mail mails" || metric(t, registry, invalid, "") != 2 {
		t.Errorf("%q", got)
	}
	if said := s.log.String(); !strings.Contains(said, "operation=mails why=") || strings.Contains(said, "operation=name ") {
		t.Error(said)
	}
	wantBody(t, post(s.router, `{"documentId":"name"}`), `{"data":{"me":{"name":"Ada"}}}`)
	wantError(t, post(s.router, `{"documentId":"mail"}`), fault.CodeInvalidInput, "email")
	set(map[string]string{"name": `{ me { name } }`, "mail": `{ me { id } }`})
	if got := s.router.UnfitOperations(); len(got) != 0 || metric(t, registry, invalid, "") != 0 {
		t.Errorf("%q", got)
	}
	wantBody(t, post(s.router, `{"documentId":"mail"}`), `{"data":{"me":{"id":"u1"}}}`)
}

// What was open when every subgraph was in this process has its token for one that
// another supergraph reaches elsewhere.
func TestStreamsHaveTheirTokenForNewSubgraphs(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	token, _ := l.token(t, nil, time.Hour)
	s := l.stream(t, token, renamedWide)
	w := l.dial(t, token)
	w.subscribe("1", `subscription { userRenamed { orders { id } } }`)
	l.await(t, 2)
	orders, headers := overHTTP(t, l.orders)
	delete(l.options.Local, "orders")
	if err := l.router.Reload(t.Context(), readConfig(t, "shop"), map[string]router.Remote{"orders": {URL: orders}}); err != nil {
		t.Fatal(err)
	}
	// What is open takes the change up a moment later.
	eventually(t, "both to ask the new subgraph", func() bool {
		l.rename("Ada L")
		w.want(`{"id":"1","type":"next","payload":{"data":{"userRenamed":{"orders":[{"id":"o1"}]}}}}`)
		s.want(`{"data":{"userRenamed":{"called":"Ada L","orders":[{"id":"o1","total":10}],"reviewCount":7,"greeting":"hi Ada L"}}}`)
		return len(headers()) >= 4 || t.Failed()
	})
	for _, h := range headers() {
		if got := h.Get("Authorization"); got == "" || !strings.HasSuffix(got, token) {
			t.Errorf("the new subgraph was asked with %q", got)
		}
	}
}

// A request that finds all subgraphs in this process, and is run by those of the next
// supergraph, has its token for the one that is elsewhere.
func TestARequestInTheMiddleOfAReloadHasItsToken(t *testing.T) {
	t.Parallel()
	var s *shop
	var once sync.Once
	var headers func() []http.Header
	s = newShop(t, func(s *shop) {
		as := authenticateAs(t)
		s.options.Authenticate = func(req *http.Request) (*identity.Caller, error) {
			once.Do(func() {
				var orders string
				orders, headers = overHTTP(t, s.orders)
				delete(s.options.Local, "orders")
				if err := s.router.Reload(t.Context(), readConfig(t, "shop"), map[string]router.Remote{"orders": {URL: orders}}); err != nil {
					t.Error(err)
				}
			})
			return as(req)
		}
	})
	for what, text := range map[string]string{"the first": `{ orders { id } }`, "joined": `{ me { orders { id } } }`} {
		if got := post(s.router, `{"query":"`+text+`"}`, "Authorization", "user"); !strings.Contains(got.body, `"id":"o1"`) {
			t.Errorf("%s: %s", what, got.body)
		}
	}
	seen := headers()
	if len(seen) != 2 {
		t.Errorf("the new subgraph was asked %d times", len(seen))
	}
	for _, h := range seen {
		if diff := cmp.Diff([]string{"user"}, h["Authorization"]); diff != "" {
			t.Error(diff)
		}
	}
}
