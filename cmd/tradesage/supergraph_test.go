package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/cmd/bench/graph/books"
	booksgen "github.com/tradesage/tradesage/cmd/bench/graph/books/generated"
	"github.com/tradesage/tradesage/cmd/bench/graph/market"
	marketgen "github.com/tradesage/tradesage/cmd/bench/graph/market/generated"
	"github.com/tradesage/tradesage/cmd/bench/graph/people"
	peoplegen "github.com/tradesage/tradesage/cmd/bench/graph/people/generated"
	tradesage "github.com/tradesage/tradesage/cmd/tradesage"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// desk are three subgraphs that know nothing of TradeSage: plain servers, each at an
// address of its own.
type desk struct {
	urls string
	// down has market answer nothing but 503.
	down atomic.Bool

	mu     sync.Mutex
	tokens map[string]int
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	return startDesk(t, (*httptest.Server).Start)
}

func startDesk(t *testing.T, start func(*httptest.Server)) *desk {
	t.Helper()
	d := &desk{tokens: map[string]int{}}
	var urls []string
	for name, schema := range map[string]graphql.ExecutableSchema{
		"people": peoplegen.NewExecutableSchema(peoplegen.Config{Resolvers: &people.Resolver{}}),
		"books":  booksgen.NewExecutableSchema(booksgen.Config{Resolvers: &books.Resolver{}}),
		"market": marketgen.NewExecutableSchema(marketgen.Config{Resolvers: &market.Resolver{}}),
	} {
		plain := handler.New(schema)
		plain.AddTransport(transport.POST{})
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name == "market" && d.down.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			d.mu.Lock()
			d.tokens[r.Header.Get("Authorization")]++
			d.mu.Unlock()
			plain.ServeHTTP(w, r)
		}))
		start(server)
		t.Cleanup(server.Close)
		urls = append(urls, name+"="+server.URL+"/graphql")
	}
	d.urls = strings.Join(urls, ",")
	return d
}

// deskSupergraph is their composition; from and to change a name in it.
func deskSupergraph(t *testing.T, replacements ...string) []byte {
	t.Helper()
	text, err := os.ReadFile("../bench/graph/supergraph.json")
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.NewReplacer(replacements...).Replace(string(text)))
}

func writeFile(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitAnswer waits until the program answers a query as it should.
func (p *process) awaitAnswer(t *testing.T, what, query string, good func(gqlResponse) bool) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		answer := p.ask(t, "", query, nil)
		if good(answer) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %+v\n%s", what, answer, p.text())
		case <-tick.C:
		}
	}
}

const deskQuery = `{ positions(first: 1) { id instrument { symbol quote { bid } } } }`

func clean(a gqlResponse) bool {
	return a.Status == http.StatusOK && len(a.Errors) == 0 && a.Data != nil
}

// The program serves a supergraph of others, without a database, and follows its
// file while it serves.
func TestServeASupergraphOfOthers(t *testing.T) {
	t.Parallel()
	d, file := newDesk(t), filepath.Join(t.TempDir(), "supergraph.json")
	writeFile(t, file, deskSupergraph(t))
	manifest := filepath.Join(t.TempDir(), "operations.json")
	persisted, err := json.Marshal(map[string]string{"desk": deskQuery, "kind": "{ __typename }"})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, manifest, persisted)
	p := serveWith(t, map[string]string{
		"TRADESAGE_SUPERGRAPH": file, "TRADESAGE_SUBGRAPH_URLS": d.urls, "TRADESAGE_PUBLIC_ONLY": "true",
		"TRADESAGE_LOG_FORMAT": "text", "TRADESAGE_DRAIN_DELAY": "0s", "TRADESAGE_INTROSPECTION": "open",
		"TRADESAGE_OPERATIONS_MANIFEST": manifest,
	})
	p.awaitText(t, func(text string) bool { return strings.Contains(text, "msg=serving") })
	first := p.ask(t, "their-own-token", deskQuery, nil)
	if !clean(first) || dig(first.Data, "positions", 0, "instrument", "quote", "bid") == nil {
		t.Fatalf("%+v\n%s", first, p.text())
	}
	d.mu.Lock()
	if diff := cmp.Diff(1, len(d.tokens)); diff != "" || d.tokens["Bearer their-own-token"] < 2 {
		t.Errorf("tokens as the subgraphs see them: %v", d.tokens)
	}
	d.mu.Unlock()
	if status, text := p.get(t, p.url+"/readyz"); status != http.StatusOK || !strings.Contains(text, `"supergraph":{"ok":true`) {
		t.Errorf("%d %s", status, text)
	}

	// A file that is no supergraph changes nothing, and is told of.
	writeFile(t, file, deskSupergraph(t)[:5000])
	p.awaitText(t, func(text string) bool { return strings.Contains(text, "the supergraph file is refused") })
	if status, text := p.get(t, p.url+"/readyz"); status != http.StatusOK || !strings.Contains(text, `"supergraph":{"ok":false,"needed":false,"missing":["the file is refused`) {
		t.Errorf("%d %s", status, text)
	}
	if _, text := p.get(t, p.ops+"/metrics"); !strings.Contains(text, `tradesage_router_supergraph_reloads_total{outcome="refused"} 1`) {
		t.Error("the refusal is not counted")
	}
	if answer := p.ask(t, "", deskQuery, nil); !clean(answer) {
		t.Errorf("%+v", answer)
	}

	// One that is moved in its place is taken up, as is one that a signal tells of.
	writeFile(t, file+".new", deskSupergraph(t, "positions", "holdings"))
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	p.awaitAnswer(t, "the new schema", deskQuery, func(a gqlResponse) bool { return a.code() == "INVALID_INPUT" })
	if _, sdl := p.get(t, p.url+"/schema.graphql"); !strings.Contains(sdl, "holdings(") {
		t.Errorf("%s", sdl)
	}
	p.awaitText(t, func(text string) bool {
		return strings.Contains(text, "a persisted operation is not valid in the supergraph that is now in force") && strings.Contains(text, "operation=desk")
	})
	if status, text := p.get(t, p.url+"/readyz"); status != http.StatusOK || !strings.Contains(text, `are not valid in the supergraph in force: desk"]`) {
		t.Errorf("%d %s", status, text)
	}
	writeFile(t, file, deskSupergraph(t))
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.awaitAnswer(t, "the old schema", deskQuery, clean)

	// A subgraph that is away costs its own fields, until it is back.
	d.down.Store(true)
	p.awaitAnswer(t, "an open circuit", deskQuery, func(a gqlResponse) bool {
		_, text := p.get(t, p.url+"/readyz")
		return a.code() == "UNAVAILABLE" && strings.Contains(text, "the circuit of market is ")
	})
	d.down.Store(false)
	back := time.Now()
	p.awaitAnswer(t, "recovery", deskQuery, clean)
	t.Logf("recovered within %s", time.Since(back).Round(time.Millisecond))
	p.interrupt(t)
}

// Services of this process take part in a file's supergraph as in the one compiled
// in, and people sign in as always.
func TestServeAFileWithServicesOfOurs(t *testing.T) {
	t.Parallel()
	environment := settings(dbtest.NewDatabase(t))
	environment["TRADESAGE_SUPERGRAPH"] = "../../graph/supergraph.json"
	environment["TRADESAGE_SERVICES"] = "router,auth,session,tenant,user"
	environment["TRADESAGE_START_WAIT"] = "1m"
	if err := tradesage.Seed(t.Context(), environment); err != nil {
		t.Fatal(err)
	}
	p := serveWith(t, environment)
	(&stack{}).awaitReady(t, p)
	token, id := p.signIn(t, "owner@acme.test")
	if me := p.ask(t, token, meQuery, nil); dig(me.Data, "me", "id") != id {
		t.Errorf("%+v", me)
	}
	if me := p.ask(t, "", meQuery, nil); me.code() != "UNAUTHENTICATED" {
		t.Errorf("%+v", me)
	}
	p.interrupt(t)
}

func TestServeRefusesBadSupergraphs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		at := filepath.Join(dir, name)
		writeFile(t, at, []byte(text))
		return at
	}
	whole := file("whole.json", string(deskSupergraph(t)))
	const here = "books=http://127.0.0.1:1/,market=http://127.0.0.1:2/,people=http://127.0.0.1:3/"
	for want, environment := range map[string]map[string]string{
		"TRADESAGE_SUPERGRAPH: open":                                                                      {"TRADESAGE_SUPERGRAPH": filepath.Join(dir, "none.json")},
		"half.json: not an execution config in JSON":                                                      {"TRADESAGE_SUPERGRAPH": file("half.json", "{")},
		"engineConfig.graphqlSchema is missing":                                                           {"TRADESAGE_SUPERGRAPH": file("other.json", "{}")},
		"engineConfig.datasourceConfigurations is missing":                                                {"TRADESAGE_SUPERGRAPH": file("bare.json", `{"engineConfig":{"graphqlSchema":"type Query{a:Int}"}}`)},
		"datasourceConfigurations[0].kind: \"STATIC\" is not supported":                                   {"TRADESAGE_SUPERGRAPH": file("static.json", string(deskSupergraph(t, `"kind": "GRAPHQL"`, `"kind": "STATIC"`)))},
		"the routing URL of books (TRADESAGE_SUBGRAPH_URLS sets another): books.internal is":              {"TRADESAGE_SUPERGRAPH": whole},
		"TRADESAGE_SUBGRAPH_URLS: books: \"ftp://x\" is not a URL":                                        {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_URLS": "books=ftp://x"},
		"TRADESAGE_SUBGRAPH_URLS: the supergraph has no subgraph \"shelves\", only books, market, people": {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_URLS": "shelves=http://127.0.0.1"},
		"TRADESAGE_SUBGRAPH_CA: open":                                                                     {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_CA": filepath.Join(dir, "none.pem")},
		"TRADESAGE_SUBGRAPH_KEY: must be set":                                                             {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_CERT": whole},
		"TRADESAGE_SUBGRAPH_CERT: must be set":                                                            {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_KEY": whole},
		"TRADESAGE_SUBGRAPH_CERT: certificate ":                                                           {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_CERT": whole, "TRADESAGE_SUBGRAPH_KEY": whole},
		"TRADESAGE_SUBGRAPH_CERT: needs":                                                                  {"TRADESAGE_SUBGRAPH_CERT": whole, "TRADESAGE_SUBGRAPH_KEY": whole},
		"TRADESAGE_SUBGRAPH_SOCKET_SUBSCRIPTIONS: 0 is not":                                               {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_SOCKET_SUBSCRIPTIONS": "0"},
		"TRADESAGE_SUBGRAPH_CONNECTIONS: 0 is not":                                                        {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_CONNECTIONS": "0"},
		"TRADESAGE_PUBLIC_ONLY: needs":                                                                    {"TRADESAGE_PUBLIC_ONLY": "true"},
		"TRADESAGE_PUBLIC_ONLY: user of this":                                                             {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_PUBLIC_ONLY": "true", "TRADESAGE_SERVICES": "router,user"},
		"this process serves no router":                                                                   {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SERVICES": "user"},
		"the supergraph has no subgraph \"user\"":                                                         {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SERVICES": "router,user", "TRADESAGE_SUBGRAPH_URLS": here},
		"TRADESAGE_FETCH_TIMEOUTS: there is no":                                                           {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_URLS": here, "TRADESAGE_PUBLIC_ONLY": "true", "TRADESAGE_FETCH_TIMEOUTS": "x=2s"},
		"TRADESAGE_FETCH_TIMEOUTS: books: 1ms":                                                            {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_URLS": here, "TRADESAGE_PUBLIC_ONLY": "true", "TRADESAGE_FETCH_TIMEOUTS": "books=1ms"},
		"TRADESAGE_FETCH_RETRIES: 6 is not between":                                                       {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_URLS": here, "TRADESAGE_FETCH_RETRIES": "6"},
		"TRADESAGE_BREAKER_PERCENT: 101 is not":                                                           {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_URLS": here, "TRADESAGE_BREAKER_PERCENT": "101"},
		"TRADESAGE_BREAKER_PAUSE: 1h0m0s is not":                                                          {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_URLS": here, "TRADESAGE_BREAKER_PAUSE": "1h"},
		"TRADESAGE_REDIS_URL: must be set":                                                                {"TRADESAGE_SUPERGRAPH": whole, "TRADESAGE_SUBGRAPH_URLS": here},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), binary(t), "serve", "--listen", freePort(t), "--metrics-listen", freePort(t))
			cmd.Env = []string{"PATH=/usr/bin:/bin"}
			for k, v := range environment {
				cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%s", k, v))
			}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
