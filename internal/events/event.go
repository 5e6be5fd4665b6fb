// Package events carries what has happened in a tenant to those who watch it
// live: out of a transaction through the outbox, through Redis to every process,
// and into bounded queues of subscriptions, which can be resumed.
//
// The tenant of a subscription is the verified caller's, never an argument. Who
// may see which event is decided, for each event again, by the domain that
// subscribes. Nothing durable rests on live events: who missed some reads again.
package events

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/platformdb"
)

// KindLive is the outbox kind of live events; Hub.Handle takes its rows.
const KindLive = "event.live"

// Topic says for whom an event is meant.
type Topic string

// The topics. Each is followed by one subscription field of the API.
const (
	// TopicSession is about sessions, for the user whose session it is.
	TopicSession Topic = "session"
	// TopicActivity is what was done in the tenant, an audit event each.
	TopicActivity Topic = "activity"
	// TopicTenant is about tenants themselves.
	TopicTenant Topic = "tenant"
)

// The kinds of the two events that a subscription makes by itself.
const (
	// KindSubscribed says that the subscription is live from here on.
	KindSubscribed = "SUBSCRIBED"
	// KindGap says that events before this one may have been missed.
	KindGap = "GAP"
)

// Event is something that has happened.
type Event struct {
	// ID tells events apart, also when one is delivered twice; a new UUIDv7 if
	// zero.
	ID    uuid.UUID `json:"id"`
	Topic Topic     `json:"topic"`
	// Kind is what happened, as the topic's domain spells it.
	Kind string `json:"kind"`
	// At is when it happened; now if zero.
	At time.Time `json:"at"`
	// Actor did it, User is concerned by it, Session is where or what.
	Actor   *uuid.UUID `json:"actor,omitempty"`
	User    *uuid.UUID `json:"user,omitempty"`
	Session *uuid.UUID `json:"session,omitempty"`
	// Target names what it was done to, as an id.
	Target string `json:"target,omitempty"`
	// Detail is a word or two more, as why.
	Detail string `json:"detail,omitempty"`
}

// Emit announces an event of the tenant with q, the queries of the transaction
// that is its cause: either across tenants or as this tenant.
func Emit(ctx context.Context, q *platformdb.Queries, tenant uuid.UUID, e Event) error {
	if err := e.complete(); err != nil {
		return fmt.Errorf("event %s: %w", e.Kind, err)
	}
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("event %s: %w", e.Kind, err)
	}
	if err := q.InsertOutbox(ctx, platformdb.InsertOutboxParams{TenantID: &tenant, Kind: KindLive, Body: body}); err != nil {
		return fmt.Errorf("event %s: %w", e.Kind, err)
	}
	return nil
}

func (e *Event) complete() (err error) {
	if e.ID == uuid.Nil {
		if e.ID, err = uuid.NewV7(); err != nil {
			return err
		}
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.At = e.At.UTC()
	return nil
}
