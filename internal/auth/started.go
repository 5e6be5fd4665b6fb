package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/audit"
)

// KindSessionStarted is the kind of the outbox rows that HandleSessionStarted
// takes.
const KindSessionStarted = "session.started"

// tenantStepWithin bounds the first attempt at the tenant's part of a sign-in.
const tenantStepWithin = 2 * time.Second

// startedSession is what a tenant has to note of a sign-in.
type startedSession struct {
	User       uuid.UUID   `json:"user"`
	Session    uuid.UUID   `json:"session"`
	Device     uuid.UUID   `json:"device"`
	DeviceName string      `json:"device_name"`
	DeviceKind string      `json:"device_kind"`
	At         time.Time   `json:"at"`
	Entry      audit.Entry `json:"event"`
}

func newStartedSession(ctx context.Context, t attempt, d device, sessionID uuid.UUID, now time.Time) (startedSession, error) {
	event := audit.Event{
		Action: "auth.login", Target: sessionID.String(), Actor: &t.identity, Session: &sessionID,
		Details: map[string]string{"method": t.how, "device": d.Name, "user_agent": t.agent, "ip": t.ip},
	}
	entry, err := event.Entry(ctx)
	if err != nil {
		return startedSession{}, err
	}
	return startedSession{
		User: t.identity, Session: sessionID, Device: d.ID, DeviceName: d.Name, DeviceKind: d.Kind, At: now, Entry: entry,
	}, nil
}

func (s startedSession) encode() (json.RawMessage, error) { return json.Marshal(s) }

// event is the same audit event again, for the platform's record.
func (s startedSession) event() audit.Event {
	return audit.Event{
		ID: s.Entry.ID, Action: s.Entry.Action, Target: s.Entry.Target,
		Actor: s.Entry.ActorID, Session: s.Entry.SessionID, Details: s.Entry.Details,
	}
}

// HandleSessionStarted notes a sign-in in its tenant: the device, and a copy of
// the audit event. It may run any number of times for the same body.
func (a *Auth) HandleSessionStarted(ctx context.Context, tenant db.Tenant, body json.RawMessage) error {
	var started startedSession
	if err := json.Unmarshal(body, &started); err != nil {
		return fmt.Errorf("%s: %w", KindSessionStarted, err)
	}
	err := a.store.Tenant(tenant).RecordSignIn(ctx, tenantdb.RecordSignInParams{
		DeviceID: started.Device, UserID: &started.User, DeviceName: started.DeviceName, DeviceKind: started.DeviceKind,
		At: started.At, EventID: started.Entry.ID, SessionID: &started.Session, Action: started.Entry.Action,
		Target: started.Entry.Target, RequestID: started.Entry.RequestID, Details: started.Entry.Details,
	})
	if err != nil {
		return fmt.Errorf("%s of session %s: %w", KindSessionStarted, started.Session, err)
	}
	return nil
}

// runTenantStep does at once what the outbox would do a moment later, and leaves
// it to the outbox if it fails. It goes on when the client is gone.
func (a *Auth) runTenantStep(ctx context.Context, tenantID uuid.UUID, body json.RawMessage) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tenantStepWithin)
	defer cancel()
	tenant, _, err := a.store.Resolve(ctx, tenantID)
	if err == nil {
		err = a.HandleSessionStarted(ctx, tenant, body)
	}
	if err != nil {
		a.logger.WarnContext(ctx, "the tenant's part of a sign-in is left to the outbox", "tenant_id", tenantID, "error", err)
	}
}
