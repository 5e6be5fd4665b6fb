package tenant

import (
	"context"

	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/subgraphs/tenant/generated"
	"github.com/tradesage/tradesage/subgraphs/tenant/model"
)

func (r *mutationResolver) CreateTenant(ctx context.Context, input tenant.CreateTenantInput) (*model.CreateTenantPayload, error) {
	created, err := r.tenants.Create(ctx, input)
	return &model.CreateTenantPayload{Tenant: created}, err
}

func (r *queryResolver) Tenant(ctx context.Context) (*tenant.Tenant, error) {
	return r.tenants.Current(ctx)
}

func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

type (
	mutationResolver struct{ *Resolver }
	queryResolver    struct{ *Resolver }
)
