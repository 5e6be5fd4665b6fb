package user

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/events"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/tenant"
)

// ActivityEventKind says what an event of the activity is, as the API spells it.
type ActivityEventKind string

// ActivityRecorded says that something was done; the other kinds are those that
// every subscription makes by itself.
const ActivityRecorded ActivityEventKind = "RECORDED"

// ActivityEvent says that something was done in the caller's tenant.
type ActivityEvent struct {
	// ID is the audit event's id.
	ID     uuid.UUID
	Cursor string
	At     time.Time
	Kind   ActivityEventKind
	// Action and Target are those of the audit event; nil for other kinds.
	Action, Target *string
	// ActorID is nil where nobody signed in did it.
	ActorID *uuid.UUID
}

// ActivityEvents follows what is done in the caller's tenant, from now on or
// after a cursor: everything with the permission audit:read, else what the caller
// does. The permission is looked up for each event. It fails with UNAUTHENTICATED
// without a caller, INVALID_INPUT of after, and UNAVAILABLE without Redis; the stream
// with UNAVAILABLE when the permission cannot be looked up.
func (u *Users) ActivityEvents(ctx context.Context, after *string) (*events.Stream[ActivityEvent], error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	return events.Follow(ctx, u.events, events.TopicActivity, after, activityOf, func(ctx context.Context, e *events.Event) (bool, error) {
		if e.Actor != nil && *e.Actor == caller.Subject {
			return true, nil
		}
		held, err := u.permissions.Of(ctx)
		return held.Holds(tenant.AuditRead), err
	})
}

func activityOf(e events.Delivery) (*ActivityEvent, error) {
	out := &ActivityEvent{ID: e.ID, Cursor: e.Cursor, At: e.At, Kind: ActivityEventKind(e.Kind), ActorID: e.Actor}
	if e.Kind != events.KindSubscribed && e.Kind != events.KindGap {
		out.Kind, out.Action, out.Target = ActivityRecorded, &e.Kind, &e.Target
	}
	return out, nil
}

// ActorOf returns who did it, and nil where the caller may not see them or nobody
// signed in did it.
func (u *Users) ActorOf(ctx context.Context, e *ActivityEvent) (*User, error) {
	if e.ActorID == nil {
		return nil, nil
	}
	found, err := u.UsersByID(ctx, []uuid.UUID{*e.ActorID})
	if err != nil {
		return nil, err
	}
	return found[0], nil
}
