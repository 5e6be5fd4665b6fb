package user

import (
	"context"

	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/user"
	"github.com/tradesage/tradesage/subgraphs/user/generated"
)

func (r *auditEventResolver) Actor(ctx context.Context, obj *user.AuditEvent) (*user.User, error) {
	return userOf(ctx, obj.ActorID)
}

func (r *queryResolver) AuditEvents(ctx context.Context, first *int, after *string, filter *user.AuditEventFilterInput) (*page.Connection[*user.AuditEvent], error) {
	return expectActors(ctx)(r.users.AuditEvents(ctx, page.Args{First: first, After: after}, filter))
}

func (r *Resolver) AuditEvent() generated.AuditEventResolver { return &auditEventResolver{r} }

type auditEventResolver struct{ *Resolver }
