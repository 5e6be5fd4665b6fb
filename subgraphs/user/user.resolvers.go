package user

import (
	"context"

	"github.com/tradesage/tradesage/internal/user"
	"github.com/tradesage/tradesage/subgraphs/user/generated"
	"github.com/tradesage/tradesage/subgraphs/user/model"
)

func (r *mutationResolver) UpdateProfile(ctx context.Context, input user.UpdateProfileInput) (*model.UpdateProfilePayload, error) {
	changed, err := r.users.UpdateProfile(ctx, input)
	return &model.UpdateProfilePayload{User: changed}, err
}

func (r *queryResolver) Me(ctx context.Context) (*user.User, error) {
	return r.users.Me(ctx)
}

func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

type (
	mutationResolver struct{ *Resolver }
	queryResolver    struct{ *Resolver }
)
