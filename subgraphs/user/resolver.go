// Package user is the GraphQL face of internal/user. Its resolvers translate and
// decide nothing.
package user

import (
	"github.com/99designs/gqlgen/graphql"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/permission"
	"github.com/tradesage/tradesage/internal/user"
	"github.com/tradesage/tradesage/subgraphs/user/generated"
)

// Resolver holds what the resolvers need.
type Resolver struct{ users *user.Users }

// New returns the subgraph's executable schema.
func New(users *user.Users, permissions *permission.Permissions) graphql.ExecutableSchema {
	schema := generated.NewExecutableSchema(generated.Config{
		Resolvers: &Resolver{users},
		Directives: generated.DirectiveRoot{
			Authenticated: subgraph.Authenticated, StepUp: subgraph.StepUp, RequiresScopes: subgraph.RequiresScopes(permissions),
		},
	})
	return subgraph.WithValue(schema, batchesKey{}, func() any { return newBatches(users) })
}
