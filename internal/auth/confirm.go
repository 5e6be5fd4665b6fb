package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// ConfirmPasswordInput is the proof that the caller is still who signed in.
type ConfirmPasswordInput struct {
	Password string
}

// Confirmation is an access token of a session whose owner has just proved their
// password.
type Confirmation struct {
	AccessToken string
	ExpiresIn   time.Duration
}

var errWrongConfirmation = fault.InvalidInput("input.password", "is not the password of your account")

// ConfirmPassword proves the password of the caller anew. Their session goes on,
// with this moment as its time of authentication: the returned access token has it,
// and so have all that renewals make later. What is wrong is recorded as what is
// right.
//
// It fails with UNAUTHENTICATED without a caller and where the session has ended
// meanwhile; INVALID_INPUT of input.password; RATE_LIMITED when too many passwords
// are checked at once; UNAVAILABLE.
func (a *Auth) ConfirmPassword(ctx context.Context, in ConfirmPasswordInput) (*Confirmation, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkPassword("input.password", in.Password); err != nil {
		return nil, err
	}
	known, err := a.store.Platform().GetCredential(ctx, caller.Subject)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errSwitchEnded
	}
	if err != nil {
		return nil, fmt.Errorf("confirmation: %w", err)
	}
	right, err := a.passwords.Verify(ctx, in.Password, known.Hash)
	if err != nil {
		return nil, err
	}
	tenantID := caller.Tenant.ID()
	event := audit.Event{
		Action: "auth.confirm_password", Target: caller.Session.String(),
		Details: clientOf(ctx).details(),
	}
	if !right {
		event.Action = "auth.confirm_password_failed"
		if err := audit.RecordPlatform(ctx, a.store.Platform().Queries, &tenantID, event); err != nil {
			return nil, fmt.Errorf("confirmation: %w", err)
		}
		return nil, errWrongConfirmation
	}
	now := a.clock()
	var out Confirmation
	err = a.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		confirmed, err := q.ConfirmSession(ctx, platformdb.ConfirmSessionParams{
			ID: caller.Session, IdentityID: caller.Subject, TenantID: tenantID, At: now, Credential: hashToken(known.Hash),
		})
		if errors.Is(err, db.ErrNotFound) { // something changed since the password was checked
			return errSwitchEnded
		}
		if err != nil {
			return err
		}
		if out.AccessToken, out.ExpiresIn, err = a.issuer.Issue(Grant{
			Subject: caller.Subject, Session: caller.Session, Tenant: tenantID, Epoch: confirmed.Epoch,
			Methods: confirmed.Amr, AuthTime: now, Ends: confirmed.ExpiresAt,
		}); err != nil {
			return err
		}
		return audit.RecordPlatform(ctx, q, &tenantID, event)
	})
	if err != nil {
		return nil, fmt.Errorf("confirmation: %w", err)
	}
	return &out, nil
}
