package tenant

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/audit"
)

// EnsureTenant returns the tenant with this slug, ready for use; it makes and
// finishes it where that is needed. For the platform's own tenant and for
// development: nothing is checked and nobody is invited.
func (t *Tenants) EnsureTenant(ctx context.Context, slug, name string) (db.Tenant, error) {
	p := provisioning{Platform: slug == PlatformSlug}
	claim := platformdb.ClaimBlankParams{Slug: &slug, Name: &name, Plan: StandardPlan}
	id, err := t.store.Platform().GetTenantIDBySlug(ctx, &slug)
	if errors.Is(err, db.ErrNotFound) {
		err = t.claim(ctx, claim, &p, func(q *platformdb.Queries, claimed platformdb.GetTenantRow) error {
			return audit.RecordPlatform(ctx, q, &claimed.ID, created(claimed))
		})
		id = p.Tenant
		if db.Violates(err, "tenants_slug_key") { // another process was first
			id, err = t.store.Platform().GetTenantIDBySlug(ctx, &slug)
		}
	}
	if err != nil {
		return db.Tenant{}, fmt.Errorf("tenant %s: %w", slug, err)
	}
	p.Tenant = id
	if err := t.provision(ctx, p); err != nil {
		return db.Tenant{}, fmt.Errorf("tenant %s: %w", slug, err)
	}
	proof, _, err := t.store.Resolve(ctx, id)
	return proof, err
}

// Member is somebody to add to a tenant.
type Member struct {
	Tenant      db.Tenant
	Identity    uuid.UUID
	Email       string
	DisplayName string
	RoleKey     string
}

// EnsureMember makes an identity a member and user of a tenant with a role. It
// may run any number of times, one after another, and never changes a user who is
// there. A role that the tenant does not have is db.ErrNotFound, and nobody joins.
func (t *Tenants) EnsureMember(ctx context.Context, m Member) error {
	err := t.store.Tenant(m.Tenant).Tx(ctx, func(q *tenantdb.Queries) error {
		made, err := q.UpsertUser(ctx, tenantdb.UpsertUserParams{ID: m.Identity, Email: m.Email, DisplayName: m.DisplayName})
		if err != nil {
			return err
		}
		if _, err := q.AssignRole(ctx, m.Identity, m.RoleKey); err != nil {
			return fmt.Errorf("role %s: %w", m.RoleKey, err)
		}
		if made == 0 {
			return nil
		}
		return audit.RecordTenant(ctx, q, audit.Event{
			Action: "user.join", Target: m.Identity.String(), Details: map[string]any{"role": m.RoleKey},
		})
	})
	if err != nil {
		return fmt.Errorf("user %s of tenant %s: %w", m.Identity, m.Tenant, err)
	}
	if err := t.store.Platform().AddMembership(ctx, m.Identity, m.Tenant.ID()); err != nil {
		return fmt.Errorf("membership of %s in tenant %s: %w", m.Identity, m.Tenant, err)
	}
	return nil
}
