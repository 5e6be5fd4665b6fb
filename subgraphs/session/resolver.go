// Package session is the GraphQL face of internal/session. Its resolvers
// translate and decide nothing.
package session

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/subgraphs/session/generated"
	"github.com/tradesage/tradesage/subgraphs/session/model"
)

// Resolver holds what the resolvers need.
type Resolver struct{ sessions *session.Sessions }

// New returns the subgraph's executable schema.
func New(sessions *session.Sessions) graphql.ExecutableSchema {
	return withDevices{generated.NewExecutableSchema(generated.Config{
		Resolvers:  &Resolver{sessions},
		Directives: generated.DirectiveRoot{Authenticated: subgraph.Authenticated},
	}), sessions}
}

// ownUsers returns a reference for each key that is the caller's own id, and nil
// for the rest: nobody's sessions are shown to another.
func ownUsers(ctx context.Context, keys []*model.UserByIDsInput) ([]*model.User, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	users := make([]*model.User, len(keys))
	for i, key := range keys {
		if key.ID == caller.Subject {
			users[i] = &model.User{ID: key.ID}
		}
	}
	return users, nil
}

// list answers a page of the caller's own sessions.
func (r *Resolver) list(ctx context.Context, args page.Args) (*session.SessionConnection, error) {
	found, err := r.sessions.List(ctx, args)
	if err != nil {
		return nil, err
	}
	for _, edge := range found.Edges {
		expectDevices(ctx, edge.Node)
	}
	return found, nil
}

func (r *Resolver) sessionsByID(ctx context.Context, keys []*model.SessionByIDsInput) ([]*session.Session, error) {
	ids := make([]uuid.UUID, len(keys))
	for i, key := range keys {
		ids[i] = key.ID
	}
	found, err := r.sessions.SessionsByID(ctx, ids)
	expectDevices(ctx, found...)
	return found, err
}

// ofEvent returns the session that an event is about, nil if there is none or it
// has ended.
func (r *Resolver) ofEvent(ctx context.Context, e *session.SessionEvent) (*session.Session, error) {
	if e.SessionID == nil {
		return nil, nil
	}
	found, err := r.sessionsByID(ctx, []*model.SessionByIDsInput{{ID: *e.SessionID}})
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

func deviceIDs(keys []*model.DeviceByIDsInput) []uuid.UUID {
	ids := make([]uuid.UUID, len(keys))
	for i, key := range keys {
		ids[i] = key.ID
	}
	return ids
}
