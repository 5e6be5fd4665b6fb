package user

import (
	"context"

	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/user"
	"github.com/tradesage/tradesage/subgraphs/user/generated"
	"github.com/tradesage/tradesage/subgraphs/user/model"
)

func (r *mutationResolver) CreateRole(ctx context.Context, input user.CreateRoleInput) (*model.CreateRolePayload, error) {
	made, err := r.users.CreateRole(ctx, input)
	return &model.CreateRolePayload{Role: made}, err
}

func (r *mutationResolver) UpdateRole(ctx context.Context, input user.UpdateRoleInput) (*model.UpdateRolePayload, error) {
	changed, err := r.users.UpdateRole(ctx, input)
	return &model.UpdateRolePayload{Role: changed}, err
}

func (r *mutationResolver) AssignRole(ctx context.Context, input user.AssignRoleInput) (*model.AssignRolePayload, error) {
	changed, err := r.users.AssignRole(ctx, input)
	return &model.AssignRolePayload{User: changed}, err
}

func (r *mutationResolver) UnassignRole(ctx context.Context, input user.UnassignRoleInput) (*model.UnassignRolePayload, error) {
	changed, err := r.users.UnassignRole(ctx, input)
	return &model.UnassignRolePayload{User: changed}, err
}

func (r *queryResolver) Roles(ctx context.Context) ([]*user.Role, error) {
	return expectRoles(ctx)(r.users.Roles(ctx))
}

func (r *queryResolver) Permissions(ctx context.Context) ([]*user.Permission, error) {
	return r.users.Permissions(ctx)
}

func (r *queryResolver) Can(ctx context.Context, permission string) (bool, error) {
	return r.users.Can(ctx, permission)
}

func (r *roleResolver) Users(ctx context.Context, obj *user.Role, first *int, after *string) (*page.Connection[*user.User], error) {
	return batchesOf(ctx).holders.Get(ctx, page.Args{First: first, After: after}.Key(), obj.ID)
}

func (r *Resolver) Role() generated.RoleResolver { return &roleResolver{r} }

type roleResolver struct{ *Resolver }
