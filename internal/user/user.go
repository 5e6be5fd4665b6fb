// Package user owns the people of a tenant as that tenant knows them: their
// profile, and who may look at whom. The identity behind a user, with its
// e-mail address and credentials, belongs to auth.
package user

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// User is an identity inside one tenant.
type User struct {
	// ID is the identity's id.
	ID    uuid.UUID
	Email string
	// DisplayName is empty or at most 100 characters.
	DisplayName string
	// Locale is a BCP 47 tag, TimeZone a name of the IANA database.
	Locale, TimeZone     string
	CreatedAt, UpdatedAt time.Time

	tenant uuid.UUID
	active bool
}

// IsEntity marks User as one that other subgraphs refer to.
func (*User) IsEntity() {}

// Tenant returns the tenant that the user belongs to; it asks nobody.
func (u *User) Tenant() *Tenant { return &Tenant{ID: u.tenant} }

// Tenant refers to a tenant by its id alone.
type Tenant struct{ ID uuid.UUID }

// IsEntity marks Tenant as one that another subgraph resolves.
func (*Tenant) IsEntity() {}

// Users reads and changes the users of the caller's tenant.
type Users struct {
	store       *db.Store
	permissions *permission.Permissions
}

// Options are what New needs, all of it.
type Options struct {
	Store       *db.Store
	Permissions *permission.Permissions
}

// New returns the users behind the store.
func New(o Options) *Users { return &Users{o.Store, o.Permissions} }

// Me returns the caller as a user. UNAUTHENTICATED without a caller, FORBIDDEN
// if the user is deactivated or not in the tenant.
func (u *Users) Me(ctx context.Context) (*User, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	row, err := u.store.Tenant(caller.Tenant).GetUser(ctx, caller.Subject)
	if errors.Is(err, db.ErrNotFound) {
		return nil, inactive()
	}
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", caller.Subject, err)
	}
	me := fromRow(caller.Tenant, tenantdb.GetUsersByIDRow(row))
	if !me.active {
		return nil, inactive()
	}
	return me, nil
}

// UsersByID returns the users with these ids in their order, and nil for each
// that the caller may not see: users of other tenants, ids that never existed
// and, without the permission users:read, everybody else. It takes one query.
// UNAUTHENTICATED
// without a caller.
func (u *Users) UsersByID(ctx context.Context, ids []uuid.UUID) ([]*User, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	queries := u.store.Tenant(caller.Tenant)
	visible := ids
	if slices.ContainsFunc(ids, func(id uuid.UUID) bool { return id != caller.Subject }) {
		held, err := u.permissions.Of(ctx)
		if err != nil {
			return nil, err
		}
		if !held.Holds(tenant.UsersRead) {
			visible = []uuid.UUID{caller.Subject}
		}
	}
	rows, err := queries.GetUsersByID(ctx, visible)
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	found := make(map[uuid.UUID]*User, len(rows))
	for _, row := range rows {
		if other := fromRow(caller.Tenant, row); other.active || row.ID != caller.Subject {
			found[row.ID] = other
		}
	}
	users := make([]*User, len(ids))
	for i, id := range ids {
		users[i] = found[id]
	}
	return users, nil
}

// UpdateProfile changes the caller's own profile and records user.update_profile
// in the same transaction. UNAUTHENTICATED without a caller, INVALID_INPUT that
// names the field, FORBIDDEN if the user is deactivated.
func (u *Users) UpdateProfile(ctx context.Context, input UpdateProfileInput) (*User, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	change, fields, err := input.check()
	if err != nil {
		return nil, err
	}
	change.ID = caller.Subject
	var changed *User
	err = u.store.Tenant(caller.Tenant).Tx(ctx, func(q *tenantdb.Queries) error {
		row, err := q.UpdateProfile(ctx, change)
		if err != nil {
			return err
		}
		changed = fromRow(caller.Tenant, tenantdb.GetUsersByIDRow(row))
		return audit.RecordTenant(ctx, q, audit.Event{
			Action: "user.update_profile", Target: caller.Subject.String(), Details: map[string]any{"fields": fields},
		})
	})
	if errors.Is(err, db.ErrNotFound) {
		return nil, inactive()
	}
	if err != nil {
		return nil, fmt.Errorf("profile of %s: %w", caller.Subject, err)
	}
	return changed, nil
}

func inactive() error { return fault.Forbidden("this user is not active in the tenant") }

func fromRow(t db.Tenant, row tenantdb.GetUsersByIDRow) *User {
	return &User{
		ID: row.ID, Email: row.Email, DisplayName: row.DisplayName, Locale: row.Locale, TimeZone: row.TimeZone,
		CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt, tenant: t.ID(), active: row.State == "active",
	}
}
