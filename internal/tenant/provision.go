package tenant

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/audit"
)

// KindProvision is the outbox kind that ProvisionStep handles.
const KindProvision = "tenant.provision"

// provisionWithin bounds the first attempt at the tenant's own part.
const provisionWithin = 5 * time.Second

// provisioning is the body of KindProvision: all that the step needs, so that a
// second run does the same as the first.
type provisioning struct {
	Tenant uuid.UUID        `json:"tenant"`
	Owner  *ownerInvitation `json:"owner,omitempty"`
	// Founder is set where the owner needs no invitation.
	Founder *founder `json:"founder,omitempty"`
	// Follower is the tenant in which the change of state is announced too: the
	// platform's own, where an administrator made this one.
	Follower *uuid.UUID `json:"follower,omitempty"`
	// Platform is set for the platform's own tenant, which has more roles.
	Platform bool `json:"platform,omitempty"`
}

type ownerInvitation struct {
	ID        uuid.UUID `json:"id"`
	Email     string    `json:"email"`
	InvitedBy uuid.UUID `json:"invitedBy"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// ProvisionStep finishes the claimed tenant whose outbox event has the body. It
// may run any number of times, at once too: the roles, the invitation, the audit
// event and the mail happen once. A tenant can emit events of any kind, but for
// itself only: a body that names another tenant is refused.
func (t *Tenants) ProvisionStep(ctx context.Context, tenant uuid.UUID, body json.RawMessage) error {
	var p provisioning
	if err := json.Unmarshal(body, &p); err != nil {
		return fmt.Errorf("tenant provisioning: %w", err)
	}
	if p.Tenant != tenant {
		return fmt.Errorf("tenant provisioning: an event of tenant %s names tenant %s", tenant, p.Tenant)
	}
	return t.provision(ctx, p)
}

// provisionNow does at once what the relay would do a moment later, and leaves
// it to the relay if it fails. It goes on when the client is gone.
func (t *Tenants) provisionNow(ctx context.Context, p provisioning) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), provisionWithin)
	defer cancel()
	if err := t.provision(ctx, p); err != nil {
		t.logger.WarnContext(ctx, "a new tenant is left to the outbox", "tenant_id", p.Tenant, "error", err)
	}
}

func (t *Tenants) provision(ctx context.Context, p provisioning) error {
	proof, state, err := t.store.Resolve(ctx, p.Tenant)
	if err != nil {
		return err
	}
	if state != db.TenantProvisioning {
		return nil // finished before
	}
	if err := t.fill(ctx, proof, p); err != nil {
		return fmt.Errorf("tenant %s: %w", p.Tenant, err)
	}
	return t.activate(ctx, p)
}

// fill writes the tenant's own part in one transaction.
func (t *Tenants) fill(ctx context.Context, proof db.Tenant, p provisioning) error {
	roles := builtInRoles
	if p.Platform {
		roles = platformRoles
	}
	insert, err := roleParams(roles)
	if err != nil {
		return err
	}
	return t.store.Tenant(proof).Tx(ctx, func(q *tenantdb.Queries) error {
		made, err := q.UpsertBuiltInRoles(ctx, insert)
		if err != nil {
			return err
		}
		var actor *uuid.UUID
		details := map[string]any{}
		if p.Owner != nil {
			details["owner"] = p.Owner.Email
			actor = &p.Owner.InvitedBy
			err := q.UpsertInvitation(ctx, tenantdb.UpsertInvitationParams{
				ID: p.Owner.ID, Email: p.Owner.Email, RoleKey: RoleOwner, CodeHash: t.invitations.CodeHash(p.Tenant, p.Owner.ID),
				InvitedBy: actor, ExpiresAt: p.Owner.ExpiresAt,
			})
			if err != nil {
				return err
			}
		}
		if p.Founder != nil {
			actor = &p.Founder.Identity
			if _, err := q.UpsertUser(ctx, tenantdb.UpsertUserParams{ID: p.Founder.Identity, Email: p.Founder.Email}); err != nil {
				return err
			}
			if _, err := q.AssignRole(ctx, p.Founder.Identity, RoleOwner); err != nil {
				return fmt.Errorf("role %s: %w", RoleOwner, err)
			}
		}
		if made == 0 {
			return nil // a run before this one committed, with its event
		}
		return audit.RecordTenant(ctx, q, audit.Event{
			Action: "tenant.provision", Target: p.Tenant.String(), Actor: actor, Details: details,
		})
	})
}

// activate opens the tenant and, in the same transaction, lets the founder in or
// hands the invitation to the mailer: whoever changes the state is the one who mails.
func (t *Tenants) activate(ctx context.Context, p provisioning) error {
	return t.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		changed, err := q.ActivateTenant(ctx, p.Tenant)
		if err != nil || changed == 0 {
			return err
		}
		if err := announceState(ctx, q, p); err != nil {
			return err
		}
		if p.Founder != nil {
			return q.AddMembership(ctx, p.Founder.Identity, p.Tenant)
		}
		if p.Owner == nil {
			return nil
		}
		body, err := InvitationEvent(p.Owner.ID)
		if err != nil {
			return err
		}
		return q.InsertOutbox(ctx, platformdb.InsertOutboxParams{TenantID: &p.Tenant, Kind: KindInvitationMail, Body: body})
	})
}

func announceState(ctx context.Context, q *platformdb.Queries, p provisioning) error {
	c := change{kind: EventStateChanged, tenant: p.Tenant}
	if p.Owner != nil {
		c.actor = &p.Owner.InvitedBy
	}
	if p.Follower != nil {
		if err := emit(ctx, q, *p.Follower, c); err != nil {
			return err
		}
	}
	return emit(ctx, q, p.Tenant, c)
}

func roleParams(roles []role) (tenantdb.UpsertBuiltInRolesParams, error) {
	var insert tenantdb.UpsertBuiltInRolesParams
	for _, r := range roles {
		id, err := uuid.NewV7()
		if err != nil {
			return insert, err
		}
		insert.Ids = append(insert.Ids, id)
		insert.Keys = append(insert.Keys, r.key)
		insert.Names = append(insert.Names, r.name)
		insert.Permissions = append(insert.Permissions, strings.Join(r.permissions, ","))
	}
	return insert, nil
}
