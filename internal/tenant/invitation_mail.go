package tenant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/mail"
)

// KindInvitationMail is the outbox kind that asks for the mail of an invitation.
// Tenants cannot emit mails: they name an invitation, and the platform's process
// writes the letter.
const KindInvitationMail = "mail.invitation"

// ErrForgedInvitation says that an invitation was not made by a process of the
// platform: nobody is written to.
var ErrForgedInvitation = errors.New("the invitation was not made by this platform")

type invitationEvent struct {
	Invitation uuid.UUID `json:"invitation"`
}

// InvitationEvent is the body of an event of KindInvitationMail.
func InvitationEvent(invitation uuid.UUID) (json.RawMessage, error) {
	return json.Marshal(invitationEvent{invitation})
}

// InvitationMail writes the letter that an event of a tenant asks for: of an
// invitation of that tenant. It is nil for one that is not open any more. It fails
// with ErrForgedInvitation for a row whose code is not the one that the secret
// gives it: a tenant's SQL alone can have nobody written to.
func (t *Tenants) InvitationMail(ctx context.Context, of uuid.UUID, body json.RawMessage) (*mail.Message, error) {
	var event invitationEvent
	if err := json.Unmarshal(body, &event); err != nil {
		return nil, fmt.Errorf("%s: %w", KindInvitationMail, err)
	}
	failed := func(err error) (*mail.Message, error) {
		return nil, fmt.Errorf("invitation %s of tenant %s: %w", event.Invitation, of, err)
	}
	proof, _, err := t.store.Resolve(ctx, of)
	if err != nil {
		return failed(err)
	}
	row, err := t.store.Tenant(proof).GetInvitationLetter(ctx, event.Invitation, t.now())
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil //nolint:nilnil // withdrawn, accepted or expired meanwhile: no letter is no fault
	}
	if err != nil {
		return failed(err)
	}
	if !bytes.Equal(row.CodeHash, t.invitations.CodeHash(of, event.Invitation)) {
		return failed(ErrForgedInvitation)
	}
	own, err := t.store.Platform().GetTenant(ctx, of)
	if err != nil {
		return failed(err)
	}
	message, err := t.invitations.Message(Invitation{
		ID: event.Invitation, Tenant: of, TenantName: fromRow(own).Name, Role: row.Role, InvitedBy: row.InvitedBy,
		Email: row.Email, ExpiresAt: row.ExpiresAt,
	})
	if err != nil {
		return failed(err)
	}
	return &message, nil
}
