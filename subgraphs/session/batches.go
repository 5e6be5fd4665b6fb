package session

import (
	"context"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/session"
)

// batches are one operation's: what is shown of all sessions, devices and users
// of a page is loaded for all of them at once.
type batches struct {
	devices *subgraph.Batch[uuid.UUID, *session.Device]
	// sessions and devicesOf are by user, sessionsOn is by device.
	sessions   *subgraph.Batches[session.ListKey, uuid.UUID, *session.SessionConnection]
	sessionsOn *subgraph.Batches[page.Key, uuid.UUID, *session.SessionConnection]
	devicesOf  *subgraph.Batches[page.Key, uuid.UUID, *session.DeviceConnection]
}

type batchesKey struct{}

func batchesOf(ctx context.Context) *batches { return ctx.Value(batchesKey{}).(*batches) }

// loader is what the batches load from.
type loader interface {
	DevicesByID(ctx context.Context, ids []uuid.UUID) ([]*session.Device, error)
	ListOf(ctx context.Context, users []uuid.UUID, list session.List) ([]*session.SessionConnection, error)
	ListOn(ctx context.Context, devices []uuid.UUID, args page.Args) ([]*session.SessionConnection, error)
	DevicesOf(ctx context.Context, users []uuid.UUID, args page.Args) ([]*session.DeviceConnection, error)
}

func newBatches(from loader) *batches {
	return &batches{
		devices: subgraph.NewBatch(session.MaxBatch, func(ctx context.Context, ids []uuid.UUID) ([]*session.Device, error) {
			found, err := from.DevicesByID(ctx, ids)
			expectDevices(ctx, found...)
			return found, err
		}),
		sessions: subgraph.NewBatches(session.MaxBatch, func(ctx context.Context, key session.ListKey, users []uuid.UUID) ([]*session.SessionConnection, error) {
			found, err := from.ListOf(ctx, users, key.List())
			for _, p := range found {
				expectSessionsOf(ctx, p)
			}
			return found, err
		}),
		sessionsOn: pages(from.ListOn, expectSessionsOf),
		devicesOf:  pages(from.DevicesOf, expectDevicesOf),
	}
}

// pages is a batch of lists; expect is told of each page that was loaded.
func pages[T any](
	load func(context.Context, []uuid.UUID, page.Args) ([]*page.Connection[T], error),
	expect func(context.Context, *page.Connection[T]),
) *subgraph.Batches[page.Key, uuid.UUID, *page.Connection[T]] {
	return subgraph.NewBatches(session.MaxBatch, func(ctx context.Context, args page.Key, ids []uuid.UUID) ([]*page.Connection[T], error) {
		found, err := load(ctx, ids, args.Args())
		for _, p := range found {
			expect(ctx, p)
		}
		return found, err
	})
}

// The expect functions say that what belongs to these may be asked for next.

func expectSessions(ctx context.Context, sessions ...*session.Session) {
	for _, s := range sessions {
		if s != nil {
			batchesOf(ctx).devices.Expect(s.DeviceID)
			expectUsers(ctx, s.UserID)
		}
	}
}

func expectSessionsOf(ctx context.Context, p *session.SessionConnection) {
	if p == nil {
		return
	}
	for _, edge := range p.Edges {
		expectSessions(ctx, edge.Node)
	}
}

func expectDevices(ctx context.Context, devices ...*session.Device) {
	for _, d := range devices {
		if d != nil {
			batchesOf(ctx).sessionsOn.Expect(d.ID)
			expectUsers(ctx, d.UserID)
		}
	}
}

func expectDevicesOf(ctx context.Context, p *session.DeviceConnection) {
	if p == nil {
		return
	}
	for _, edge := range p.Edges {
		expectDevices(ctx, edge.Node)
	}
}

func expectUsers(ctx context.Context, ids ...uuid.UUID) {
	batchesOf(ctx).sessions.Expect(ids...)
	batchesOf(ctx).devicesOf.Expect(ids...)
}

// deviceOf returns the session's device, and a nameless one if it is gone.
func deviceOf(ctx context.Context, s *session.Session) (*session.Device, error) {
	device, err := batchesOf(ctx).devices.Get(ctx, s.DeviceID)
	if err != nil || device != nil {
		return device, err
	}
	return &session.Device{
		ID: s.DeviceID, UserID: s.UserID, Name: "Unknown device", Kind: "other",
		FirstSeenAt: s.CreatedAt, LastSeenAt: s.CreatedAt,
	}, nil
}
