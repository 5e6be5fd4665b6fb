package session

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/session"
)

// withDevices gives each operation a batch of its own for the sessions' devices.
type withDevices struct {
	graphql.ExecutableSchema
	sessions *session.Sessions
}

func (s withDevices) Exec(ctx context.Context) graphql.ResponseHandler {
	respond := s.ExecutableSchema.Exec(ctx)
	return func(ctx context.Context) *graphql.Response { // it gets a context of its own
		return respond(withBatch(ctx, s.sessions.DevicesByID))
	}
}

type loadDevices func(context.Context, []uuid.UUID) ([]*session.Device, error)

func withBatch(ctx context.Context, load loadDevices) context.Context {
	return context.WithValue(ctx, devicesKey{}, &devices{
		load: load, found: map[uuid.UUID]*session.Device{}, errs: map[uuid.UUID]error{},
	})
}

type devicesKey struct{}

// devices loads the devices of all sessions of a page with the first that is
// asked for: one query a page, none if no device is selected, and no waiting for
// others to ask.
type devices struct {
	load loadDevices

	mu       sync.Mutex
	expected []uuid.UUID
	found    map[uuid.UUID]*session.Device // nil: there is none
	errs     map[uuid.UUID]error
}

// expectDevices says that these sessions' devices may be asked for.
func expectDevices(ctx context.Context, sessions ...*session.Session) {
	d := ctx.Value(devicesKey{}).(*devices)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range sessions {
		if s != nil {
			d.expect(s.DeviceID)
		}
	}
}

func (d *devices) expect(id uuid.UUID) {
	if _, known := d.found[id]; known {
		return
	}
	d.found[id] = nil
	d.expected = append(d.expected, id)
}

// deviceOf returns the session's device, and a nameless one if it is gone.
func deviceOf(ctx context.Context, s *session.Session) (*session.Device, error) {
	d := ctx.Value(devicesKey{}).(*devices)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expect(s.DeviceID)
	for len(d.expected) > 0 {
		batch := d.expected[:min(len(d.expected), session.MaxBatch)]
		d.expected = d.expected[len(batch):]
		loaded, err := d.load(ctx, batch)
		for i, id := range batch {
			if err != nil {
				d.errs[id] = err
			} else {
				d.found[id] = loaded[i]
			}
		}
	}
	if err := d.errs[s.DeviceID]; err != nil {
		return nil, err
	}
	if device := d.found[s.DeviceID]; device != nil {
		return device, nil
	}
	return &session.Device{
		ID: s.DeviceID, UserID: s.UserID, Name: "Unknown device", Kind: "other",
		FirstSeenAt: s.CreatedAt, LastSeenAt: s.CreatedAt,
	}, nil
}
