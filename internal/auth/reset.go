package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/input"
)

// RequestPasswordResetInput is an address whose password is forgotten.
type RequestPasswordResetInput struct {
	Email string
}

// RequestPasswordReset has a code for a new password mailed to an address, if
// there is an active account of it. An address gets at most five such mails an
// hour. The answer and its time are alike for known and unknown addresses. It
// fails with INVALID_INPUT of input.email, and UNAVAILABLE.
func (a *Auth) RequestPasswordReset(ctx context.Context, in RequestPasswordResetInput) error {
	email, err := input.Email("input.email", in.Email)
	if err != nil {
		return err
	}
	err = a.challenge(ctx, newChallenge{
		purpose: purposeReset, email: email, action: "auth.request_password_reset", life: resetLife,
		client: clientOf(ctx),
	})
	if err != nil {
		return fmt.Errorf("request of a new password: %w", err)
	}
	return nil
}

// ResetPasswordInput is a new password and the code that allows it.
type ResetPasswordInput struct {
	Code        string
	NewPassword string
}

// ResetPassword sets a new password with a code from a mail. Every session of
// the account ends. The code is good for one password; the others of the account
// end with it.
//
// It fails with INVALID_INPUT of input.newPassword; NOT_FOUND for a code that is
// wrong, used or older than 30 minutes, or of an account that was disabled;
// RATE_LIMITED; UNAVAILABLE.
func (a *Auth) ResetPassword(ctx context.Context, in ResetPasswordInput) (ended int, pending bool, err error) {
	if err := checkNewPassword("input.newPassword", in.NewPassword); err != nil {
		return 0, false, err
	}
	if len(in.Code) != codeLength {
		return 0, false, errCode
	}
	row, known, err := a.resetBy(ctx, in.Code)
	if err != nil {
		return 0, false, err
	}
	by := clientOf(ctx)
	return a.replacePassword(ctx, replacement{
		identity: *row.IdentityID, email: known.Email, credential: hashToken(known.Hash), password: in.NewPassword, agent: by.agent,
		event: audit.Event{
			Action: "auth.reset_password", Target: row.IdentityID.String(), Actor: row.IdentityID,
			Details: by.details(),
		},
		also: func(q *platformdb.Queries) error {
			again, err := a.lockChallenge(ctx, q, purposeReset, in.Code)
			if err == nil && again.UsedAt != nil {
				return errCode
			}
			if err != nil {
				return err
			}
			return q.UseChallenge(ctx, platformdb.UseChallengeParams{ID: row.ID, At: a.clock(), IdentityID: row.IdentityID})
		},
	})
}

// resetBy finds whose password a code resets, before anything is hashed.
func (a *Auth) resetBy(ctx context.Context, code string) (row platformdb.LockChallengeRow, known platformdb.GetCredentialRow, err error) {
	err = a.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		if row, err = a.lockChallenge(ctx, q, purposeReset, code); err != nil {
			return err
		}
		if row.UsedAt != nil || row.IdentityID == nil {
			return errCode
		}
		known, err = q.GetCredential(ctx, *row.IdentityID)
		if errors.Is(err, db.ErrNotFound) {
			return errCode
		}
		return err
	})
	if err != nil {
		return row, known, fmt.Errorf("new password: %w", err)
	}
	return row, known, nil
}
