package session

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/events"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/page"
)

// MaxBatch bounds the ids of one call.
const MaxBatch = 100

// Sessions answers questions about the caller's own sessions and devices, and
// ends sessions.
type Sessions struct {
	store  *db.Store
	live   *Live
	ended  *Revocations
	events *events.Hub
	clock  func() time.Time
}

// SessionsOptions are what NewSessions needs.
type SessionsOptions struct {
	// Store reaches the tenant's data; of the service svc_session.
	Store *db.Store
	// Live tells when a session was last seen.
	Live *Live
	// Revocations makes the end of a session known.
	Revocations *Revocations
	// Events is what Events follows.
	Events *events.Hub
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// NewSessions returns the caller's view of sessions.
func NewSessions(o SessionsOptions) *Sessions {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Sessions{store: o.Store, live: o.Live, ended: o.Revocations, events: o.Events, clock: o.Clock}
}

// Connection is a page of sessions.
type Connection = page.Connection[*Session]

// List returns a page of the caller's live sessions, newest first. It costs one
// round trip to PostgreSQL and one to Redis; without Redis, LastSeenAt is up to
// a minute late.
//
// It fails with UNAUTHENTICATED without a caller, INVALID_INPUT of first or
// after, and UNAVAILABLE without PostgreSQL.
func (s *Sessions) List(ctx context.Context, args page.Args) (*Connection, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	limit, err := args.Limit()
	if err != nil {
		return nil, err
	}
	after, err := args.AfterID()
	if err != nil {
		return nil, err
	}
	rows, err := s.store.PlatformFor(caller.Tenant).ListUserSessions(ctx, platformdb.ListUserSessionsParams{
		IdentityID: caller.Subject, At: s.clock(), After: after, PageSize: int32(limit) + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("sessions of %s: %w", caller.Subject, err)
	}
	found := make([]*Session, len(rows))
	for i, row := range rows {
		found[i] = fromRow(platformdb.GetUserSessionsByIDRow(row), caller)
	}
	s.addLastSeen(ctx, found)
	return page.New(found, limit, args, func(s *Session) string { return page.IDCursor(s.ID) }), nil
}

// SessionsByID returns the caller's live sessions of these ids, at most 100, in
// their order; nil stands for a session that does not exist, has ended or is
// another user's. It fails like List.
func (s *Sessions) SessionsByID(ctx context.Context, ids []uuid.UUID) ([]*Session, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(ids); err != nil || len(ids) == 0 {
		return nil, err
	}
	rows, err := s.store.PlatformFor(caller.Tenant).GetUserSessionsByID(ctx, platformdb.GetUserSessionsByIDParams{
		Ids: ids, IdentityID: caller.Subject, At: s.clock(),
	})
	if err != nil {
		return nil, fmt.Errorf("sessions of %s: %w", caller.Subject, err)
	}
	found := make([]*Session, len(rows))
	byID := make(map[uuid.UUID]*Session, len(rows))
	for i, row := range rows {
		found[i] = fromRow(row, caller)
		byID[row.ID] = found[i]
	}
	s.addLastSeen(ctx, found)
	return inOrder(ids, byID), nil
}

// SessionByID returns one of the caller's live sessions. It fails with NOT_FOUND
// for any other, and like List.
func (s *Sessions) SessionByID(ctx context.Context, id uuid.UUID) (*Session, error) {
	found, err := s.SessionsByID(ctx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, fault.NotFound("no such session")
	}
	return found[0], nil
}

// DevicesByID returns the caller's devices of these ids, at most 100, in their
// order; nil stands for a device that does not exist or is another user's. It
// fails like List.
func (s *Sessions) DevicesByID(ctx context.Context, ids []uuid.UUID) ([]*Device, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(ids); err != nil || len(ids) == 0 {
		return nil, err
	}
	rows, err := s.store.Tenant(caller.Tenant).GetDevicesByID(ctx, ids, caller.Subject)
	if err != nil {
		return nil, fmt.Errorf("devices of %s: %w", caller.Subject, err)
	}
	byID := make(map[uuid.UUID]*Device, len(rows))
	for _, row := range rows {
		byID[row.ID] = deviceFromRow(row)
	}
	return inOrder(ids, byID), nil
}

// DeviceByID returns one of the caller's devices. It fails with NOT_FOUND for
// any other, and like List.
func (s *Sessions) DeviceByID(ctx context.Context, id uuid.UUID) (*Device, error) {
	found, err := s.DevicesByID(ctx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, fault.NotFound("no such device")
	}
	return found[0], nil
}

// addLastSeen replaces the rows' times by Redis's where those are newer.
func (s *Sessions) addLastSeen(ctx context.Context, sessions []*Session) {
	ids := make([]uuid.UUID, len(sessions))
	for i, session := range sessions {
		ids[i] = session.ID
	}
	for i, seen := range s.live.LastSeen(ctx, ids) {
		if seen.After(sessions[i].LastSeenAt) {
			sessions[i].LastSeenAt = seen
		}
	}
}

func checkBatch(ids []uuid.UUID) error {
	if len(ids) > MaxBatch {
		return fault.InvalidInput("ids", fmt.Sprintf("must be at most %d", MaxBatch))
	}
	return nil
}

func inOrder[T any](ids []uuid.UUID, byID map[uuid.UUID]*T) []*T {
	ordered := make([]*T, len(ids))
	for i, id := range ids {
		ordered[i] = byID[id]
	}
	return ordered
}

func fromRow(row platformdb.GetUserSessionsByIDRow, caller *identity.Caller) *Session {
	return &Session{
		ID: row.ID, UserID: row.IdentityID, DeviceID: row.DeviceID, UserAgent: row.UserAgent, IP: row.Ip,
		CreatedAt: row.CreatedAt.UTC(), LastSeenAt: row.LastSeenAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(),
		Current: row.ID == caller.Session,
	}
}

func deviceFromRow(row tenantdb.GetDevicesByIDRow) *Device {
	return &Device{
		ID: row.ID, UserID: row.UserID, Name: row.Name, Kind: row.Kind,
		FirstSeenAt: row.FirstSeenAt.UTC(), LastSeenAt: row.LastSeenAt.UTC(),
	}
}
