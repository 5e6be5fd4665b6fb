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
)

// NewIdentity is somebody who shall be able to sign in.
type NewIdentity struct {
	Email string
	// Password has at least 12 characters and at most 512 bytes.
	Password string
	// Verified says that the address is known to be theirs.
	Verified bool
}

// EnsureIdentity returns the identity of an address, and makes it with this
// password if there is none. It may run any number of times: a password that is
// there stays. Membership of a tenant is another matter. It proves nothing: the
// caller must know that the address belongs to whoever chose the password.
//
// It fails with INVALID_INPUT of email or password, RATE_LIMITED and UNAVAILABLE.
func (a *Auth) EnsureIdentity(ctx context.Context, n NewIdentity) (uuid.UUID, error) {
	email, err := normaliseEmail("email", n.Email)
	if err != nil {
		return uuid.Nil, err
	}
	if err := checkNewPassword("password", n.Password); err != nil {
		return uuid.Nil, err
	}
	found, err := a.store.Platform().GetLogin(ctx, email)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return uuid.Nil, fmt.Errorf("identity: %w", err)
	}
	if err == nil && found.Hash != nil {
		return found.ID, nil // spares the hash
	}
	hash, err := a.passwords.Hash(ctx, n.Password)
	if err != nil {
		return uuid.Nil, err
	}
	now := a.clock()
	var verifiedAt *time.Time
	if n.Verified {
		verifiedAt = &now
	}
	id, err := newID(now)
	if err != nil {
		return uuid.Nil, fmt.Errorf("identity: %w", err)
	}
	err = a.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		if err := q.CreateIdentity(ctx, platformdb.CreateIdentityParams{ID: id, Email: email, EmailVerifiedAt: verifiedAt}); err != nil {
			return err
		}
		kept, err := q.GetIdentityIDByEmail(ctx, email)
		if err != nil {
			return err
		}
		id = kept
		n, err := q.SetFirstPassword(ctx, platformdb.SetFirstPasswordParams{IdentityID: id, Hash: hash, ChangedAt: now})
		if err != nil || n == 0 { // somebody else was first
			return err
		}
		return audit.RecordPlatform(ctx, q, nil, audit.Event{Action: "identity.create", Target: id.String()})
	})
	if err != nil {
		return uuid.Nil, fmt.Errorf("identity: %w", err)
	}
	return id, nil
}
