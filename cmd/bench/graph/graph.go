// Package graph serves the benchmarks' data twice: as three subgraphs behind the
// router, and as one plain gqlgen server of the same schema.
package graph

import (
	"bytes"
	"context"
	_ "embed" // the supergraph
	"log/slog"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/tradesage/tradesage/cmd/bench/graph/books"
	booksgen "github.com/tradesage/tradesage/cmd/bench/graph/books/generated"
	"github.com/tradesage/tradesage/cmd/bench/graph/market"
	marketgen "github.com/tradesage/tradesage/cmd/bench/graph/market/generated"
	"github.com/tradesage/tradesage/cmd/bench/graph/people"
	peoplegen "github.com/tradesage/tradesage/cmd/bench/graph/people/generated"
	"github.com/tradesage/tradesage/cmd/bench/graph/whole"
	wholegen "github.com/tradesage/tradesage/cmd/bench/graph/whole/generated"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/subgraph"
)

//go:embed supergraph.json
var supergraph []byte

func schemas() map[string]graphql.ExecutableSchema {
	return map[string]graphql.ExecutableSchema{
		"people": peoplegen.NewExecutableSchema(peoplegen.Config{Resolvers: &people.Resolver{}}),
		"books":  booksgen.NewExecutableSchema(booksgen.Config{Resolvers: &books.Resolver{}}),
		"market": marketgen.NewExecutableSchema(marketgen.Config{Resolvers: &market.Resolver{}}),
	}
}

// Subgraphs serves each subgraph by itself, with gqlgen's own handler, under its name.
func Subgraphs() http.Handler {
	mux := http.NewServeMux()
	for name, schema := range schemas() {
		mux.Handle("/"+name, plain(schema))
	}
	return mux
}

// SupergraphAt is the composed config of the subgraphs at a URL.
func SupergraphAt(base string) []byte {
	at := supergraph
	for name := range schemas() {
		at = bytes.ReplaceAll(at, []byte("http://"+name+".internal/graphql"), []byte(base+"/"+name))
	}
	return at
}

// Router returns the product's router over the three subgraphs in this process.
func Router(ctx context.Context) (http.Handler, error) {
	local := map[string]router.LocalSubgraph{}
	for name, schema := range schemas() {
		local[name] = subgraph.New(name, schema, subgraph.Options{Logger: slog.New(slog.DiscardHandler)})
	}
	return router.New(ctx, router.Options{Config: supergraph, Local: local, Logger: slog.New(slog.DiscardHandler)})
}

// Monolith returns gqlgen's own handler of the whole schema.
func Monolith() http.Handler {
	return plain(wholegen.NewExecutableSchema(wholegen.Config{Resolvers: &whole.Resolver{}}))
}

// plain is gqlgen's own handler, set up as its documentation says: POST, and a cache
// of parsed queries.
func plain(schema graphql.ExecutableSchema) http.Handler {
	server := handler.New(schema)
	server.AddTransport(transport.POST{})
	server.SetQueryCache(lru.New[*ast.QueryDocument](1000))
	server.SetErrorPresenter(func(ctx context.Context, err error) *gqlerror.Error {
		out := graphql.DefaultErrorPresenter(ctx, err)
		// gqlgen's path of an error in an argument goes on into the argument.
		if field := graphql.GetFieldContext(ctx); field != nil && field.Args == nil && field.Result == nil {
			out.Path = field.Path()
		}
		return out
	})
	return server
}
