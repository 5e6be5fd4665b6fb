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
	"github.com/tradesage/tradesage/internal/page"
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

// InvitationConnection is a page of invitations; its name and InvitationEdge's are
// the API's, which binds types by name.
type InvitationConnection = page.Connection[*Invitation]

// InvitationEdge is one invitation of a page.
type InvitationEdge = page.Edge[*Invitation]

// Invitations returns a page of the tenant's open invitations, the newest first. The
// caller needs users:invite.
//
// UNAUTHENTICATED without a caller; FORBIDDEN; INVALID_INPUT of first or after.
func (u *Users) Invitations(ctx context.Context, args page.Args) (*InvitationConnection, error) {
	caller, err := u.permissions.Require(ctx, tenant.UsersInvite)
	if err != nil {
		return nil, err
	}
	limit, after, err := args.ByID()
	if err != nil {
		return nil, err
	}
	rows, err := u.store.Tenant(caller.Tenant).ListOpenInvitations(ctx, tenantdb.ListOpenInvitationsParams{
		At: u.now(), After: after, PageSize: int32(limit) + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("invitations: %w", err)
	}
	open := make([]*Invitation, len(rows))
	for i, row := range rows {
		open[i] = &Invitation{
			ID: row.ID, Email: row.Email, ExpiresAt: row.ExpiresAt, InvitedByID: row.InvitedBy, tenant: caller.Tenant.ID(),
			Role: roleFromRow(row.Role),
		}
	}
	return page.New(open, limit, args, func(i *Invitation) string { return page.IDCursor(i.ID) }), nil
}

// WithdrawInvitationInput is an open invitation of the caller's tenant.
type WithdrawInvitationInput struct{ InvitationID uuid.UUID }

// WithdrawInvitation ends an open invitation, so that its code is worth nothing, and
// records user.uninvite. The caller needs users:invite and every permission of the
// invitation's role.
//
// UNAUTHENTICATED; FORBIDDEN; NOT_FOUND for one that was
// accepted, withdrawn or has expired, and for one of another tenant.
func (u *Users) WithdrawInvitation(ctx context.Context, in WithdrawInvitationInput) (*Invitation, error) {
	var withdrawn *Invitation
	err := u.change(ctx, tenant.UsersInvite, func(c change) error {
		row, err := c.q.WithdrawInvitation(ctx, in.InvitationID, u.now())
		if errors.Is(err, db.ErrNotFound) {
			return fault.NotFound("the tenant has no open invitation with this id")
		}
		if err != nil {
			return err
		}
		role, err := c.role("input.invitationId", row.RoleKey)
		if err != nil {
			return err
		}
		if err := c.mayGive(role.Permissions); err != nil {
			return err
		}
		withdrawn = &Invitation{
			ID: row.ID, Email: row.Email, Role: roleFromRow(role), ExpiresAt: row.ExpiresAt,
			InvitedByID: row.InvitedBy, tenant: c.caller.Tenant.ID(),
		}
		return audit.RecordTenant(ctx, c.q, audit.Event{
			Action: "user.uninvite", Target: row.ID.String(), Details: map[string]any{"email": row.Email, "role": row.RoleKey},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("withdraw an invitation: %w", err)
	}
	return withdrawn, nil
}

// InviteUser invites somebody to the caller's tenant by mail and records
// user.invite. An open invitation of the same address is withdrawn. The caller
// needs users:invite and every permission of the role, and of that of the
// invitation that is withdrawn.
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
		withdrawn, err := c.q.WithdrawInvitations(ctx, email)
		if err != nil {
			return err
		}
		for _, key := range withdrawn {
			former, err := c.role("input.email", key)
			if err != nil {
				return err
			}
			if err := c.mayGive(former.Permissions); err != nil {
				return err
			}
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
