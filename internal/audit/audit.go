package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/events"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

const (
	maxTarget    = 256 // characters, as the column allows
	maxRequestID = 64
	// maxDetails bounds an event's details in bytes: with the rest of the event
	// they have to fit into an outbox row of 64 KiB.
	maxDetails = 16 << 10
)

// Event says that something was done. Who did it is taken from the context.
type Event struct {
	// Action names what was done, as "auth.login": at most 64 characters.
	Action string
	// Target names what it was done to, as an id; cut at 256 characters.
	Target string
	// Details are encoded as JSON; nil means none. Beyond 16 KiB they are left
	// out, and the event says so. Never put a secret here.
	Details any

	// ID is the event's own id; a new UUIDv7 if zero. Set it where two records
	// tell of the same event.
	ID uuid.UUID
	// Actor and Session replace the context's caller, as at a sign-in, where
	// there is none yet.
	Actor, Session *uuid.UUID
}

// Entry is an event as it is stored: complete, and safe for the database.
type Entry struct {
	ID        uuid.UUID       `json:"id"`
	ActorID   *uuid.UUID      `json:"actor_id"`
	SessionID *uuid.UUID      `json:"session_id"`
	Action    string          `json:"action"`
	Target    string          `json:"target"`
	RequestID string          `json:"request_id"`
	Details   json.RawMessage `json:"details"`
}

// Entry completes the event from the context: the caller, if there is one, and
// the request id. It fails on details that JSON cannot express.
func (e Event) Entry(ctx context.Context) (Entry, error) {
	details, err := encodeDetails(e.Details)
	if err != nil {
		return Entry{}, fmt.Errorf("audit event %s: %w", e.Action, err)
	}
	entry := Entry{
		ID: e.ID, ActorID: e.Actor, SessionID: e.Session, Action: e.Action,
		Target: clean(e.Target, maxTarget), RequestID: clean(telemetry.RequestID(ctx), maxRequestID),
		Details: details,
	}
	if entry.ID == uuid.Nil {
		if entry.ID, err = uuid.NewV7(); err != nil {
			return Entry{}, fmt.Errorf("audit event %s: %w", e.Action, err)
		}
	}
	if caller, err := identity.FromContext(ctx); err == nil {
		if entry.ActorID == nil {
			entry.ActorID = &caller.Subject
		}
		if entry.SessionID == nil {
			entry.SessionID = &caller.Session
		}
	}
	return entry, nil
}

// RecordPlatform writes the event into the platform's record with q, the
// queries of the transaction that makes the change. tenant is nil where no
// tenant is concerned; else those who follow its activity hear of it through the
// outbox.
func RecordPlatform(ctx context.Context, q *platformdb.Queries, tenant *uuid.UUID, e Event) error {
	entry, err := e.Entry(ctx)
	if err != nil {
		return err
	}
	err = q.InsertAuditEvent(ctx, platformdb.InsertAuditEventParams{
		ID: entry.ID, TenantID: tenant, ActorID: entry.ActorID, SessionID: entry.SessionID,
		Action: entry.Action, Target: entry.Target, RequestID: entry.RequestID, Details: entry.Details,
	})
	if err != nil {
		return fmt.Errorf("audit event %s: %w", e.Action, err)
	}
	return nil
}

// RecordTenant writes the event into the tenant's record with q, the queries of
// the transaction that makes the change; a copy goes to the platform's record
// through the outbox.
func RecordTenant(ctx context.Context, q *tenantdb.Queries, e Event) error {
	entry, err := e.Entry(ctx)
	if err != nil {
		return err
	}
	err = q.InsertAuditEvent(ctx, tenantdb.InsertAuditEventParams{
		ID: entry.ID, ActorID: entry.ActorID, SessionID: entry.SessionID,
		Action: entry.Action, Target: entry.Target, RequestID: entry.RequestID, Details: entry.Details,
	})
	if err != nil {
		return fmt.Errorf("audit event %s: %w", e.Action, err)
	}
	return nil
}

// CopyToPlatform handles an outbox row of kind "audit.copy": body is an event of
// the tenant's record. It may run any number of times for the same event.
func CopyToPlatform(ctx context.Context, q *platformdb.Queries, tenant uuid.UUID, body json.RawMessage) error {
	var row struct {
		Entry
		CreatedAt time.Time `json:"created_at"`
	}
	if err := json.Unmarshal(body, &row); err != nil {
		return fmt.Errorf("audit copy: %w", err)
	}
	err := q.CopyAuditEvent(ctx, platformdb.CopyAuditEventParams{
		ID: row.ID, TenantID: &tenant, ActorID: row.ActorID, SessionID: row.SessionID,
		Action: row.Action, Target: row.Target, RequestID: row.RequestID, Details: row.Details,
		CreatedAt: row.CreatedAt,
	})
	if err != nil {
		return fmt.Errorf("audit copy %s: %w", row.ID, err)
	}
	return nil
}

// Activity returns the live event of a row of kind "audit.copy" or
// "audit.activity": that something was done, without the details.
func Activity(body json.RawMessage) (events.Event, error) {
	var row struct {
		Entry
		CreatedAt time.Time `json:"created_at"`
	}
	if err := json.Unmarshal(body, &row); err != nil {
		return events.Event{}, fmt.Errorf("activity: %w", err)
	}
	return events.Event{
		ID: row.ID, Topic: events.TopicActivity, Kind: row.Action, At: row.CreatedAt,
		Actor: row.ActorID, Session: row.SessionID, Target: row.Target,
	}, nil
}

func encodeDetails(details any) (json.RawMessage, error) {
	if details == nil {
		return json.RawMessage(`{}`), nil
	}
	encoded, err := json.Marshal(details)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(encoded, []byte(`\u0000`)) {
		// jsonb refuses the character NUL. Decoding tells an escaped one from a
		// backslash followed by u0000.
		var value any
		decoder := json.NewDecoder(bytes.NewReader(encoded))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		if encoded, err = json.Marshal(withoutNUL(value)); err != nil {
			return nil, err
		}
	}
	if len(encoded) > maxDetails {
		return json.RawMessage(`{"omitted":"details larger than 16 KiB"}`), nil
	}
	return encoded, nil
}

func withoutNUL(value any) any {
	switch v := value.(type) {
	case string:
		return strings.ReplaceAll(v, "\x00", "")
	case []any:
		for i := range v {
			v[i] = withoutNUL(v[i])
		}
	case map[string]any:
		for key, element := range v {
			delete(v, key)
			v[strings.ReplaceAll(key, "\x00", "")] = withoutNUL(element)
		}
	}
	return value
}

// clean makes s storable as text: valid UTF-8 without NUL, at most limit
// characters.
func clean(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit])
}
