package user

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
	"github.com/tradesage/tradesage/internal/tenant"
)

// Outbox kinds of what follows from a change of a tenant's people, handled by
// HandlePermissionsChanged and HandleDeactivated. The process that makes the
// change does it at once as well; the outbox is for one that died meanwhile.
const (
	KindPermissionsChanged = "permissions.changed"
	KindDeactivated        = "user.deactivated"
)

// announceWithin bounds what follows a commit at once.
const announceWithin = 5 * time.Second

// deactivated is why a deactivated user's sessions ended.
const deactivated = "user deactivated"

// change is a transaction that changes a tenant's people or roles. Such changes
// take turns within a tenant, so what it has read holds until it ends.
type change struct {
	q      *tenantdb.Queries
	caller *identity.Caller
	// held is what the caller may do at this moment.
	held  permission.Set
	roles []tenantdb.Role
}

// change runs fn with the caller's permissions read under the lock. FORBIDDEN
// unless the caller holds what is needed.
func (u *Users) change(ctx context.Context, needed string, fn func(change) error) error {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return err
	}
	return u.store.Tenant(caller.Tenant).Tx(ctx, func(q *tenantdb.Queries) error {
		roles, err := q.LockRoles(ctx)
		if err != nil {
			return fmt.Errorf("roles: %w", err)
		}
		held, err := permission.Load(ctx, q, caller.Subject)
		if err != nil {
			return err
		}
		if !held.Holds(needed) {
			return permission.Lacking(needed)
		}
		return fn(change{q, caller, held, roles})
	})
}

// role returns the role with this key. INVALID_INPUT of the field.
func (c change) role(field, key string) (tenantdb.Role, error) {
	for _, role := range c.roles {
		if role.Key == key {
			return role, nil
		}
	}
	return tenantdb.Role{}, fault.InvalidInput(field, "the tenant has no role with this key")
}

// mayGive answers FORBIDDEN unless the caller holds all of these permissions
// themself: nobody gives, or takes away, more than they have.
func (c change) mayGive(permissions []string) error {
	if missing := c.held.Missing(permissions...); missing != "" {
		return fault.Forbidden("this concerns the permission " + missing + ", which you do not hold yourself")
	}
	return nil
}

// ownerStays answers CONFLICT of the field if the user is the only active one who
// holds the role and the role is the owner's.
func (c change) ownerStays(ctx context.Context, field string, user uuid.UUID, role tenantdb.Role) error {
	if role.Key != tenant.RoleOwner {
		return nil
	}
	others, err := c.q.CountOtherHolders(ctx, role.ID, user)
	if err != nil {
		return fmt.Errorf("owners: %w", err)
	}
	if others == 0 {
		return fault.Conflict(field, "a tenant keeps at least one active owner; make somebody else an owner first")
	}
	return nil
}

// emit records what must follow the commit.
func (c change) emit(ctx context.Context, kind string, subject uuid.UUID) error {
	body, err := json.Marshal(announcement{subject})
	if err != nil {
		return err
	}
	return c.q.Emit(ctx, kind, body)
}

// permissionsChanged records a change of one user's roles and its event.
func (c change) permissionsChanged(ctx context.Context, subject uuid.UUID, event audit.Event) error {
	if err := c.emit(ctx, KindPermissionsChanged, subject); err != nil {
		return err
	}
	return audit.RecordTenant(ctx, c.q, event)
}

type announcement struct {
	Subject uuid.UUID `json:"subject"`
}

// announce does at once what the outbox would do a moment later, and leaves it to
// the outbox if it fails. It goes on when the client is gone.
func (u *Users) announce(ctx context.Context, what func(context.Context) (bool, error)) (pending bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceWithin)
	defer cancel()
	pending, err := what(ctx)
	if err != nil {
		u.logger.WarnContext(ctx, "a change of people is left to the outbox", "error", err)
		return true
	}
	return pending
}

func (u *Users) announcePermissions(ctx context.Context, in db.Tenant, subject uuid.UUID) {
	u.announce(ctx, func(ctx context.Context) (bool, error) {
		u.permissions.Drop(in.ID(), subject) // whatever becomes of the news
		return u.announcer.PermissionsChanged(ctx, in, subject)
	})
}

// HandlePermissionsChanged handles an outbox event of KindPermissionsChanged. It
// may run any number of times.
func (u *Users) HandlePermissionsChanged(ctx context.Context, in db.Tenant, body json.RawMessage) error {
	var a announcement
	if err := json.Unmarshal(body, &a); err != nil {
		return fmt.Errorf("%s: %w", KindPermissionsChanged, err)
	}
	_, err := u.announcer.PermissionsChanged(ctx, in, a.Subject)
	return err
}

// HandleDeactivated handles an outbox event of KindDeactivated. It may run any
// number of times, and does nothing once the user is active again.
func (u *Users) HandleDeactivated(ctx context.Context, in db.Tenant, body json.RawMessage) error {
	var a announcement
	if err := json.Unmarshal(body, &a); err != nil {
		return fmt.Errorf("%s: %w", KindDeactivated, err)
	}
	row, err := u.store.Tenant(in).GetUser(ctx, a.Subject)
	if err != nil || row.State == "active" {
		return ignoreMissing(err)
	}
	_, err = u.announcer.MemberEnded(ctx, in, a.Subject, deactivated)
	return err
}
