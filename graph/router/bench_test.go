package router_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
	shared "github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/graph/subgraph/testdata/library"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// newLibrary serves one generated gqlgen schema twice: alone, which is the floor,
// and behind the router as its only subgraph.
func newLibrary(tb testing.TB) (alone, routed http.Handler) {
	config := library.Config{Resolvers: library.Resolvers{}}
	config.Directives.Authenticated = shared.Authenticated
	server := shared.New("library", library.NewExecutableSchema(config), shared.Options{Logger: slog.New(slog.DiscardHandler)})
	return server, newRouter(tb, router.Options{
		Config: readConfig(tb, "library"),
		Local:  map[string]router.LocalSubgraph{"library": server},
		Logger: slog.New(slog.DiscardHandler),
	})
}

var libraryRequests = map[string]string{
	"small": `{"query":"query($id: String!) { book(id: $id) { id title author { name } } }","variables":{"id":"b3"}}`,
	"list":  `{"query":"query($n: Int) { books(first: $n) { id title pages tags author { name born } } }","variables":{"n":10}}`,
	"alias": `{"query":"{ a: hello(name: \"a\") b: hello(name: \"b\") c: book(id: \"b1\") { t: title } }"}`,
}

func TestRouterAnswersLikeItsOnlySubgraph(t *testing.T) {
	t.Parallel()
	alone, routed := newLibrary(t)
	for _, body := range libraryRequests {
		want := post(alone, body)
		wantBody(t, post(routed, body), want.body)
	}
}

// discard is the cheapest http.ResponseWriter.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkRequest measures a whole request without net/http, in this order:
// the subgraph's own handler (the floor), then the router in front of it.
func BenchmarkRequest(b *testing.B) {
	alone, routed := newLibrary(b)
	for _, name := range []string{"small", "list", "alias"} {
		for _, c := range []struct {
			name    string
			handler http.Handler
		}{{"gqlgen", alone}, {"router", routed}} {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				body := []byte(libraryRequests[name])
				base, err := http.NewRequest(http.MethodPost, "/graphql", nil)
				if err != nil {
					b.Fatal(err)
				}
				base.Header.Set("Content-Type", "application/json")
				base.ContentLength = int64(len(body))
				base = base.WithContext(telemetry.WithRequestID(b.Context(), "bench"))
				b.ReportAllocs()
				for b.Loop() {
					req := *base
					req.Body = io.NopCloser(bytes.NewReader(body))
					c.handler.ServeHTTP(discard{header: make(http.Header, 4)}, &req)
				}
			})
		}
	}
}

// BenchmarkPrepare measures what the plan cache saves.
func BenchmarkPrepare(b *testing.B) {
	s := newShop(b, func(s *shop) { s.options.CacheSize = 1 })
	texts := [2]string{}
	for i, alias := range []string{"a", "b"} {
		texts[i] = `{ ` + alias + `: me { id orders { id reviews { stars author { name } } } greeting } }`
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		query(s.router, texts[i%2], "")
	}
}
