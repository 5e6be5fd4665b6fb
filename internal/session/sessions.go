package session

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/events"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
	"github.com/tradesage/tradesage/internal/tenant"
)

// MaxBatch bounds the ids of one call.
const MaxBatch = 1000

// Sessions answers questions about sessions and devices, the caller's own and,
// with the permission sessions:read, those of others; and it ends sessions.
type Sessions struct {
	store  *db.Store
	may    *permission.Permissions
	live   *Live
	ended  *Revocations
	events *events.Hub
	clock  func() time.Time
}

// SessionsOptions are what NewSessions needs.
type SessionsOptions struct {
	// Store reaches the tenant's data; of the service svc_session.
	Store *db.Store
	// Permissions says who may see the sessions of others.
	Permissions *permission.Permissions
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
	return &Sessions{
		store: o.Store, may: o.Permissions, live: o.Live, ended: o.Revocations, events: o.Events, clock: o.Clock,
	}
}

// Visible says of each of these users, at most 1,000, whether the caller may see
// their sessions and devices: their own always, everybody's with sessions:read.
// UNAUTHENTICATED without a caller; INVALID_INPUT of ids.
func (s *Sessions) Visible(ctx context.Context, users []uuid.UUID) ([]bool, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(users); err != nil {
		return nil, err
	}
	all := false
	if slices.ContainsFunc(users, func(id uuid.UUID) bool { return id != caller.Subject }) {
		held, err := s.may.Of(ctx)
		if err != nil {
			return nil, err
		}
		all = held.Holds(tenant.SessionsRead)
	}
	visible := make([]bool, len(users))
	for i, id := range users {
		visible[i] = all || id == caller.Subject
	}
	return visible, nil
}

// only returns the user to whom what the caller sees is limited, nil for nobody.
func (s *Sessions) only(ctx context.Context, caller *identity.Caller) (*uuid.UUID, error) {
	held, err := s.may.Of(ctx)
	if err != nil {
		return nil, err
	}
	if held.Holds(tenant.SessionsRead) {
		return nil, nil //nolint:nilnil // no limit
	}
	return &caller.Subject, nil
}

// SessionsByID returns the live sessions of these ids, at most 1,000, in their
// order; nil stands for a session that does not exist, has ended, belongs to
// another tenant or, without sessions:read, to another user. It fails like List.
func (s *Sessions) SessionsByID(ctx context.Context, ids []uuid.UUID) ([]*Session, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(ids); err != nil || len(ids) == 0 {
		return nil, err
	}
	only, err := s.only(ctx, caller)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.PlatformFor(caller.Tenant).GetSessionsByID(ctx, platformdb.GetSessionsByIDParams{
		Ids: ids, TenantID: caller.Tenant.ID(), IdentityID: only, At: s.clock(),
	})
	found, err := fromRows(ctx, s, rows, err)
	if err != nil {
		return nil, err
	}
	byID := make(map[uuid.UUID]*Session, len(rows))
	for _, session := range found {
		byID[session.ID] = session
	}
	return inOrder(ids, byID), nil
}

// SessionByID returns one such session. It fails with NOT_FOUND
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
