package session

import (
	"context"

	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/subgraphs/session/generated"
	"github.com/tradesage/tradesage/subgraphs/session/model"
)

func (r *entityResolver) FindManyDeviceByIDs(ctx context.Context, reps []*model.DeviceByIDsInput) ([]*session.Device, error) {
	return r.devicesByID(ctx, reps)
}

func (r *entityResolver) FindManySessionByIDs(ctx context.Context, reps []*model.SessionByIDsInput) ([]*session.Session, error) {
	return r.sessionsByID(ctx, reps)
}

func (r *entityResolver) FindManyUserByIDs(ctx context.Context, reps []*model.UserByIDsInput) ([]*session.User, error) {
	return r.usersByID(ctx, reps)
}

func (r *Resolver) Entity() generated.EntityResolver { return &entityResolver{r} }

type entityResolver struct{ *Resolver }
