package tenant

import (
	"context"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/subgraphs/tenant/generated"
	"github.com/tradesage/tradesage/subgraphs/tenant/model"
)

func (r *entityResolver) FindManyTenantByIDs(ctx context.Context, reps []*model.TenantByIDsInput) ([]*tenant.Tenant, error) {
	return r.tenants.ByID(ctx, subgraph.IDs(reps))
}

func (r *entityResolver) FindManyUserByIDs(ctx context.Context, reps []*model.UserByIDsInput) ([]*tenant.User, error) {
	return expectUsers(ctx)(r.tenants.UsersByID(ctx, subgraph.IDs(reps)))
}

func (r *Resolver) Entity() generated.EntityResolver { return &entityResolver{r} }

type entityResolver struct{ *Resolver }
