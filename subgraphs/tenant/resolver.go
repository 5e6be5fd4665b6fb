// Package tenant is the GraphQL face of internal/tenant. Its resolvers translate
// and decide nothing.
package tenant

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/subgraphs/tenant/generated"
)

// Resolver holds what the resolvers need.
type Resolver struct{ tenants *tenant.Tenants }

// New returns the subgraph's executable schema.
func New(tenants *tenant.Tenants) graphql.ExecutableSchema {
	schema := generated.NewExecutableSchema(generated.Config{
		Resolvers:  &Resolver{tenants},
		Directives: generated.DirectiveRoot{Authenticated: subgraph.Authenticated, StepUp: subgraph.StepUp},
	})
	return subgraph.WithValue(schema, batchesKey{}, func() any { return newBatches(tenants) })
}

// batches are one operation's: the memberships of all users of a page are loaded
// at once.
type batches struct {
	memberships *subgraph.Batch[uuid.UUID, []*tenant.Membership]
}

type batchesKey struct{}

func batchesOf(ctx context.Context) *batches { return ctx.Value(batchesKey{}).(*batches) }

func newBatches(tenants *tenant.Tenants) *batches {
	return &batches{memberships: subgraph.NewBatch(tenant.MaxBatch, tenants.MembershipsOf)}
}

// expectUsers passes users on and says that their memberships may be asked for.
func expectUsers(ctx context.Context) func([]*tenant.User, error) ([]*tenant.User, error) {
	return func(users []*tenant.User, err error) ([]*tenant.User, error) {
		for _, u := range users {
			if u != nil {
				batchesOf(ctx).memberships.Expect(u.ID)
			}
		}
		return users, err
	}
}

// reference is a user by their id alone, nil for nobody.
func reference(id *uuid.UUID) *tenant.User {
	if id == nil {
		return nil
	}
	return &tenant.User{ID: *id}
}
