// Package session is the GraphQL face of internal/session. Its resolvers
// translate and decide nothing.
package session

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/subgraphs/session/generated"
	"github.com/tradesage/tradesage/subgraphs/session/model"
)

// Resolver holds what the resolvers need.
type Resolver struct{ sessions *session.Sessions }

// New returns the subgraph's executable schema.
func New(sessions *session.Sessions) graphql.ExecutableSchema {
	schema := generated.NewExecutableSchema(generated.Config{
		Resolvers:  &Resolver{sessions},
		Directives: generated.DirectiveRoot{Authenticated: subgraph.Authenticated, StepUp: subgraph.StepUp},
	})
	return subgraph.WithValue(schema, batchesKey{}, func() any { return newBatches(sessions) })
}

// usersByID returns a reference for each key whose sessions the caller may see,
// and nil for the rest.
func (r *Resolver) usersByID(ctx context.Context, keys []*model.UserByIDsInput) ([]*session.User, error) {
	ids := subgraph.IDs(keys)
	visible, err := r.sessions.Visible(ctx, ids)
	if err != nil {
		return nil, err
	}
	users := make([]*session.User, len(keys))
	for i, id := range ids {
		if visible[i] {
			users[i] = &session.User{ID: id}
			expectUsers(ctx, id)
		}
	}
	return users, nil
}

// expectPage passes a page on and says that what belongs to its sessions may be
// asked for next.
func expectPage(ctx context.Context) func(*session.SessionConnection, error) (*session.SessionConnection, error) {
	return func(found *session.SessionConnection, err error) (*session.SessionConnection, error) {
		expectSessionsOf(ctx, found)
		return found, err
	}
}

func listing(first *int, after *string, filter *session.SessionFilterInput, sort *session.SessionSort) session.List {
	return session.List{Args: page.Args{First: first, After: after}, Filter: filter, Sort: sort}
}

// devices answers a page of the caller's own devices.
func (r *Resolver) devices(ctx context.Context, args page.Args) (*session.DeviceConnection, error) {
	found, err := r.sessions.Devices(ctx, args)
	expectDevicesOf(ctx, found)
	return found, err
}

func (r *Resolver) devicesByID(ctx context.Context, keys []*model.DeviceByIDsInput) ([]*session.Device, error) {
	found, err := r.sessions.DevicesByID(ctx, subgraph.IDs(keys))
	expectDevices(ctx, found...)
	return found, err
}

func (r *Resolver) sessionsByID(ctx context.Context, keys []*model.SessionByIDsInput) ([]*session.Session, error) {
	found, err := r.sessions.SessionsByID(ctx, subgraph.IDs(keys))
	expectSessions(ctx, found...)
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
