package user

import (
	"context"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/user"
)

// most is how many keys one query of a batch carries.
const most = 1000

// batches are one operation's: what is shown of many users or roles is loaded
// for all of them at once.
type batches struct {
	roles   *subgraph.Batch[uuid.UUID, []*user.Role]
	users   *subgraph.Batch[uuid.UUID, *user.User]
	holders *subgraph.Batches[page.Key, uuid.UUID, *user.UserConnection]
	done    *subgraph.Batches[page.Key, uuid.UUID, *user.AuditEventConnection]
	// people and defined are the caller's tenant's, however often it is met.
	people  *subgraph.Batches[user.ListKey, uuid.UUID, *user.UserConnection]
	defined *subgraph.Batch[uuid.UUID, []*user.Role]
}

type batchesKey struct{}

func batchesOf(ctx context.Context) *batches { return ctx.Value(batchesKey{}).(*batches) }

func newBatches(users *user.Users) *batches {
	return &batches{
		roles: subgraph.NewBatch(most, func(ctx context.Context, ids []uuid.UUID) ([][]*user.Role, error) {
			found, err := users.RolesOf(ctx, ids)
			for _, roles := range found {
				_, _ = expectRoles(ctx)(roles, nil)
			}
			return found, err
		}),
		users: subgraph.NewBatch(most, func(ctx context.Context, ids []uuid.UUID) ([]*user.User, error) {
			return expectUsers(ctx)(users.UsersByID(ctx, ids))
		}),
		holders: subgraph.NewBatches(most, func(ctx context.Context, args page.Key, ids []uuid.UUID) ([]*user.UserConnection, error) {
			found, err := users.HoldersOf(ctx, ids, args.Args())
			for _, holders := range found {
				_, _ = expectPage(ctx)(holders, nil)
			}
			return found, err
		}),
		done: subgraph.NewBatches(most, func(ctx context.Context, args page.Key, ids []uuid.UUID) ([]*user.AuditEventConnection, error) {
			found, err := users.AuditEventsOf(ctx, ids, args.Args())
			for _, events := range found {
				_, _ = expectActors(ctx)(events, nil)
			}
			return found, err
		}),
		people: subgraph.NewBatches(1, func(ctx context.Context, key user.ListKey, _ []uuid.UUID) ([]*user.UserConnection, error) {
			found, err := expectPage(ctx)(users.List(ctx, key.List()))
			return []*user.UserConnection{found}, err
		}),
		defined: subgraph.NewBatch(1, func(ctx context.Context, _ []uuid.UUID) ([][]*user.Role, error) {
			found, err := expectRoles(ctx)(users.Roles(ctx))
			return [][]*user.Role{found}, err
		}),
	}
}

// The expect functions pass a result on and say that what belongs to it may be
// asked for next.

func expectUsers(ctx context.Context) func([]*user.User, error) ([]*user.User, error) {
	return func(users []*user.User, err error) ([]*user.User, error) {
		for _, u := range users {
			if u != nil {
				expectOf(ctx, u.ID)
			}
		}
		return users, err
	}
}

func expectOf(ctx context.Context, id uuid.UUID) {
	batchesOf(ctx).roles.Expect(id)
	batchesOf(ctx).done.Expect(id)
}

func expectOne(ctx context.Context) func(*user.User, error) (*user.User, error) {
	return func(u *user.User, err error) (*user.User, error) {
		_, err = expectUsers(ctx)([]*user.User{u}, err)
		return u, err
	}
}

func expectPage(ctx context.Context) func(*user.UserConnection, error) (*user.UserConnection, error) {
	return func(page *user.UserConnection, err error) (*user.UserConnection, error) {
		if err != nil {
			return nil, err
		}
		for _, edge := range page.Edges {
			expectOf(ctx, edge.Node.ID)
		}
		return page, nil
	}
}

func expectRoles(ctx context.Context) func([]*user.Role, error) ([]*user.Role, error) {
	return func(roles []*user.Role, err error) ([]*user.Role, error) {
		for _, role := range roles {
			if role != nil {
				batchesOf(ctx).holders.Expect(role.ID)
			}
		}
		return roles, err
	}
}

func expectActors(ctx context.Context) func(*user.AuditEventConnection, error) (*user.AuditEventConnection, error) {
	return func(page *user.AuditEventConnection, err error) (*user.AuditEventConnection, error) {
		if err != nil {
			return nil, err
		}
		for _, edge := range page.Edges {
			if edge.Node.ActorID != nil {
				batchesOf(ctx).users.Expect(*edge.Node.ActorID)
			}
		}
		return page, nil
	}
}

func expectInviters(ctx context.Context) func(*user.InvitationConnection, error) (*user.InvitationConnection, error) {
	return func(page *user.InvitationConnection, err error) (*user.InvitationConnection, error) {
		if err != nil {
			return nil, err
		}
		for _, edge := range page.Edges {
			if edge.Node.InvitedByID != nil {
				batchesOf(ctx).users.Expect(*edge.Node.InvitedByID)
			}
		}
		return page, nil
	}
}

// userOf returns a user that the caller sees, nil for any other and for nobody.
func userOf(ctx context.Context, id *uuid.UUID) (*user.User, error) {
	if id == nil {
		return nil, nil
	}
	return batchesOf(ctx).users.Get(ctx, *id)
}
