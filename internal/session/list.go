package session

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/tenant"
)

// SessionConnection is a page of sessions; its name and SessionEdge's are the
// API's, which binds types by name.
type SessionConnection = page.Connection[*Session]

// SessionEdge is one session of a page.
type SessionEdge = page.Edge[*Session]

// SessionState says whether a session can be used, as the API spells it.
type SessionState string

// The states of a session.
const (
	StateActive SessionState = "ACTIVE"
	// StateEnded is one that was logged out or revoked, StateExpired one that has
	// come to its end.
	StateEnded   SessionState = "ENDED"
	StateExpired SessionState = "EXPIRED"
)

// SessionSort is an order of sessions, as the API spells it.
type SessionSort string

// The orders of sessions, by the time of the sign-in.
const (
	SortCreatedAtAsc  SessionSort = "CREATED_AT_ASC"
	SortCreatedAtDesc SessionSort = "CREATED_AT_DESC"
)

// SessionFilterInput keeps the sessions that fit all of it.
type SessionFilterInput struct {
	// State is StateActive if nil.
	State    *SessionState
	DeviceID *uuid.UUID
}

// List says which sessions to list, and in what order.
type List struct {
	page.Args
	Filter *SessionFilterInput
	// Sort is SortCreatedAtDesc if nil.
	Sort *SessionSort
}

// ListKey is List by value: equal lists have equal keys.
type ListKey struct {
	args   page.Key
	state  page.Value[SessionState]
	device page.Value[uuid.UUID]
	sort   page.Value[SessionSort]
}

// Key returns the list by value.
func (l List) Key() ListKey {
	filter := SessionFilterInput{}
	if l.Filter != nil {
		filter = *l.Filter
	}
	return ListKey{l.Args.Key(), page.ValueOf(filter.State), page.ValueOf(filter.DeviceID), page.ValueOf(l.Sort)}
}

// List returns what the key was made of.
func (k ListKey) List() List {
	return List{
		Args: k.args.Args(), Sort: k.sort.Pointer(),
		Filter: &SessionFilterInput{State: k.state.Pointer(), DeviceID: k.device.Pointer()},
	}
}

// checked is a List whose arguments have been checked.
type checked struct {
	limit  int
	state  SessionState
	device *uuid.UUID
	sort   SessionSort
	after  uuid.UUID
}

// check fills in what is left out. INVALID_INPUT of first, after, filter.state or
// sort; a cursor belongs to one order.
func (l List) check() (checked, error) {
	c := checked{state: StateActive, sort: SortCreatedAtDesc, after: uuid.Max}
	var err error
	if c.limit, err = l.Limit(); err != nil {
		return c, err
	}
	if l.Filter != nil {
		c.device = l.Filter.DeviceID
		if l.Filter.State != nil {
			c.state = *l.Filter.State
		}
	}
	if c.state != StateActive && c.state != StateEnded && c.state != StateExpired {
		return c, fault.InvalidInput("filter.state", "there is no such state")
	}
	if l.Sort != nil {
		c.sort = *l.Sort
	}
	switch c.sort {
	case SortCreatedAtDesc:
	case SortCreatedAtAsc:
		c.after = uuid.Nil
	default:
		return c, fault.InvalidInput("sort", "there is no such order")
	}
	after, err := l.AfterIn(string(c.sort))
	if err == nil && after != nil {
		c.after = after.ID
	}
	return c, err
}

// page makes the page of these sessions.
func (c checked) page(sessions []*Session, args page.Args) *SessionConnection {
	return page.New(sessions, c.limit, args, func(s *Session) string { return page.OrderedCursor(string(c.sort), "", s.ID) })
}

// List returns a page of the caller's sessions. It costs one round trip to
// PostgreSQL and one to Redis; without Redis, LastSeenAt is up to a minute late.
//
// It fails with UNAUTHENTICATED without a caller, INVALID_INPUT of first, after,
// filter.state or sort, and UNAVAILABLE without PostgreSQL.
func (s *Sessions) List(ctx context.Context, list List) (*SessionConnection, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	pages, err := s.ListOf(ctx, []uuid.UUID{caller.Subject}, list)
	if err != nil {
		return nil, err
	}
	return pages[0], nil
}

// ListOf returns such a page for each of these users, at most 1,000, in their
// order; nil stands for a user whose sessions the caller may not see, which are
// all but the caller's own without sessions:read. It costs what List costs, and
// fails like it.
func (s *Sessions) ListOf(ctx context.Context, users []uuid.UUID, list List) ([]*SessionConnection, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	c, err := list.check()
	if err != nil {
		return nil, err
	}
	visible, err := s.Visible(ctx, users)
	if err != nil {
		return nil, err
	}
	found, err := s.readOf(ctx, caller, shown(users, visible), c)
	if err != nil {
		return nil, err
	}
	byUser := map[uuid.UUID][]*Session{}
	for _, session := range found {
		byUser[session.UserID] = append(byUser[session.UserID], session)
	}
	pages := make([]*SessionConnection, len(users))
	for i, id := range users {
		if visible[i] {
			pages[i] = c.page(byUser[id], list.Args)
		}
	}
	return pages, nil
}

// readOf reads a page of each of these users.
func (s *Sessions) readOf(ctx context.Context, caller *identity.Caller, users []uuid.UUID, c checked) ([]*Session, error) {
	q, params := s.store.PlatformFor(caller.Tenant), platformdb.ListSessionsOfUsersNewestFirstParams{
		IdentityIds: users, TenantID: caller.Tenant.ID(), State: string(c.state), At: s.clock(),
		DeviceID: c.device, AfterID: c.after, PageSize: int32(c.limit) + 1,
	}
	if c.sort == SortCreatedAtAsc {
		rows, err := q.ListSessionsOfUsersOldestFirst(ctx, platformdb.ListSessionsOfUsersOldestFirstParams(params))
		return fromRows(ctx, s, rows, err)
	}
	rows, err := q.ListSessionsOfUsersNewestFirst(ctx, params)
	return fromRows(ctx, s, rows, err)
}

// UserSessions returns a page of the sessions of one user of the tenant, or if user
// is nil, of all. The caller needs sessions:read. Who is no user of the tenant has
// none, be it another tenant's or nobody. It costs what List costs.
//
// UNAUTHENTICATED without a caller; FORBIDDEN; and as List.
func (s *Sessions) UserSessions(ctx context.Context, user *uuid.UUID, list List) (*SessionConnection, error) {
	caller, err := s.may.Require(ctx, tenant.SessionsRead)
	if err != nil {
		return nil, err
	}
	if user != nil {
		pages, err := s.ListOf(ctx, []uuid.UUID{*user}, list)
		if err != nil {
			return nil, err
		}
		return pages[0], nil
	}
	c, err := list.check()
	if err != nil {
		return nil, err
	}
	q, params := s.store.PlatformFor(caller.Tenant), platformdb.ListSessionsNewestFirstParams{
		TenantID: caller.Tenant.ID(), State: string(c.state), At: s.clock(),
		DeviceID: c.device, AfterID: c.after, PageSize: int32(c.limit) + 1,
	}
	var found []*Session
	if c.sort == SortCreatedAtAsc {
		rows, failed := q.ListSessionsOldestFirst(ctx, platformdb.ListSessionsOldestFirstParams(params))
		found, err = fromRows(ctx, s, rows, failed)
	} else {
		rows, failed := q.ListSessionsNewestFirst(ctx, params)
		found, err = fromRows(ctx, s, rows, failed)
	}
	if err != nil {
		return nil, err
	}
	return c.page(found, list.Args), nil
}

// ListOn returns a page of the live sessions on each of these devices, at most
// 1,000, in their order, newest first: the caller's own, with sessions:read
// everybody's. It costs what List costs, and fails like it.
func (s *Sessions) ListOn(ctx context.Context, devices []uuid.UUID, args page.Args) ([]*SessionConnection, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	c, err := List{Args: args}.check()
	if err != nil {
		return nil, err
	}
	if err := checkBatch(devices); err != nil {
		return nil, err
	}
	only, err := s.only(ctx, caller)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.PlatformFor(caller.Tenant).ListSessionsOnDevices(ctx, platformdb.ListSessionsOnDevicesParams{
		DeviceIds: devices, TenantID: caller.Tenant.ID(), IdentityID: only, At: s.clock(), AfterID: c.after, PageSize: int32(c.limit) + 1,
	})
	found, err := fromRows(ctx, s, rows, err)
	if err != nil {
		return nil, err
	}
	byDevice := map[uuid.UUID][]*Session{}
	for _, session := range found {
		byDevice[session.DeviceID] = append(byDevice[session.DeviceID], session)
	}
	pages := make([]*SessionConnection, len(devices))
	for i, id := range devices {
		pages[i] = c.page(byDevice[id], args)
	}
	return pages, nil
}

// sessionRow is the row of each query of sessions.
type sessionRow interface {
	~struct {
		ID         uuid.UUID
		IdentityID uuid.UUID
		DeviceID   uuid.UUID
		UserAgent  string
		Ip         string
		CreatedAt  time.Time
		LastSeenAt time.Time
		ExpiresAt  time.Time
		RevokedAt  *time.Time
	}
}

// fromRows makes sessions of what a query has answered.
func fromRows[R sessionRow](ctx context.Context, s *Sessions, rows []R, err error) ([]*Session, error) {
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	now := s.clock()
	found := make([]*Session, len(rows))
	for i, r := range rows {
		found[i] = fromRow(platformdb.GetSessionsByIDRow(r), caller, now)
	}
	s.addLastSeen(ctx, found)
	return found, nil
}

func fromRow(row platformdb.GetSessionsByIDRow, caller *identity.Caller, now time.Time) *Session {
	session := &Session{
		ID: row.ID, UserID: row.IdentityID, DeviceID: row.DeviceID, UserAgent: row.UserAgent, IP: row.Ip, State: StateActive,
		CreatedAt: row.CreatedAt.UTC(), LastSeenAt: row.LastSeenAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(), EndedAt: row.RevokedAt,
		Current: row.ID == caller.Session, tenant: caller.Tenant.ID(),
	}
	switch {
	case row.RevokedAt != nil:
		session.State = StateEnded
	case !row.ExpiresAt.After(now):
		session.State = StateExpired
	}
	return session
}

// shown returns the visible ones of ids, each once.
func shown(ids []uuid.UUID, visible []bool) []uuid.UUID {
	seen := make(map[uuid.UUID]bool, len(ids))
	out := make([]uuid.UUID, 0, len(ids))
	for i, id := range ids {
		if visible[i] && !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}
