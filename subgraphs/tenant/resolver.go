// Package tenant is the GraphQL face of internal/tenant. Its resolvers translate
// and decide nothing.
package tenant

import (
	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/subgraphs/tenant/generated"
	"github.com/tradesage/tradesage/subgraphs/tenant/model"
)

// Resolver holds what the resolvers need.
type Resolver struct{ tenants *tenant.Tenants }

// New returns the subgraph's executable schema.
func New(tenants *tenant.Tenants) graphql.ExecutableSchema {
	return generated.NewExecutableSchema(generated.Config{
		Resolvers:  &Resolver{tenants},
		Directives: generated.DirectiveRoot{Authenticated: subgraph.Authenticated},
	})
}

func tenantIDs(keys []*model.TenantByIDsInput) []uuid.UUID {
	ids := make([]uuid.UUID, len(keys))
	for i, key := range keys {
		ids[i] = key.ID
	}
	return ids
}

// reference is a user by their id alone, nil for nobody.
func reference(id *uuid.UUID) *model.User {
	if id == nil {
		return nil
	}
	return &model.User{ID: *id}
}
