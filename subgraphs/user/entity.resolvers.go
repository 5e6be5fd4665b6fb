package user

import (
	"context"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/user"
	"github.com/tradesage/tradesage/subgraphs/user/generated"
	"github.com/tradesage/tradesage/subgraphs/user/model"
)

func (r *entityResolver) FindManyRoleByIDs(ctx context.Context, reps []*model.RoleByIDsInput) ([]*user.Role, error) {
	return expectRoles(ctx)(r.users.RolesByID(ctx, subgraph.IDs(reps)))
}

func (r *entityResolver) FindManyTenantByIDs(ctx context.Context, reps []*model.TenantByIDsInput) ([]*user.Tenant, error) {
	return r.users.TenantsByID(ctx, subgraph.IDs(reps))
}

func (r *entityResolver) FindManyUserByIDs(ctx context.Context, reps []*model.UserByIDsInput) ([]*user.User, error) {
	return expectUsers(ctx)(r.users.UsersByID(ctx, subgraph.IDs(reps)))
}

func (r *Resolver) Entity() generated.EntityResolver { return &entityResolver{r} }

type entityResolver struct{ *Resolver }
