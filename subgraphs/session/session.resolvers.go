package session

import (
	"context"
	"strings"

	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/subgraphs/session/generated"
	"github.com/tradesage/tradesage/subgraphs/session/model"
)

func (r *deviceResolver) Kind(ctx context.Context, obj *session.Device) (model.DeviceKind, error) {
	return model.DeviceKind(strings.ToUpper(obj.Kind)), nil
}

func (r *sessionResolver) Device(ctx context.Context, obj *session.Session) (*session.Device, error) {
	return deviceOf(ctx, obj)
}

func (r *userResolver) Sessions(ctx context.Context, obj *model.User, first *int, after *string) (*page.Connection[*session.Session], error) {
	return r.list(ctx, page.Args{First: first, After: after})
}

func (r *Resolver) Device() generated.DeviceResolver { return &deviceResolver{r} }

func (r *Resolver) Session() generated.SessionResolver { return &sessionResolver{r} }

func (r *Resolver) User() generated.UserResolver { return &userResolver{r} }

type (
	deviceResolver  struct{ *Resolver }
	sessionResolver struct{ *Resolver }
	userResolver    struct{ *Resolver }
)
