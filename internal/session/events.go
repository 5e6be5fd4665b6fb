package session

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/events"
	"github.com/tradesage/tradesage/internal/identity"
)

// SessionEventKind says what happened to a session, as the API spells it.
type SessionEventKind string

// The kinds of events of sessions.
const (
	EventStarted SessionEventKind = "STARTED"
	EventRenewed SessionEventKind = "RENEWED"
	EventEnded   SessionEventKind = "ENDED"
)

// SessionEvent is one event of the caller's own sessions.
type SessionEvent struct {
	ID     uuid.UUID
	Cursor string
	At     time.Time
	Kind   SessionEventKind
	// SessionID is nil where the event concerns none.
	SessionID *uuid.UUID
	// Reason is why a session ended.
	Reason *string
}

// Change says what happened to a session of a user.
type Change struct {
	Kind                  SessionEventKind
	Session, User, Tenant uuid.UUID
	At                    time.Time
	// Reason is why a session ended, a word or two.
	Reason string
}

// Emit announces the change to the user's live subscriptions, with q, the queries
// of the transaction that is its cause. EndSession announces the end of a session
// by itself.
func Emit(ctx context.Context, q *platformdb.Queries, c Change) error {
	return events.Emit(ctx, q, c.Tenant, events.Event{
		Topic: events.TopicSession, Kind: string(c.Kind), At: c.At,
		User: &c.User, Session: &c.Session, Detail: c.Reason,
	})
}

// Events follows what happens to the caller's sessions, from now on or after a
// cursor. It fails with UNAUTHENTICATED without a caller, INVALID_INPUT of after,
// and UNAVAILABLE without Redis.
func (s *Sessions) Events(ctx context.Context, after *string) (*events.Stream[SessionEvent], error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	return events.Follow(ctx, s.events, events.TopicSession, after, sessionEventOf, func(_ context.Context, e *events.Event) (bool, error) {
		return e.User != nil && *e.User == caller.Subject, nil
	})
}

func sessionEventOf(e events.Delivery) (*SessionEvent, error) {
	out := &SessionEvent{ID: e.ID, Cursor: e.Cursor, At: e.At, Kind: SessionEventKind(e.Kind), SessionID: e.Session}
	if e.Detail != "" {
		out.Reason = &e.Detail
	}
	return out, nil
}
