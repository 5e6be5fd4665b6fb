package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/session"
)

const (
	// refreshGrace is how long after its use a refresh token answers the same
	// successor again: to tabs that ask at once, and to who lost the answer.
	refreshGrace = 30 * time.Second
	// keepUsed is how long a used token is remembered, to tell of its theft.
	keepUsed = 7 * 24 * time.Hour
	// refreshLength is the length of a token: the prefix and 256 bits in base64url.
	refreshLength = len(refreshPrefix) + 43
)

var errRefresh = fault.Unauthenticated("the refresh token is not valid; sign in again")

// RefreshSessionInput is what renews a session.
type RefreshSessionInput struct {
	RefreshToken string
}

// Tokens are a session's new tokens.
type Tokens struct {
	AccessToken string
	// RefreshToken is shown once: only its hash is kept.
	RefreshToken string
	// ExpiresIn is how long the access token is valid.
	ExpiresIn time.Duration

	UserID, TenantID, SessionID uuid.UUID
	Email                       string
}

// RefreshSession exchanges a refresh token for its successor and a new access
// token with the current permission epoch. The session's end does not move.
//
// A token is good for one exchange. Within 30 s the same token answers the same
// successor, never a second one. After that, its use means that somebody has a
// copy: the session ends, and with it every token that came from its sign-in.
//
// It fails with UNAUTHENTICATED, always with the same message, for a token that
// is unknown, expired or used, a session that has ended, and an account or
// membership that is disabled; TENANT_SUSPENDED and TENANT_NOT_READY;
// UNAVAILABLE.
func (a *Auth) RefreshSession(ctx context.Context, in RefreshSessionInput) (*Tokens, error) {
	if len(in.RefreshToken) != refreshLength || !strings.HasPrefix(in.RefreshToken, refreshPrefix) {
		return nil, errRefresh
	}
	r := renewal{token: in.RefreshToken, now: a.clock(), client: clientOf(ctx)}
	r.successor = a.sealer.successor(in.RefreshToken)
	var refused error
	err := a.store.Platform().Tx(ctx, func(q *platformdb.Queries) (err error) {
		refused, err = a.renew(ctx, q, &r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("renewal: %w", err)
	}
	if r.theft != nil { // committed: the session has ended
		a.logger.WarnContext(ctx, "a refresh token was used again; its session has ended", "session_id", r.theft.Subject)
		a.revocations.Publish(ctx, *r.theft)
	}
	if refused != nil {
		return nil, refused
	}
	return &r.tokens, nil
}

// renewal is one exchange on its way.
type renewal struct {
	token, successor string
	now              time.Time
	client

	tokens Tokens
	// theft is the revocation of a session whose token was used again.
	theft *session.Revocation
}

// renew does the exchange in a transaction. refused is the answer to the client
// where the transaction is to be kept all the same.
func (a *Auth) renew(ctx context.Context, q *platformdb.Queries, r *renewal) (refused, err error) {
	row, err := q.LockRefreshToken(ctx, hashToken(r.token))
	if errors.Is(err, db.ErrNotFound) {
		return errRefresh, nil
	}
	if err != nil {
		return nil, err
	}
	if row.RevokedAt != nil || !row.SessionExpiresAt.After(r.now) || !row.ExpiresAt.After(r.now) {
		return errRefresh, nil
	}
	replayed := row.UsedAt != nil
	if replayed && r.now.Sub(*row.UsedAt) > refreshGrace {
		return errRefresh, a.endStolen(ctx, q, r, row)
	}
	if row.IdentityState != "active" || row.MembershipState != "active" {
		return errRefresh, nil
	}
	if err := tenantFault(row.TenantState); err != nil {
		return err, nil
	}
	if replayed {
		// Not there if the master key was changed in between.
		if kept, err := q.HasRefreshToken(ctx, hashToken(r.successor)); err != nil || !kept {
			return errRefresh, err
		}
	} else if err := a.rotate(ctx, q, r, row); err != nil {
		return nil, err
	}
	access, expires, err := a.issuer.Issue(Grant{
		Subject: row.IdentityID, Session: row.SessionID, Tenant: row.TenantID, Epoch: row.Epoch,
		Methods: row.Amr, AuthTime: row.AuthTime, Ends: row.SessionExpiresAt,
	})
	if err != nil {
		return nil, err
	}
	r.tokens = Tokens{
		AccessToken: access, RefreshToken: r.successor, ExpiresIn: expires,
		UserID: row.IdentityID, TenantID: row.TenantID, SessionID: row.SessionID, Email: row.Email,
	}
	return nil, nil
}

func (a *Auth) rotate(ctx context.Context, q *platformdb.Queries, r *renewal, row platformdb.LockRefreshTokenRow) error {
	err := q.RotateRefreshToken(ctx, platformdb.RotateRefreshTokenParams{
		Hash: hashToken(r.token), At: r.now, SuccessorHash: hashToken(r.successor),
		SessionID: row.SessionID, Generation: row.Generation + 1, ExpiresAt: row.ExpiresAt,
	})
	if err != nil {
		return err
	}
	err = session.Emit(ctx, q, session.Change{
		Kind: session.EventRenewed, Session: row.SessionID, User: row.IdentityID, Tenant: row.TenantID, At: r.now,
	})
	if err != nil {
		return err
	}
	return audit.RecordPlatform(ctx, q, &row.TenantID, audit.Event{
		Action: "auth.refresh_session", Target: row.SessionID.String(), Actor: &row.IdentityID, Session: &row.SessionID,
		Details: map[string]any{"generation": row.Generation + 1, "user_agent": r.agent, "ip": r.ip},
	})
}

// endStolen ends the session of a token that was used before: one of two has it
// who should not, and nobody can tell which.
func (a *Auth) endStolen(ctx context.Context, q *platformdb.Queries, r *renewal, row platformdb.LockRefreshTokenRow) error {
	revocation, ended, err := a.revocations.EndSession(ctx, q, session.Ending{
		Session: row.SessionID, User: row.IdentityID, Tenant: row.TenantID, Reason: "refresh_token_reuse",
	})
	if err != nil || !ended {
		return err
	}
	r.theft = &revocation
	return audit.RecordPlatform(ctx, q, &row.TenantID, audit.Event{ // who did it is not known
		Action: "auth.refresh_token_reuse", Target: row.SessionID.String(), Session: &row.SessionID,
		Details: map[string]any{"generation": row.Generation, "user_agent": r.agent, "ip": r.ip},
	})
}

// newRefreshToken returns 256 random bits and the hash under which they are kept.
func newRefreshToken() (token string, hash []byte) { return newSecret(refreshPrefix) }

// newSecret returns a prefix with 256 random bits, and its hash.
func newSecret(prefix string) (secret string, hash []byte) {
	secret = prefix + base64.RawURLEncoding.EncodeToString(randomBytes())
	return secret, hashToken(secret)
}

func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
