package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/mail"
	"github.com/tradesage/tradesage/internal/session"
)

// ChangePasswordInput is a change of the own password.
type ChangePasswordInput struct {
	CurrentPassword string
	NewPassword     string
}

var errWrongCurrent = fault.InvalidInput("input.currentPassword", "is not the current password")

// ChangePassword replaces the caller's password, who proves the current one. All
// other sessions end, in every tenant; so do tickets and codes for a reset. A
// mail tells the owner of the address. ended counts the sessions; pending says
// that some process may take up to 2 s to know.
//
// It fails with UNAUTHENTICATED without a caller; INVALID_INPUT of
// input.currentPassword or input.newPassword; CONFLICT if the password was changed
// at the same moment; RATE_LIMITED when too many passwords are checked at once;
// UNAVAILABLE.
func (a *Auth) ChangePassword(ctx context.Context, in ChangePasswordInput) (ended int, pending bool, err error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return 0, false, err
	}
	if err := checkPassword("input.currentPassword", in.CurrentPassword); err != nil {
		return 0, false, err
	}
	if err := checkNewPassword("input.newPassword", in.NewPassword); err != nil {
		return 0, false, err
	}
	if in.NewPassword == in.CurrentPassword {
		return 0, false, fault.InvalidInput("input.newPassword", "must be another password than the current one")
	}
	known, err := a.store.Platform().GetCredential(ctx, caller.Subject)
	if errors.Is(err, db.ErrNotFound) {
		return 0, false, errSwitchEnded
	}
	if err != nil {
		return 0, false, fmt.Errorf("change of password: %w", err)
	}
	by := clientOf(ctx)
	right, err := a.passwords.Verify(ctx, in.CurrentPassword, known.Hash)
	if err != nil {
		return 0, false, err
	}
	tenantID := caller.Tenant.ID()
	if !right {
		if err := audit.RecordPlatform(ctx, a.store.Platform().Queries, &tenantID, audit.Event{
			Action: "auth.change_password_failed", Target: caller.Subject.String(), Details: by.details(),
		}); err != nil {
			return 0, false, fmt.Errorf("change of password: %w", err)
		}
		return 0, false, errWrongCurrent
	}
	return a.replacePassword(ctx, replacement{
		identity: caller.Subject, email: known.Email, keep: caller.Session, tenant: &tenantID,
		credential: hashToken(known.Hash), password: in.NewPassword, agent: by.agent,
		event: audit.Event{Action: "auth.change_password", Target: caller.Subject.String(), Details: by.details()},
	})
}

// replacement is a new password that its owner may set.
type replacement struct {
	identity   uuid.UUID
	email      string
	keep       uuid.UUID // the session that goes on; uuid.Nil for none
	tenant     *uuid.UUID
	credential []byte // SHA-256 of the hash to be replaced
	password   string
	agent      string
	event      audit.Event
	// also runs in the same transaction, under the credential's lock; may be nil.
	also func(*platformdb.Queries) error
}

// replacePassword sets a password and ends what the old one has opened.
func (a *Auth) replacePassword(ctx context.Context, r replacement) (ended int, pending bool, err error) {
	hash, err := a.passwords.Hash(ctx, r.password)
	if err != nil {
		return 0, false, err
	}
	now := a.clock()
	var revocations []session.Revocation
	err = a.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		// The credential's lock comes before those of sessions: what starts one with
		// the old password is waited for, and ended.
		n, err := q.ReplacePassword(ctx, platformdb.ReplacePasswordParams{
			IdentityID: r.identity, Hash: hash, At: now, Credential: r.credential,
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.Conflict("", "the password was changed a moment ago")
		}
		if r.also != nil {
			if err := r.also(q); err != nil {
				return err
			}
		}
		revocations, err = a.revocations.EndOtherSessions(ctx, q, session.Ending{
			User: r.identity, Session: r.keep, Reason: "password_changed",
		})
		if err != nil {
			return err
		}
		if err := q.VoidResets(ctx, now, &r.identity); err != nil {
			return err
		}
		if err := audit.RecordPlatform(ctx, q, r.tenant, r.event); err != nil {
			return err
		}
		return a.mailChange(ctx, q, r, now)
	})
	if err != nil {
		return 0, false, fmt.Errorf("new password: %w", err)
	}
	return len(revocations), a.revocations.Publish(ctx, revocations...), nil
}

func (a *Auth) mailChange(ctx context.Context, q *platformdb.Queries, r replacement, at time.Time) error {
	id, err := newID(at)
	if err != nil {
		return err
	}
	device := ""
	if r.agent != "" {
		device = deviceOf(uuid.Nil, r.identity, r.agent).Name
	}
	message, err := mail.PasswordChanged{At: at, Device: device, Link: a.publicURL + "/forgot"}.Message(id, r.email)
	if err != nil {
		return err
	}
	return sendMail(ctx, q, message)
}
