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
	"github.com/tradesage/tradesage/internal/session"
)

const (
	ticketPrefix = "tst_"
	ticketLength = len(ticketPrefix) + 43
	// ticketLife is how long one may take to choose a tenant.
	ticketLife = 5 * time.Minute
	// maxTenantName bounds what names a tenant, slug or id.
	maxTenantName = 63
)

var (
	errTicket      = fault.Unauthenticated("the ticket is not valid or was used; sign in again")
	errNotAMember  = fault.NotFound("no such tenant among yours")
	errSameTenant  = fault.InvalidInput("input.tenant", "this session is in that tenant already")
	errSwitchEnded = fault.Unauthenticated("this sign-in has ended; sign in again")
)

// TenantChoices says where somebody whose password was right may sign in.
type TenantChoices struct {
	// Ticket is good for one SwitchTenant.
	Ticket    string
	ExpiresIn time.Duration
	// Tenants are active, in the order of their slugs, at most 100; others can be
	// named all the same.
	Tenants []*TenantChoice
}

// TenantChoice is one of somebody's tenants.
type TenantChoice struct {
	ID   uuid.UUID
	Slug string
	Name string
}

// SwitchTenantInput names another tenant to act in.
type SwitchTenantInput struct {
	// Tenant is its slug or id.
	Tenant string
	// Ticket is from Login; nil for who is signed in.
	Ticket *string
}

// offer makes a ticket for the choice of a tenant.
func (a *Auth) offer(ctx context.Context, t attempt, active []platformdb.ListLoginTenantsRow) (*TenantChoices, error) {
	ticket, hash := newSecret(ticketPrefix)
	err := a.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		n, err := q.CreateLoginTicket(ctx, platformdb.CreateLoginTicketParams{
			Hash: hash, IdentityID: t.identity, Credential: t.credential, Amr: t.methods, AuthTime: t.authTime,
			ExpiresAt: t.authTime.Add(ticketLife),
		})
		if err != nil {
			return err
		}
		if n == 0 { // something changed since the password was checked
			return errWrongPassword
		}
		return audit.RecordPlatform(ctx, q, nil, audit.Event{
			Action: "auth.login_ticket", Target: t.identity.String(), Actor: &t.identity,
			Details: map[string]any{"tenants": len(active), "user_agent": t.agent, "ip": t.ip},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	offered := &TenantChoices{Ticket: ticket, ExpiresIn: ticketLife}
	for _, row := range active {
		offered.Tenants = append(offered.Tenants, choiceOf(row))
	}
	return offered, nil
}

func choiceOf(row platformdb.ListLoginTenantsRow) *TenantChoice {
	choice := &TenantChoice{ID: row.TenantID}
	if row.Slug != nil {
		choice.Slug = *row.Slug
	}
	if row.Name != nil {
		choice.Name = *row.Name
	}
	return choice
}

// SwitchTenant starts a session in another of one's tenants: with a ticket from
// Login, or from the caller's session, which ends in the same transaction and
// hands on how and when the caller signed in and when that has to be done again.
// Without the end of the old one, a copied access token could be made into any
// number of sessions.
//
// It fails with INVALID_INPUT of input.tenant; UNAUTHENTICATED without a caller
// and a ticket, for a ticket that is unknown, used or older than 5 minutes, and
// for a session that has ended; NOT_FOUND for a tenant that does not exist or
// that one is no member of, alike; TENANT_SUSPENDED and TENANT_NOT_READY;
// UNAVAILABLE. A call that fails leaves ticket and session as they are.
func (a *Auth) SwitchTenant(ctx context.Context, in SwitchTenantInput) (*Tokens, error) {
	if in.Tenant == "" || len(in.Tenant) > maxTenantName {
		return nil, fault.InvalidInput("input.tenant", "must be the slug or the id of one of your tenants")
	}
	if in.Ticket != nil {
		return a.redeem(ctx, in)
	}
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	proof, err := a.store.Platform().GetSessionProof(ctx, platformdb.GetSessionProofParams{
		ID: caller.Session, IdentityID: caller.Subject, At: a.clock(),
	})
	if errors.Is(err, db.ErrNotFound) {
		return nil, errSwitchEnded
	}
	if err != nil {
		return nil, fmt.Errorf("switch of tenant: %w", err)
	}
	t := attempt{
		email: proof.Email, identity: caller.Subject, credential: hashToken(proof.Hash),
		client:  clientOf(ctx),
		methods: proof.Amr, authTime: proof.AuthTime, ends: proof.ExpiresAt, how: "switch",
	}
	chosen, err := a.membership(ctx, t.identity, in.Tenant)
	if err != nil {
		return nil, err
	}
	if chosen.TenantID == caller.Tenant.ID() {
		return nil, errSameTenant
	}
	var revocation session.Revocation
	// The session starts before the old one ends: everybody locks the credential
	// first and sessions after it.
	tokens, err := a.signIn(ctx, t, chosen, func(q *platformdb.Queries) error {
		var ended bool
		old := session.Ending{Session: caller.Session, User: caller.Subject, Tenant: caller.Tenant.ID(), Reason: "switch_tenant"}
		if revocation, ended, err = a.revocations.EndSession(ctx, q, old); err != nil {
			return err
		}
		if !ended {
			return errSwitchEnded
		}
		return audit.RecordPlatform(ctx, q, &old.Tenant, audit.Event{Action: "auth.switch_tenant", Target: old.Session.String()})
	})
	if errors.Is(err, errWrongPassword) { // another password by now
		return nil, errSwitchEnded
	}
	if err != nil {
		return nil, err
	}
	a.revocations.Publish(ctx, revocation)
	return tokens, nil
}

// redeem is SwitchTenant with a ticket.
func (a *Auth) redeem(ctx context.Context, in SwitchTenantInput) (*Tokens, error) {
	if len(*in.Ticket) != ticketLength {
		return nil, errTicket
	}
	hash := hashToken(*in.Ticket)
	ticket, err := a.store.Platform().GetLoginTicket(ctx, hash, a.clock())
	if errors.Is(err, db.ErrNotFound) {
		return nil, errTicket
	}
	if err != nil {
		return nil, fmt.Errorf("ticket: %w", err)
	}
	t := attempt{
		email: ticket.Email, identity: ticket.IdentityID, credential: ticket.Credential,
		client:  clientOf(ctx),
		methods: ticket.Amr, authTime: ticket.AuthTime, ends: ticket.AuthTime.Add(a.sessionLifetime), how: "pwd",
	}
	chosen, err := a.membership(ctx, t.identity, in.Tenant)
	if err != nil {
		return nil, err
	}
	tokens, err := a.signIn(ctx, t, chosen, func(q *platformdb.Queries) error {
		taken, err := q.TakeLoginTicket(ctx, hash, a.clock())
		if err == nil && taken == 0 {
			return errTicket
		}
		return err
	})
	if errors.Is(err, errWrongPassword) { // another password by now
		return nil, errTicket
	}
	return tokens, err
}

// membership finds the tenant of this slug or id among the identity's. An id
// comes before a slug that looks like one. NOT_FOUND if it is none of theirs,
// else what is wrong with the tenant.
func (a *Auth) membership(ctx context.Context, of uuid.UUID, name string) (platformdb.ListLoginTenantsRow, error) {
	if !slugPattern.MatchString(name) { // as do ids
		return platformdb.ListLoginTenantsRow{}, errNotAMember
	}
	wanted := platformdb.GetLoginTenantParams{IdentityID: of, Slug: name}
	if id, err := uuid.Parse(name); err == nil && id.String() == name {
		wanted.ID = &id
	}
	return a.loginTenant(ctx, wanted)
}

func (a *Auth) loginTenant(ctx context.Context, wanted platformdb.GetLoginTenantParams) (platformdb.ListLoginTenantsRow, error) {
	row, err := a.store.Platform().GetLoginTenant(ctx, wanted)
	if errors.Is(err, db.ErrNotFound) {
		return platformdb.ListLoginTenantsRow{}, errNotAMember
	}
	if err != nil {
		return platformdb.ListLoginTenantsRow{}, fmt.Errorf("tenant of %s: %w", wanted.IdentityID, err)
	}
	return platformdb.ListLoginTenantsRow(row), tenantFault(row.State)
}
