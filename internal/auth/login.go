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
	"github.com/tradesage/tradesage/internal/session"
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
}

// LoginResult is a new session and its tokens, or the tenants to choose from.
type LoginResult struct {
	// Tokens are empty where a tenant is to be chosen.
	Tokens
	// Choices is nil unless the account belongs to several tenants and none was named.
	Choices *TenantChoices
}

// Login checks a password and starts a session in one tenant. The session, its
// refresh token, the audit event and what must follow in the tenant are one
// transaction; the tenant's part runs at once, or from the outbox after a crash.
// Who belongs to several tenants and names none gets a ticket for SwitchTenant.
//
// It fails with INVALID_INPUT of input.email, input.password or input.tenant;
// UNAUTHENTICATED for a wrong password, an unknown or disabled account and a
// tenant the account does not belong to, all alike; FORBIDDEN for an account of
// no tenant; TENANT_SUSPENDED and TENANT_NOT_READY; RATE_LIMITED when too many
// sign in at once; UNAVAILABLE.
func (a *Auth) Login(ctx context.Context, in LoginInput) (*LoginResult, error) {
	email, err := normaliseEmail("input.email", in.Email)
	if err != nil {
		return nil, err
	}
	if err := checkPassword("input.password", in.Password); err != nil {
		return nil, err
	}
	slug := ""
	if in.Tenant != nil {
		if slug, err = checkSlug("input.tenant", *in.Tenant); err != nil {
			return nil, err
		}
	}
	attempt, err := a.prove(ctx, email, in)
	if err != nil {
		return nil, err
	}
	chosen, err := a.choose(ctx, attempt, slug)
	if err != nil {
		return nil, err
	}
	if len(chosen) > 1 {
		offered, err := a.offer(ctx, attempt, chosen)
		if err != nil {
			return nil, err
		}
		return &LoginResult{Choices: offered}, nil
	}
	tokens, err := a.signIn(ctx, attempt, chosen[0], nil)
	if err != nil {
		return nil, err
	}
	return &LoginResult{Tokens: *tokens}, nil
}

// prove checks the password of an address and records a failure.
func (a *Auth) prove(ctx context.Context, email string, in LoginInput) (attempt, error) {
	found, err := a.store.Platform().GetLogin(ctx, email)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return attempt{}, fmt.Errorf("sign-in: %w", err)
	}
	hash := ""
	if found.Hash != nil {
		hash = *found.Hash
	}
	right, err := a.passwords.Verify(ctx, in.Password, hash)
	if err != nil {
		return attempt{}, err
	}
	now := a.clock()
	t := attempt{
		email: email, identity: found.ID, credential: hashToken(hash),
		client:  clientOf(ctx),
		methods: []string{"pwd"}, authTime: now, ends: now.Add(a.sessionLifetime), how: "pwd",
	}
	switch {
	case found.ID == uuid.Nil:
		return attempt{}, a.refuse(ctx, t, "unknown_account")
	case !right:
		return attempt{}, a.refuse(ctx, t, "wrong_password")
	case found.State != "active":
		return attempt{}, a.refuse(ctx, t, "account_disabled")
	}
	return t, nil
}

// attempt is a sign-in whose input is checked.
type attempt struct {
	email    string
	identity uuid.UUID // uuid.Nil if the address is unknown
	// credential is the SHA-256 of the password's hash that was right.
	credential []byte
	client
	// methods and authTime tell how and when the identity proved itself, ends when
	// that has to be done again, how is the word for it in the record.
	methods        []string
	authTime, ends time.Time
	how            string
}

// choose returns the tenant to sign in to, the one named or the only one, or
// those there are to choose from.
func (a *Auth) choose(ctx context.Context, t attempt, slug string) ([]platformdb.ListLoginTenantsRow, error) {
	if slug != "" {
		chosen, err := a.loginTenant(ctx, platformdb.GetLoginTenantParams{IdentityID: t.identity, Slug: slug})
		if errors.Is(err, errNotAMember) {
			return nil, a.refuse(ctx, t, "not_a_member")
		}
		return []platformdb.ListLoginTenantsRow{chosen}, err
	}
	choices, err := a.store.Platform().ListLoginTenants(ctx, t.identity)
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	active := 0 // those come first
	for active < len(choices) && choices[active].State == string(db.TenantActive) {
		active++
	}
	switch {
	case active == 0 && len(choices) == 1:
		return nil, tenantFault(choices[0].State)
	case active == 0:
		return nil, errNoTenant
	}
	return choices[:active], nil
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

// signIn starts a session in a tenant. also, if there is one, runs in the same
// transaction after the session's start.
func (a *Auth) signIn(
	ctx context.Context, t attempt, chosen platformdb.ListLoginTenantsRow, also func(*platformdb.Queries) error,
) (*Tokens, error) {
	now := a.clock()
	sessionID, err := newID(now)
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	// Signed before the transaction: a session without a token helps nobody.
	access, lifetime, err := a.issuer.Issue(Grant{
		Subject: t.identity, Session: sessionID, Tenant: chosen.TenantID, Epoch: chosen.Epoch,
		Methods: t.methods, AuthTime: t.authTime, Ends: t.ends,
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
	err = a.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		n, err := q.StartSession(ctx, platformdb.StartSessionParams{
			ID: sessionID, IdentityID: t.identity, TenantID: chosen.TenantID, Credential: t.credential,
			DeviceID: used.ID, UserAgent: t.agent, Ip: t.ip, Amr: t.methods, AuthTime: t.authTime,
			StartedAt: now, ExpiresAt: t.ends, RefreshHash: refreshHash, RefreshExpiresAt: t.ends,
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
		if also != nil {
			if err := also(q); err != nil {
				return err
			}
		}
		err = q.InsertOutbox(ctx, platformdb.InsertOutboxParams{TenantID: &chosen.TenantID, Kind: KindSessionStarted, Body: body})
		if err != nil {
			return err
		}
		return session.Emit(ctx, q, session.Change{
			Kind: session.EventStarted, Session: sessionID, User: t.identity, Tenant: chosen.TenantID, At: now,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	a.runTenantStep(ctx, chosen.TenantID, body)
	return &Tokens{
		AccessToken: access, RefreshToken: refresh, ExpiresIn: lifetime,
		UserID: t.identity, TenantID: chosen.TenantID, SessionID: sessionID, Email: t.email,
	}, nil
}
