package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/input"
	"github.com/tradesage/tradesage/internal/tenant"
)

// foundWithin bounds the first attempt at the tenant of a registration.
const foundWithin = 5 * time.Second

// RegisterInput is somebody who wants an account.
type RegisterInput struct {
	Email    string
	Password string
	// TenantName is a tenant to own; nil for who waits for an invitation.
	TenantName *string
}

// Register has a mail sent to an address: with a code that makes the account for
// VerifyEmail, or to who has one already with a note that somebody tried. Nothing
// exists before the address is proven; until then, at most 24 hours, the
// password's hash is kept. An address gets at most five such mails an hour.
//
// The answer and its time are alike for known and unknown addresses. It fails
// with INVALID_INPUT of input.email, input.password or input.tenantName;
// RATE_LIMITED when too many passwords are hashed at once; UNAVAILABLE.
func (a *Auth) Register(ctx context.Context, in RegisterInput) error {
	email, err := input.Email("input.email", in.Email)
	if err != nil {
		return err
	}
	if err := checkNewPassword("input.password", in.Password); err != nil {
		return err
	}
	if in.TenantName != nil {
		name, err := input.Line("input.tenantName", *in.TenantName, 1, 200)
		if err != nil {
			return err
		}
		in.TenantName = &name
	}
	hash, err := a.passwords.Hash(ctx, in.Password)
	if err != nil {
		return err
	}
	err = a.challenge(ctx, newChallenge{
		purpose: purposeRegister, email: email, action: "auth.register", life: registrationLife,
		passwordHash: &hash, tenant: in.TenantName, client: clientOf(ctx),
	})
	if err != nil {
		return fmt.Errorf("registration: %w", err)
	}
	return nil
}

// VerifiedEmail is what a verified address has come to.
type VerifiedEmail struct {
	UserID uuid.UUID
	// Tenant is the new tenant; nil if none was asked for, or while it is still
	// being set up.
	Tenant *TenantChoice
}

// VerifyEmail makes the account of a registration, and its tenant: the account in
// one transaction, the tenant by an idempotent step that runs at once, or from
// the outbox after a crash. The same code answers the same for as long as it is
// valid, and does nothing more.
//
// It fails with NOT_FOUND for a code that is wrong, older than 24 hours or of an
// address that has got an account otherwise; UNAVAILABLE.
func (a *Auth) VerifyEmail(ctx context.Context, code string) (*VerifiedEmail, error) {
	if len(code) != codeLength {
		return nil, errCode
	}
	var owner uuid.UUID
	var founding *tenant.Founding
	err := a.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		row, err := a.lockChallenge(ctx, q, purposeRegister, code)
		if err != nil {
			return err
		}
		if row.UsedAt == nil {
			if row.IdentityID, err = a.takeOver(ctx, q, row); err != nil {
				return err
			}
		}
		if row.IdentityID == nil {
			return errCode
		}
		owner = *row.IdentityID
		if row.TenantName != nil {
			founding = &tenant.Founding{ID: row.ID, Name: *row.TenantName, Owner: owner, Email: row.Email}
		}
		if row.UsedAt != nil || founding == nil {
			return nil
		}
		body, err := json.Marshal(founding)
		if err != nil {
			return err
		}
		return q.InsertOutbox(ctx, platformdb.InsertOutboxParams{Kind: tenant.KindFound, Body: body})
	})
	if err != nil {
		return nil, fmt.Errorf("verification: %w", err)
	}
	if founding != nil {
		a.foundNow(ctx, *founding)
	}
	return a.verified(ctx, owner)
}

// takeOver makes the identity of a registration whose address is proven now.
func (a *Auth) takeOver(ctx context.Context, q *platformdb.Queries, row platformdb.LockChallengeRow) (*uuid.UUID, error) {
	now := a.clock()
	id, err := a.makeIdentity(ctx, q, row.Email, *row.PasswordHash)
	if err != nil {
		return nil, err
	}
	if id == uuid.Nil {
		return nil, errCode
	}
	err = q.UseChallenge(ctx, platformdb.UseChallengeParams{ID: row.ID, At: now, IdentityID: &id})
	return &id, err
}

// makeIdentity makes an identity whose address is proven, with its first
// password. It returns uuid.Nil, and changes nothing, if the address has one.
func (a *Auth) makeIdentity(ctx context.Context, q *platformdb.Queries, email, hash string) (uuid.UUID, error) {
	now := a.clock()
	id, err := newID(now)
	if err != nil {
		return uuid.Nil, err
	}
	if err := q.CreateIdentity(ctx, platformdb.CreateIdentityParams{ID: id, Email: email, EmailVerifiedAt: &now}); err != nil {
		return uuid.Nil, err
	}
	if id, err = q.GetIdentityIDByEmail(ctx, email); err != nil {
		return uuid.Nil, err
	}
	made, err := q.SetFirstPassword(ctx, platformdb.SetFirstPasswordParams{IdentityID: id, Hash: hash, ChangedAt: now})
	if err != nil || made == 0 {
		return uuid.Nil, err
	}
	if err := q.ConfirmEmail(ctx, now, id); err != nil {
		return uuid.Nil, err
	}
	return id, audit.RecordPlatform(ctx, q, nil, audit.Event{Action: "identity.create", Target: id.String(), Actor: &id})
}

// foundNow does at once what the outbox would do a moment later, and leaves it to
// the outbox if it fails. It goes on when the client is gone.
func (a *Auth) foundNow(ctx context.Context, f tenant.Founding) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), foundWithin)
	defer cancel()
	if err := a.found(ctx, f); err != nil {
		a.logger.WarnContext(ctx, "the tenant of a registration is left to the outbox", "registration", f.ID, "error", err)
	}
}

func (a *Auth) verified(ctx context.Context, owner uuid.UUID) (*VerifiedEmail, error) {
	rows, err := a.store.Platform().ListLoginTenants(ctx, owner)
	if err != nil {
		return nil, fmt.Errorf("verification: %w", err)
	}
	result := &VerifiedEmail{UserID: owner}
	for _, row := range rows {
		if row.State == string(db.TenantActive) {
			result.Tenant = choiceOf(row)
			break
		}
	}
	return result, nil
}
