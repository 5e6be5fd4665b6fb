package user

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/tenant"
)

// AuditEvent is one entry of the tenant's record.
type AuditEvent struct {
	// ID is a UUIDv7: ids sort by time.
	ID uuid.UUID
	// ActorID is who did it; nil for what the platform did by itself.
	ActorID *uuid.UUID
	// SessionID is the session that it was done in.
	SessionID *uuid.UUID
	// Action is what was done, as "user.invite"; Target to what.
	Action, Target, RequestID string
	Details                   json.RawMessage
	CreatedAt                 time.Time
}

// Session returns the session that it was done in, nil if there was none; it asks
// nobody.
func (e *AuditEvent) Session() *Session {
	if e.SessionID == nil {
		return nil
	}
	return &Session{ID: *e.SessionID}
}

// Session refers to a session by its id alone.
type Session struct{ ID uuid.UUID }

// IsEntity marks Session as one that another subgraph resolves.
func (*Session) IsEntity() {}

// AuditEventConnection is a page of events; its name and AuditEventEdge's are
// the API's, which binds types by name.
type AuditEventConnection = page.Connection[*AuditEvent]

// AuditEventEdge is one event of a page.
type AuditEventEdge = page.Edge[*AuditEvent]

// AuditEventFilterInput keeps the events that fit all of it; nil fits all.
type AuditEventFilterInput struct {
	Action  *string
	ActorID *uuid.UUID
	// Target is what it was done to.
	Target *string
	// From is included, To is not.
	From, To *time.Time
}

// AuditEvents returns a page of the tenant's record, the newest first. The caller
// needs audit:read.
//
// UNAUTHENTICATED without a caller; FORBIDDEN; INVALID_INPUT of first or after.
func (u *Users) AuditEvents(ctx context.Context, args page.Args, filter *AuditEventFilterInput) (*AuditEventConnection, error) {
	caller, err := u.permissions.Require(ctx, tenant.AuditRead)
	if err != nil {
		return nil, err
	}
	limit, after, err := args.ByID()
	if err != nil {
		return nil, err
	}
	params := tenantdb.ListAuditEventsParams{After: after, PageSize: int32(limit) + 1}
	if filter != nil {
		params.Action, params.ActorID = storable(filter.Action), filter.ActorID
		if params.Target = storable(filter.Target); params.Target != filter.Target {
			nothing := " " // the empty target is that of some
			params.Target = &nothing
		}
		params.FromTime, params.ToTime = filter.From, filter.To
	}
	rows, err := u.store.Tenant(caller.Tenant).ListAuditEvents(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("audit events: %w", err)
	}
	events := make([]*AuditEvent, len(rows))
	for i, row := range rows {
		event := AuditEvent(row)
		events[i] = &event
	}
	return page.New(events, limit, args, func(e *AuditEvent) string { return page.IDCursor(e.ID) }), nil
}

// AuditEventsOf returns a page of what each of these users did, in their order, the
// newest first, in one query. The caller needs audit:read.
//
// UNAUTHENTICATED without a caller; FORBIDDEN; INVALID_INPUT of first or after.
func (u *Users) AuditEventsOf(ctx context.Context, users []uuid.UUID, args page.Args) ([]*AuditEventConnection, error) {
	caller, err := u.permissions.Require(ctx, tenant.AuditRead)
	if err != nil {
		return nil, err
	}
	limit, after, err := args.ByID()
	if err != nil {
		return nil, err
	}
	rows, err := u.store.Tenant(caller.Tenant).ListAuditEventsOfUsers(ctx, tenantdb.ListAuditEventsOfUsersParams{
		ActorIds: users, After: after, PageSize: int32(limit) + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("audit events of users: %w", err)
	}
	byActor := map[uuid.UUID][]*AuditEvent{}
	for _, row := range rows {
		event := AuditEvent(row)
		byActor[*row.ActorID] = append(byActor[*row.ActorID], &event)
	}
	pages := make([]*AuditEventConnection, len(users))
	for i, id := range users {
		pages[i] = page.New(byActor[id], limit, args, func(e *AuditEvent) string { return page.IDCursor(e.ID) })
	}
	return pages, nil
}
