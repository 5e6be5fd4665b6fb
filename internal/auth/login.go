package auth

import (
	"context"
	"crypto/rand"
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
)

// refreshPrefix tells a refresh token from anything else, as to scanners that
// look for leaked ones.
const refreshPrefix = "tsr_"

var (
	errWrongPassword = fault.Unauthenticated("e-mail or password is wrong")
	errNoTenant      = fault.Forbidden("this account belongs to no tenant")
)

// LoginInput is an attempt to sign in.
type LoginInput struct {
	Email    string
	Password string
	// Tenant is the slug of the tenant to sign in to; needed by who belongs to
	// several.
	Tenant *string
	// UserAgent and IP are the client's, as far as known; they are cleaned here.
	UserAgent string
	IP        string
}

// LoginResult is a new session and its tokens.
type LoginResult struct {
	AccessToken string
	// RefreshToken is shown this once: only its hash is kept.
	RefreshToken string
	// ExpiresIn is how long the access token is valid.
	ExpiresIn time.Duration

	UserID, TenantID, SessionID uuid.UUID
	Email                       string
}

// Login checks a password and starts a session in one tenant. The session, its
// refresh token, the audit event and what must follow in the tenant are one
// transaction; the tenant's part runs at once, or from the outbox after a crash.
//
// It fails with INVALID_INPUT of input.email, input.password or input.tenant (a
// tenant has to be named by who belongs to several); UNAUTHENTICATED for a wrong
// password, an unknown or disabled account and a tenant the account does not
// belong to, all alike; FORBIDDEN for an account of no tenant; TENANT_SUSPENDED
// and TENANT_NOT_READY; RATE_LIMITED when too many sign in at once; UNAVAILABLE.
func (a *Auth) Login(ctx context.Context, in LoginInput) (*LoginResult, error) {
	email, err := normaliseEmail("input.email", in.Email)
	if err != nil {
		return nil, err
	}
	if in.Password == "" || len(in.Password) > MaxPassword {
		return nil, fault.InvalidInput("input.password", fmt.Sprintf("must have between 1 and %d characters", MaxPassword))
	}
	slug := ""
	if in.Tenant != nil {
		if slug, err = checkSlug("input.tenant", *in.Tenant); err != nil {
			return nil, err
		}
	}
	found, err := a.store.Platform().GetLogin(ctx, email)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	hash := ""
	if found.Hash != nil {
		hash = *found.Hash
	}
	right, err := a.passwords.Verify(ctx, in.Password, hash)
	if err != nil {
		return nil, err
	}
	attempt := attempt{email: email, identity: found.ID, hash: hash, agent: cleanUserAgent(in.UserAgent), ip: cleanIP(in.IP)}
	switch {
	case found.ID == uuid.Nil:
		return nil, a.refuse(ctx, attempt, "unknown_account")
	case !right:
		return nil, a.refuse(ctx, attempt, "wrong_password")
	case found.State != "active":
		return nil, a.refuse(ctx, attempt, "account_disabled")
	}
	choices, err := a.store.Platform().ListLoginTenants(ctx, found.ID)
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	chosen, err := choose(choices, slug)
	if errors.Is(err, errWrongPassword) {
		return nil, a.refuse(ctx, attempt, "not_a_member")
	}
	if err != nil {
		return nil, err
	}
	return a.signIn(ctx, attempt, chosen)
}

// attempt is a sign-in whose input is checked.
type attempt struct {
	email    string
	identity uuid.UUID // uuid.Nil if the address is unknown
	hash     string
	agent    string
	ip       string
}

// choose returns the tenant to sign in to: the one named, or the only one.
func choose(choices []platformdb.ListLoginTenantsRow, slug string) (platformdb.ListLoginTenantsRow, error) {
	var none platformdb.ListLoginTenantsRow
	var active []platformdb.ListLoginTenantsRow
	for _, choice := range choices {
		if slug != "" && choice.Slug != nil && *choice.Slug == slug {
			return choice, tenantFault(choice.State)
		}
		if choice.State == string(db.TenantActive) {
			active = append(active, choice)
		}
	}
	switch {
	case slug != "":
		return none, errWrongPassword
	case len(active) == 1:
		return active[0], nil
	case len(active) == 0 && len(choices) == 1:
		return none, tenantFault(choices[0].State)
	case len(active) == 0:
		return none, errNoTenant
	}
	slugs := make([]string, len(active))
	for i, choice := range active {
		slugs[i] = *choice.Slug
	}
	return none, fault.InvalidInput("input.tenant", "name one of your tenants: "+strings.Join(slugs, ", "))
}

func tenantFault(state string) error {
	switch db.TenantState(state) {
	case db.TenantActive:
		return nil
	case db.TenantSuspended:
		return errTenantSuspended
	case db.TenantProvisioning:
		return errTenantNotReady
	}
	return errNoTenant
}

// refuse records a failed sign-in and returns the one answer to all of them.
func (a *Auth) refuse(ctx context.Context, t attempt, reason string) error {
	event := audit.Event{
		Action: "auth.login_failed", Target: t.identity.String(),
		Details: map[string]string{"reason": reason, "user_agent": t.agent, "ip": t.ip},
	}
	if t.identity == uuid.Nil {
		event.Target = "email:" + a.sealer.pseudonym(t.email)
	}
	if err := audit.RecordPlatform(ctx, a.store.Platform().Queries, nil, event); err != nil {
		return fmt.Errorf("sign-in: %w", err)
	}
	return errWrongPassword
}

func (a *Auth) signIn(ctx context.Context, t attempt, chosen platformdb.ListLoginTenantsRow) (*LoginResult, error) {
	now := a.clock()
	sessionID, err := newID(now)
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	methods := []string{"pwd"}
	// Signed before the transaction: a session without a token helps nobody.
	access, err := a.issuer.Issue(Grant{
		Subject: t.identity, Session: sessionID, Tenant: chosen.TenantID, Epoch: chosen.Epoch, Methods: methods, AuthTime: now,
	})
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	refresh, refreshHash := newRefreshToken()
	used := deviceOf(chosen.TenantID, t.identity, t.agent)
	started, err := newStartedSession(ctx, t, used, sessionID, now)
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	body, err := started.encode()
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	ends := now.Add(a.sessionLifetime)
	err = a.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		n, err := q.StartSession(ctx, platformdb.StartSessionParams{
			ID: sessionID, IdentityID: t.identity, TenantID: chosen.TenantID, VerifiedHash: t.hash,
			DeviceID: used.ID, UserAgent: t.agent, Ip: t.ip, Amr: methods, StartedAt: now, ExpiresAt: ends,
			RefreshHash: refreshHash, RefreshExpiresAt: ends,
		})
		if err != nil {
			return err
		}
		if n == 0 { // something changed since the password was checked
			return errWrongPassword
		}
		if err := audit.RecordPlatform(ctx, q, &chosen.TenantID, started.event()); err != nil {
			return err
		}
		return q.InsertOutbox(ctx, platformdb.InsertOutboxParams{TenantID: &chosen.TenantID, Kind: KindSessionStarted, Body: body})
	})
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	a.runTenantStep(ctx, chosen.TenantID, body)
	return &LoginResult{
		AccessToken: access, RefreshToken: refresh, ExpiresIn: a.issuer.Lifetime(),
		UserID: t.identity, TenantID: chosen.TenantID, SessionID: sessionID, Email: t.email,
	}, nil
}

// newRefreshToken returns 256 random bits and the hash under which they are kept.
func newRefreshToken() (token string, hash []byte) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	token = refreshPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	sum := sha256.Sum256([]byte(token))
	return token, sum[:]
}
