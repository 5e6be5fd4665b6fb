package tenant

import (
	"context"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/page"
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

func (r *queryResolver) Tenants(ctx context.Context, first *int, after *string, filter *tenant.TenantFilterInput, sort *tenant.TenantSort) (*page.Connection[*tenant.Tenant], error) {
	return r.tenants.List(ctx, tenant.List{Args: page.Args{First: first, After: after}, Filter: filter, Sort: sort})
}

func (r *subscriptionResolver) TenantEvents(ctx context.Context, after *string) (<-chan *tenant.TenantEvent, error) {
	stream, err := r.tenants.Events(ctx, after)
	return subgraph.Channel(ctx, stream, err)
}

func (r *tenantEventResolver) Tenant(ctx context.Context, obj *tenant.TenantEvent) (*tenant.Tenant, error) {
	return r.tenants.OfEvent(ctx, obj)
}

func (r *tenantEventResolver) Actor(ctx context.Context, obj *tenant.TenantEvent) (*tenant.User, error) {
	return reference(obj.ActorID), nil
}

func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

func (r *Resolver) Subscription() generated.SubscriptionResolver { return &subscriptionResolver{r} }

func (r *Resolver) TenantEvent() generated.TenantEventResolver { return &tenantEventResolver{r} }

type (
	mutationResolver     struct{ *Resolver }
	queryResolver        struct{ *Resolver }
	subscriptionResolver struct{ *Resolver }
	tenantEventResolver  struct{ *Resolver }
)
