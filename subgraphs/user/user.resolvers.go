package user

import (
	"context"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/user"
	"github.com/tradesage/tradesage/subgraphs/user/generated"
	"github.com/tradesage/tradesage/subgraphs/user/model"
)

func (r *activityEventResolver) Actor(ctx context.Context, obj *user.ActivityEvent) (*user.User, error) {
	return expectOne(ctx)(r.users.ActorOf(ctx, obj))
}

func (r *mutationResolver) UpdateProfile(ctx context.Context, input user.UpdateProfileInput) (*model.UpdateProfilePayload, error) {
	changed, err := r.users.UpdateProfile(ctx, input)
	return &model.UpdateProfilePayload{User: changed}, err
}

func (r *queryResolver) Me(ctx context.Context) (*user.User, error) {
	return expectOne(ctx)(r.users.Me(ctx))
}

func (r *queryResolver) User(ctx context.Context, id uuid.UUID) (*user.User, error) {
	return expectOne(ctx)(r.users.UserByID(ctx, id))
}

func (r *queryResolver) Users(ctx context.Context, first *int, after *string, filter *user.UserFilterInput, sort *user.UserSort) (*page.Connection[*user.User], error) {
	return expectPage(ctx)(r.users.List(ctx, user.List{Args: page.Args{First: first, After: after}, Filter: filter, Sort: sort}))
}

func (r *subscriptionResolver) ActivityEvents(ctx context.Context, after *string) (<-chan *user.ActivityEvent, error) {
	stream, err := r.users.ActivityEvents(ctx, after)
	return subgraph.Channel(ctx, stream, err)
}

func (r *tenantResolver) Users(ctx context.Context, obj *user.Tenant, first *int, after *string, filter *user.UserFilterInput, sort *user.UserSort) (*page.Connection[*user.User], error) {
	list := user.List{Args: page.Args{First: first, After: after}, Filter: filter, Sort: sort}
	return batchesOf(ctx).people.Get(ctx, list.Key(), obj.ID)
}

func (r *tenantResolver) Roles(ctx context.Context, obj *user.Tenant) ([]*user.Role, error) {
	return batchesOf(ctx).defined.Get(ctx, obj.ID)
}

func (r *userResolver) Roles(ctx context.Context, obj *user.User) ([]*user.Role, error) {
	return batchesOf(ctx).roles.Get(ctx, obj.ID)
}

func (r *userResolver) AuditEvents(ctx context.Context, obj *user.User, first *int, after *string) (*page.Connection[*user.AuditEvent], error) {
	return batchesOf(ctx).done.Get(ctx, page.Args{First: first, After: after}.Key(), obj.ID)
}

func (r *Resolver) ActivityEvent() generated.ActivityEventResolver { return &activityEventResolver{r} }

func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

func (r *Resolver) Subscription() generated.SubscriptionResolver { return &subscriptionResolver{r} }

func (r *Resolver) Tenant() generated.TenantResolver { return &tenantResolver{r} }

func (r *Resolver) User() generated.UserResolver { return &userResolver{r} }

type (
	activityEventResolver struct{ *Resolver }
	mutationResolver      struct{ *Resolver }
	queryResolver         struct{ *Resolver }
	subscriptionResolver  struct{ *Resolver }
	tenantResolver        struct{ *Resolver }
	userResolver          struct{ *Resolver }
)
