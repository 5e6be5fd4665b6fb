package router_test

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/router"
	shared "github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/graph/subgraph/testdata/library"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
)

// inexact hides that a subgraph is exact.
type inexact struct{ router.LocalSubgraph }

// newLibraryTwice serves one subgraph by two routers: where possible directly, and
// always through the engine. A request with the header Caller is signed in.
func newLibraryTwice(t *testing.T) (directly, through *router.Router) {
	t.Helper()
	config := library.Config{Resolvers: library.Resolvers{}}
	config.Directives.Authenticated = shared.Authenticated
	server := shared.New("library", library.NewExecutableSchema(config), shared.Options{Logger: slog.New(slog.DiscardHandler)})
	caller := &identity.Caller{Subject: uuid.New(), Tenant: dbtest.New(t).Tenant(t)}
	serve := func(local router.LocalSubgraph) *router.Router {
		return newRouter(t, router.Options{
			Config: readConfig(t, "library"), Local: map[string]router.LocalSubgraph{"library": local},
			Logger: slog.New(slog.DiscardHandler), Introspection: true, MaxConcurrent: 1,
			Authenticate: func(r *http.Request) (*identity.Caller, error) {
				if r.Header.Get("Caller") == "" {
					return nil, nil
				}
				return caller, nil
			},
		})
	}
	return serve(server), serve(inexact{server})
}

func TestDirectAnswersAreTheEnginesAnswers(t *testing.T) {
	t.Parallel()
	directly, through := newLibraryTwice(t)
	for _, c := range []struct {
		query, variables string
		direct           bool
	}{
		{`{ hello }`, "", true},
		{`query($n: String) { hello(name: $n) }`, `{"n":"\"<\u00e9\u2028>\\"}`, true},
		{`query($n: String = "d") { hello(name: $n) }`, "", true},
		{`query($n: String) { hello(name: $n) }`, "", true},
		{`{ books(first: 3) { id title pages tags author { name born } } }`, "", true},
		{`{ books(first: 0) { id } }`, "", true},
		{`{ book(id: "b1") { __typename id author { __typename name } } }`, "", true},
		{`{ book(id: "b1") { ...part author { name } } } fragment part on Book { title ... on Book { id } }`, "", true},
		{`query($yes: Boolean!) { book(id: "b1") { id title @include(if: $yes) pages @skip(if: $yes) } }`, `{"yes":true}`, true},
		{`query($yes: Boolean!) { book(id: "b1") { id title @include(if: $yes) pages @skip(if: $yes) } }`, `{"yes":false}`, true},
		{`{ hello book(id: "none") { id } }`, "", true},
		{`{ fail(how: "panic") }`, "", true},
		{`{ fail(how: "plain") hello }`, "", true},
		{`{ fail(how: "wrapped") }`, "", true},
		{`{ fail(how: "slow") }`, "", true},
		{`{ secret }`, "", true},
		{`{ secret hello }`, "", true},
		{`{ again: hello }`, "", false},
		{`{ book(id: "b1") { id: title } }`, "", false},
		{`{ __typename hello }`, "", false},
		{`{ __schema { queryType { name } } }`, "", false},
		{`{ hello __type(name: "Book") { name } }`, "", true},
		{`query($n: String!) { __type(name: $n) { a: name } secret b: __schema { queryType { name } } }`, `{"n":"Book"}`, true},
	} {
		if got := router.IsDirect(directly, c.query, c.variables); got != c.direct {
			t.Errorf("%s: direct is %t, want %t", c.query, got, c.direct)
		}
		if router.IsDirect(through, c.query, c.variables) {
			t.Errorf("%s: direct without an exact subgraph", c.query)
		}
		body := `{"query":` + strconv.Quote(c.query)
		if c.variables != "" {
			body += `,"variables":` + c.variables
		}
		for _, header := range [][]string{nil, {"Caller", "yes", "X-Request-Id", "r1"}} {
			want, got := post(through, body+"}", header...), post(directly, body+"}", header...)
			wantBody(t, got, want.body)
			if c.direct && got.status == http.StatusOK && !strings.Contains(got.body, "errors") && got.body != want.body {
				t.Errorf("got  %s\nwant %s", got.body, want.body)
			}
		}
	}
}
