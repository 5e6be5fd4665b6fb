package user

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/input"
	"github.com/tradesage/tradesage/internal/tenant"
)

// maxInvitations is how many invitations of a tenant may be open at a time.
const maxInvitations = 1000

// InviteUserInput is somebody to invite. Role is a role's key.
type InviteUserInput struct{ Email, Role string }

// Invitation is an invitation that was sent.
type Invitation struct {
	ID    uuid.UUID
	Email string
	Role  *Role
	// ExpiresAt is when it can no longer be accepted.
	ExpiresAt time.Time
	// InvitedByID is nil for what the platform sent.
	InvitedByID *uuid.UUID

	tenant uuid.UUID
}

// Tenant returns the tenant that the invitation is to; it asks nobody.
func (i *Invitation) Tenant() *Tenant { return &Tenant{ID: i.tenant} }

// InviteUser invites somebody to the caller's tenant by mail and records
// user.invite. An open invitation of the same address is withdrawn. The caller
// needs users:invite and every permission of the role.
//
// UNAUTHENTICATED; FORBIDDEN; INVALID_INPUT that names the field; CONFLICT of
// input.email for who is a user already; QUOTA_EXCEEDED beyond 1,000 open
// invitations.
func (u *Users) InviteUser(ctx context.Context, in InviteUserInput) (*Invitation, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	email, err := input.Email("input.email", in.Email)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	made := &Invitation{
		ID: id, Email: email, ExpiresAt: u.now().Add(tenant.InvitationLife).UTC().Truncate(time.Microsecond),
		InvitedByID: &caller.Subject, tenant: caller.Tenant.ID(),
	}
	err = u.change(ctx, tenant.UsersInvite, func(c change) error {
		role, err := c.role("input.role", in.Role)
		if err != nil {
			return err
		}
		if err := c.mayGive(role.Permissions); err != nil {
			return err
		}
		if err := c.mayInvite(ctx, u.now(), email); err != nil {
			return err
		}
		made.Role = roleFromRow(role)
		if _, err := c.q.WithdrawInvitations(ctx, email); err != nil {
			return err
		}
		if err := c.q.UpsertInvitation(ctx, tenantdb.UpsertInvitationParams{
			ID: id, Email: email, RoleKey: role.Key, CodeHash: u.invitations.CodeHash(c.caller.Tenant.ID(), id),
			InvitedBy: &c.caller.Subject, ExpiresAt: made.ExpiresAt,
		}); err != nil {
			return err
		}
		body, err := tenant.InvitationEvent(id)
		if err != nil {
			return err
		}
		if err := c.q.Emit(ctx, tenant.KindInvitationMail, body); err != nil {
			return err
		}
		return audit.RecordTenant(ctx, c.q, audit.Event{
			Action: "user.invite", Target: id.String(), Details: map[string]any{"email": email, "role": role.Key},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("invite: %w", err)
	}
	return made, nil
}

// mayInvite answers CONFLICT for the address of a user, and QUOTA_EXCEEDED.
func (c change) mayInvite(ctx context.Context, now time.Time, email string) error {
	switch existing, err := c.q.GetUserByEmail(ctx, email); {
	case errors.Is(err, db.ErrNotFound):
	case err != nil:
		return fmt.Errorf("user by address: %w", err)
	case existing.State == "active":
		return fault.Conflict("input.email", "this person is a user of the tenant already")
	default:
		return fault.Conflict("input.email", "this person is a user of the tenant who was deactivated")
	}
	open, err := c.q.CountOpenInvitations(ctx, now)
	if err != nil {
		return fmt.Errorf("open invitations: %w", err)
	}
	if open >= maxInvitations {
		return fault.New(fault.CodeQuotaExceeded, fmt.Sprintf("a tenant has at most %d open invitations", maxInvitations))
	}
	return nil
}
