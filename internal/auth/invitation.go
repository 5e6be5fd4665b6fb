package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/input"
	"github.com/tradesage/tradesage/internal/tenant"
)

// KindInvitationAccepted is the kind of the outbox rows that
// HandleInvitationAccepted takes.
const KindInvitationAccepted = "invitation.accepted"

var (
	errInvitation = fault.NotFound("this code is of no open invitation: it is wrong, was used or has expired; copy the whole link from the mail")
	errProveFirst = fault.Unauthenticated("this address has an account: sign in as it, or give its password")
	errNotBack    = fault.Forbidden("this account was deactivated in the tenant")
)

// AcceptInvitationInput is the code of an invitation and who takes it.
type AcceptInvitationInput struct {
	Code string
	// Password is the account's, or for an address without one the one to choose;
	// nil for who is signed in as the address.
	Password *string
	// DisplayName is what others are to see; nil for none.
	DisplayName *string
}

// acceptance is what the tenant has to note of an accepted invitation.
type acceptance struct {
	Tenant      uuid.UUID `json:"tenant"`
	Invitation  uuid.UUID `json:"invitation"`
	Identity    uuid.UUID `json:"identity"`
	DisplayName string    `json:"display_name"`
	At          time.Time `json:"at"`
}

// AcceptInvitation makes the invited person a user of the tenant with the
// invitation's role. The code proves the address: where there is no account of
// it, one is made with the given password. Where there is one, its owner proves
// to be it, by the caller's session or the password.
//
// The account and an event of the outbox are one transaction; the tenant's part
// and the membership follow at once, or from the outbox after a crash. Until both
// are done nobody can sign in there, and the same call may be made again.
//
// It fails with INVALID_INPUT of input.password or input.displayName; NOT_FOUND
// for a code that is wrong, used, withdrawn or too old, alike;
// UNAUTHENTICATED for a wrong or missing password of an account; FORBIDDEN for
// who was deactivated in the tenant; TENANT_SUSPENDED, TENANT_NOT_READY;
// RATE_LIMITED; UNAVAILABLE.
func (a *Auth) AcceptInvitation(ctx context.Context, in AcceptInvitationInput) (*TenantChoice, error) {
	displayName := ""
	if in.DisplayName != nil {
		var err error
		if displayName, err = input.Line("input.displayName", *in.DisplayName, 0, 100); err != nil {
			return nil, err
		}
	}
	place, invitation, err := a.invitation(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	who, err := a.invited(ctx, invitation.Email, in)
	if err != nil {
		return nil, err
	}
	accepted := acceptance{
		Tenant: place.ID(), Invitation: invitation.ID, Identity: who.identity, DisplayName: displayName, At: a.clock(),
	}
	if err := a.recordAcceptance(ctx, &accepted, who); err != nil {
		return nil, fmt.Errorf("invitation %s: %w", invitation.ID, err)
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), foundWithin)
	defer cancel()
	if err := a.accept(within, accepted); err != nil {
		return nil, fmt.Errorf("invitation %s: %w", invitation.ID, err)
	}
	chosen, err := a.membership(ctx, accepted.Identity, place.ID().String())
	if errors.Is(err, errNotAMember) {
		return nil, errNotBack
	}
	if err != nil {
		return nil, err
	}
	return choiceOf(chosen), nil
}

// invitation finds what a code is for. What is wrong with the tenant is told to
// holders of a good code only.
func (a *Auth) invitation(ctx context.Context, code string) (db.Tenant, tenantdb.GetInvitationByCodeRow, error) {
	var none tenantdb.GetInvitationByCodeRow
	id, hash, ok := tenant.ParseInvitationCode(code)
	if !ok {
		return db.Tenant{}, none, errInvitation
	}
	place, state, err := a.store.Resolve(ctx, id)
	if errors.Is(err, db.ErrNotFound) {
		return db.Tenant{}, none, errInvitation
	}
	if err != nil {
		return db.Tenant{}, none, fmt.Errorf("invitation: %w", err)
	}
	row, err := a.store.Tenant(place).GetInvitationByCode(ctx, hash)
	if errors.Is(err, db.ErrNotFound) {
		return db.Tenant{}, none, errInvitation
	}
	if err != nil {
		return db.Tenant{}, none, fmt.Errorf("invitation: %w", err)
	}
	if row.AcceptedAt != nil || !row.ExpiresAt.After(a.clock()) {
		return db.Tenant{}, none, errInvitation
	}
	return place, row, tenantFault(string(state))
}

// invitee is who accepts: an account that is proven, or a new one.
type invitee struct {
	identity    uuid.UUID // uuid.Nil for a new one
	email, hash string    // of a new one
	client
}

// invited proves who accepts the invitation of an address.
func (a *Auth) invited(ctx context.Context, email string, in AcceptInvitationInput) (invitee, error) {
	who := invitee{email: email, client: clientOf(ctx)}
	account, err := a.store.Platform().GetLogin(ctx, email)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return who, fmt.Errorf("invitation: %w", err)
	}
	if account.Hash == nil { // none, or one that nobody can sign in to
		if account.State == "disabled" {
			return who, errProveFirst
		}
		return who, a.choosePassword(ctx, &who, in.Password)
	}
	if caller, err := identity.FromContext(ctx); err == nil && caller.Subject == account.ID && account.State == "active" {
		who.identity = account.ID
		return who, nil
	}
	if in.Password == nil {
		return who, errProveFirst
	}
	if err := checkPassword("input.password", *in.Password); err != nil {
		return who, err
	}
	proven, err := a.prove(ctx, email, LoginInput{Password: *in.Password})
	who.identity = proven.identity
	return who, err
}

func (a *Auth) choosePassword(ctx context.Context, who *invitee, password *string) (err error) {
	if password == nil {
		return fault.InvalidInput("input.password", "must be chosen: this address has no account yet")
	}
	if err := checkNewPassword("input.password", *password); err != nil {
		return err
	}
	who.hash, err = a.passwords.Hash(ctx, *password)
	return err
}

// recordAcceptance makes the account where there is none, and has the outbox do
// the rest.
func (a *Auth) recordAcceptance(ctx context.Context, accepted *acceptance, who invitee) error {
	return a.store.Platform().Tx(ctx, func(q *platformdb.Queries) (err error) {
		if who.identity == uuid.Nil {
			if accepted.Identity, err = a.makeIdentity(ctx, q, who.email, who.hash); err != nil {
				return err
			}
			if accepted.Identity == uuid.Nil { // made a moment ago
				return errProveFirst
			}
		}
		body, err := json.Marshal(accepted)
		if err != nil {
			return err
		}
		if err := audit.RecordPlatform(ctx, q, &accepted.Tenant, audit.Event{
			Action: "auth.accept_invitation", Target: accepted.Invitation.String(), Actor: &accepted.Identity,
			Details: who.details(),
		}); err != nil {
			return err
		}
		return q.InsertOutbox(ctx, platformdb.InsertOutboxParams{Kind: KindInvitationAccepted, Body: body})
	})
}

// HandleInvitationAccepted finishes an accepted invitation from the body of its
// outbox event. It may run any number of times for the same body.
func (a *Auth) HandleInvitationAccepted(ctx context.Context, body json.RawMessage) error {
	var accepted acceptance
	if err := json.Unmarshal(body, &accepted); err != nil {
		return fmt.Errorf("%s: %w", KindInvitationAccepted, err)
	}
	err := a.accept(ctx, accepted)
	if errors.Is(err, errInvitation) {
		return nil // withdrawn before it was noted
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", KindInvitationAccepted, accepted.Invitation, err)
	}
	return nil
}

// accept makes the user in the tenant, once, and then opens the tenant to it.
// NOT_FOUND if the invitation is not there any more.
func (a *Auth) accept(ctx context.Context, accepted acceptance) error {
	place, _, err := a.store.Resolve(ctx, accepted.Tenant)
	if err != nil {
		return err
	}
	err = a.store.Tenant(place).Tx(ctx, func(q *tenantdb.Queries) error {
		row, err := q.LockInvitation(ctx, accepted.Invitation)
		if errors.Is(err, db.ErrNotFound) {
			return errInvitation
		}
		if err != nil || row.AcceptedAt != nil {
			return err // a run before this one committed, with its event
		}
		if err := q.AcceptInvitation(ctx, &accepted.At, accepted.Invitation); err != nil {
			return err
		}
		if _, err := q.UpsertUser(ctx, tenantdb.UpsertUserParams{
			ID: accepted.Identity, Email: row.Email, DisplayName: accepted.DisplayName,
		}); err != nil {
			return err
		}
		if _, err := q.AssignRole(ctx, accepted.Identity, row.RoleKey); err != nil {
			return fmt.Errorf("role %s: %w", row.RoleKey, err)
		}
		return audit.RecordTenant(ctx, q, audit.Event{
			Action: "user.join", Target: accepted.Identity.String(), Actor: &accepted.Identity,
			Details: map[string]any{"role": row.RoleKey, "invitation": accepted.Invitation},
		})
	})
	if err != nil {
		return err
	}
	return a.store.Platform().AddMembership(ctx, accepted.Identity, accepted.Tenant)
}
