package user

import (
	"context"

	"github.com/tradesage/tradesage/internal/user"
	"github.com/tradesage/tradesage/subgraphs/user/generated"
	"github.com/tradesage/tradesage/subgraphs/user/model"
)

func (r *entityResolver) FindManyUserByIDs(ctx context.Context, reps []*model.UserByIDsInput) ([]*user.User, error) {
	return r.users.UsersByID(ctx, userIDs(reps))
}

func (r *Resolver) Entity() generated.EntityResolver { return &entityResolver{r} }

type entityResolver struct{ *Resolver }
