package session

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/subgraphs/session/generated"
	"github.com/tradesage/tradesage/subgraphs/session/model"
)

func (r *deviceResolver) Kind(ctx context.Context, obj *session.Device) (model.DeviceKind, error) {
	return model.DeviceKind(strings.ToUpper(obj.Kind)), nil
}

func (r *deviceResolver) Sessions(ctx context.Context, obj *session.Device, first *int, after *string) (*page.Connection[*session.Session], error) {
	return batchesOf(ctx).sessionsOn.Get(ctx, page.Args{First: first, After: after}.Key(), obj.ID)
}

func (r *mutationResolver) RevokeSession(ctx context.Context, id uuid.UUID) (*model.RevokeSessionPayload, error) {
	ended, err := r.sessions.RevokeSession(ctx, id)
	if err != nil {
		return nil, err
	}
	return &model.RevokeSessionPayload{Revoked: true, Pending: ended.Pending}, nil
}

func (r *mutationResolver) RevokeOtherSessions(ctx context.Context) (*model.RevokeOtherSessionsPayload, error) {
	ended, err := r.sessions.RevokeOtherSessions(ctx)
	if err != nil {
		return nil, err
	}
	return &model.RevokeOtherSessionsPayload{Count: ended.Count, Pending: ended.Pending}, nil
}

func (r *mutationResolver) RevokeUserSessions(ctx context.Context, userID uuid.UUID) (*model.RevokeUserSessionsPayload, error) {
	ended, err := r.sessions.RevokeUserSessions(ctx, userID)
	if err != nil {
		return nil, err
	}
	return &model.RevokeUserSessionsPayload{Count: ended.Count, Pending: ended.Pending}, nil
}

func (r *queryResolver) Sessions(ctx context.Context, first *int, after *string, filter *session.SessionFilterInput, sort *session.SessionSort) (*page.Connection[*session.Session], error) {
	return expectPage(ctx)(r.sessions.List(ctx, listing(first, after, filter, sort)))
}

func (r *queryResolver) Devices(ctx context.Context, first *int, after *string) (*page.Connection[*session.Device], error) {
	return r.devices(ctx, page.Args{First: first, After: after})
}

func (r *queryResolver) UserSessions(ctx context.Context, userID *uuid.UUID, first *int, after *string, filter *session.SessionFilterInput, sort *session.SessionSort) (*page.Connection[*session.Session], error) {
	return expectPage(ctx)(r.sessions.UserSessions(ctx, userID, listing(first, after, filter, sort)))
}

func (r *sessionResolver) Device(ctx context.Context, obj *session.Session) (*session.Device, error) {
	return deviceOf(ctx, obj)
}

func (r *sessionEventResolver) Session(ctx context.Context, obj *session.SessionEvent) (*session.Session, error) {
	return r.ofEvent(ctx, obj)
}

func (r *subscriptionResolver) SessionEvents(ctx context.Context, after *string) (<-chan *session.SessionEvent, error) {
	stream, err := r.sessions.Events(ctx, after)
	return subgraph.Channel(ctx, stream, err)
}

func (r *userResolver) Sessions(ctx context.Context, obj *session.User, first *int, after *string, filter *session.SessionFilterInput, sort *session.SessionSort) (*page.Connection[*session.Session], error) {
	return batchesOf(ctx).sessions.Get(ctx, listing(first, after, filter, sort).Key(), obj.ID)
}

func (r *userResolver) Devices(ctx context.Context, obj *session.User, first *int, after *string) (*page.Connection[*session.Device], error) {
	return batchesOf(ctx).devicesOf.Get(ctx, page.Args{First: first, After: after}.Key(), obj.ID)
}

func (r *Resolver) Device() generated.DeviceResolver { return &deviceResolver{r} }

func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

func (r *Resolver) Session() generated.SessionResolver { return &sessionResolver{r} }

func (r *Resolver) SessionEvent() generated.SessionEventResolver { return &sessionEventResolver{r} }

func (r *Resolver) Subscription() generated.SubscriptionResolver { return &subscriptionResolver{r} }

func (r *Resolver) User() generated.UserResolver { return &userResolver{r} }

type (
	deviceResolver       struct{ *Resolver }
	mutationResolver     struct{ *Resolver }
	queryResolver        struct{ *Resolver }
	sessionResolver      struct{ *Resolver }
	sessionEventResolver struct{ *Resolver }
	subscriptionResolver struct{ *Resolver }
	userResolver         struct{ *Resolver }
)
