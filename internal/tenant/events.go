package tenant

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/events"
	"github.com/tradesage/tradesage/internal/identity"
)

// TenantEventKind says what happened to a tenant, as the API spells it.
type TenantEventKind string

// The kinds of events of tenants.
const (
	EventCreated      TenantEventKind = "CREATED"
	EventStateChanged TenantEventKind = "STATE_CHANGED"
)

// TenantEvent is one event of a tenant that the caller may follow.
type TenantEvent struct {
	ID     uuid.UUID
	Cursor string
	At     time.Time
	Kind   TenantEventKind
	// TenantID is nil where the event concerns none.
	TenantID *uuid.UUID
	ActorID  *uuid.UUID
}

// change is what emit announces.
type change struct {
	kind   TenantEventKind
	tenant uuid.UUID
	actor  *uuid.UUID
}

// emit announces a change to those who follow in the given tenant, which is the
// changed one or the platform's own.
func emit(ctx context.Context, q *platformdb.Queries, to uuid.UUID, c change) error {
	return events.Emit(ctx, q, to, events.Event{
		Topic: events.TopicTenant, Kind: string(c.kind), Actor: c.actor, Target: c.tenant.String(),
	})
}

// Events follows what happens to the caller's tenant, from now on or after a
// cursor. Members of the platform's own tenant with the permission tenants:manage
// follow the creation of tenants too; the permission is looked up for each event.
// It fails with UNAUTHENTICATED without a caller, INVALID_INPUT of after, and
// UNAVAILABLE without Redis; the stream with UNAVAILABLE when the permission cannot
// be looked up.
func (t *Tenants) Events(ctx context.Context, after *string) (*events.Stream[TenantEvent], error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	return events.Follow(ctx, t.events, events.TopicTenant, after, tenantEventOf, func(ctx context.Context, e *events.Event) (bool, error) {
		if e.Target == caller.Tenant.ID().String() {
			return true, nil
		}
		return t.holdsPlatform(ctx, caller, TenantsManage)
	})
}

func tenantEventOf(e events.Delivery) (*TenantEvent, error) {
	out := &TenantEvent{ID: e.ID, Cursor: e.Cursor, At: e.At, Kind: TenantEventKind(e.Kind), ActorID: e.Actor}
	if e.Target != "" {
		id, err := uuid.Parse(e.Target)
		if err != nil {
			return nil, fmt.Errorf("event %s: target: %w", e.ID, err)
		}
		out.TenantID = &id
	}
	return out, nil
}

// OfEvent returns the tenant of an event as it is now, and nil for an event of
// none. FORBIDDEN if the caller may no longer see it.
func (t *Tenants) OfEvent(ctx context.Context, e *TenantEvent) (*Tenant, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil || e.TenantID == nil {
		return nil, err
	}
	if *e.TenantID == caller.Tenant.ID() {
		return t.Current(ctx)
	}
	if err := t.requirePlatform(ctx, caller, TenantsManage); err != nil {
		return nil, err
	}
	return t.finished(ctx, *e.TenantID, nil)
}
