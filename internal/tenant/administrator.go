package tenant

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
	"github.com/tradesage/tradesage/internal/input"
)

// platformName is what people call the platform's own tenant.
const platformName = "TradeSage"

// AdministratorInvitation is an invitation to run the platform.
type AdministratorInvitation struct {
	Email string
	// Link carries the code: whoever has it may accept.
	Link      string
	ExpiresAt time.Time
}

// InviteAdministrator invites an address to the platform's own tenant as a platform
// administrator, by mail, and records user.invite without an actor. It makes that
// tenant where there is none. An open invitation of the same address is withdrawn.
//
// It asks nobody for a permission: it is for operators, who hold the installation's
// secrets, and not for requests.
//
// INVALID_INPUT of email; CONFLICT of email for who is a user of that tenant
// already; UNAVAILABLE if there is no room for the tenant.
func (t *Tenants) InviteAdministrator(ctx context.Context, email string) (*AdministratorInvitation, error) {
	email, err := input.Email("email", email)
	if err != nil {
		return nil, err
	}
	platform, err := t.EnsureTenant(ctx, PlatformSlug, platformName)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	made := tenantdb.UpsertInvitationParams{
		ID: id, Email: email, RoleKey: RolePlatformAdmin, CodeHash: t.invitations.CodeHash(platform.ID(), id),
		ExpiresAt: t.now().Add(InvitationLife).UTC().Truncate(time.Microsecond),
	}
	err = t.store.Tenant(platform).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := mayAdminister(ctx, q, email); err != nil {
			return err
		}
		return inviteAdministrator(ctx, q, made)
	})
	if err != nil {
		return nil, fmt.Errorf("invite %s to the platform: %w", email, err)
	}
	return &AdministratorInvitation{Email: email, Link: t.invitations.Link(platform.ID(), id), ExpiresAt: made.ExpiresAt}, nil
}

// mayAdminister answers CONFLICT for the address of a user.
func mayAdminister(ctx context.Context, q *tenantdb.Queries, email string) error {
	switch existing, err := q.GetUserByEmail(ctx, email); {
	case errors.Is(err, db.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("user by address: %w", err)
	case existing.State == "active":
		return fault.Conflict("email", "this person is a user of the platform's tenant already; give them the role "+RolePlatformAdmin+" with assignRole")
	default:
		return fault.Conflict("email", "this person is a user of the platform's tenant who was deactivated")
	}
}

func inviteAdministrator(ctx context.Context, q *tenantdb.Queries, made tenantdb.UpsertInvitationParams) error {
	if _, err := q.WithdrawInvitations(ctx, made.Email); err != nil {
		return err
	}
	if err := q.UpsertInvitation(ctx, made); err != nil {
		return err
	}
	body, err := InvitationEvent(made.ID)
	if err != nil {
		return err
	}
	if err := q.Emit(ctx, KindInvitationMail, body); err != nil {
		return err
	}
	return audit.RecordTenant(ctx, q, audit.Event{
		Action: "user.invite", Target: made.ID.String(),
		Details: map[string]any{"email": made.Email, "role": RolePlatformAdmin, "by": "operator"},
	})
}
