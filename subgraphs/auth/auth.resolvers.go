package auth

import (
	"context"

	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/subgraphs/auth/generated"
	"github.com/tradesage/tradesage/subgraphs/auth/model"
)

func (r *mutationResolver) Login(ctx context.Context, input auth.LoginInput) (*model.LoginPayload, error) {
	result, err := r.auth.Login(ctx, fromClient(ctx, input))
	if err != nil {
		return nil, err
	}
	return loginPayload(result), nil
}

func (r *mutationResolver) Logout(ctx context.Context) (*model.LogoutPayload, error) {
	pending, err := r.auth.Logout(ctx)
	if err != nil {
		return nil, err
	}
	return &model.LogoutPayload{Revoked: true, Pending: pending}, nil
}

func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

type mutationResolver struct{ *Resolver }
