package user

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/tenant"
)

// maxRoles is how many roles a tenant may have, the built-in ones included.
const maxRoles = 100

// Role is a named set of permissions that users of one tenant may hold.
type Role struct {
	ID uuid.UUID
	// Key names the role in inputs; it never changes.
	Key, Name   string
	Permissions []string
	// BuiltIn roles come with every tenant and are fixed.
	BuiltIn   bool
	CreatedAt time.Time
}

// IsEntity marks Role as one that other subgraphs refer to.
func (*Role) IsEntity() {}

// Permission is something that a role may allow.
type Permission struct {
	Name, Description string
	// Held is whether the caller holds it.
	Held bool
}

// Roles returns the tenant's roles, the built-in ones first; at most 100. The
// caller needs roles:read. UNAUTHENTICATED without a caller; FORBIDDEN.
func (u *Users) Roles(ctx context.Context) ([]*Role, error) {
	caller, err := u.permissions.Require(ctx, tenant.RolesRead)
	if err != nil {
		return nil, err
	}
	rows, err := u.store.Tenant(caller.Tenant).ListRoles(ctx)
	if err != nil {
		return nil, fmt.Errorf("roles: %w", err)
	}
	roles := make([]*Role, len(rows))
	for i, row := range rows {
		roles[i] = roleFromRow(row)
	}
	return roles, nil
}

// RolesByID returns the roles with these ids in their order, and nil for each
// that the tenant does not have; without roles:read, for all. UNAUTHENTICATED
// without a caller.
func (u *Users) RolesByID(ctx context.Context, ids []uuid.UUID) ([]*Role, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	roles := make([]*Role, len(ids))
	if held, err := u.permissions.Of(ctx); err != nil || !held.Holds(tenant.RolesRead) {
		return roles, err
	}
	rows, err := u.store.Tenant(caller.Tenant).GetRolesByID(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("roles: %w", err)
	}
	found := make(map[uuid.UUID]*Role, len(rows))
	for _, row := range rows {
		found[row.ID] = roleFromRow(row)
	}
	for i, id := range ids {
		roles[i] = found[id]
	}
	return roles, nil
}

// RolesOf returns what each of these users holds, in their order, in one query.
// It is for users that the caller was shown: whoever sees a user sees the roles.
// Without users:read it answers for the caller alone. UNAUTHENTICATED without a
// caller.
func (u *Users) RolesOf(ctx context.Context, users []uuid.UUID) ([][]*Role, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	visible, err := u.visible(ctx, caller, users)
	if err != nil {
		return nil, err
	}
	rows, err := u.store.Tenant(caller.Tenant).ListRolesOfUsers(ctx, visible)
	if err != nil {
		return nil, fmt.Errorf("roles of users: %w", err)
	}
	held := map[uuid.UUID][]*Role{}
	for _, row := range rows {
		held[row.UserID] = append(held[row.UserID], roleFromRow(row.Role))
	}
	roles := make([][]*Role, len(users))
	for i, id := range users {
		roles[i] = held[id]
	}
	return roles, nil
}

// HoldersOf returns a page of the users who hold each of these roles, in the
// order of the roles and of the users' ids, in one query. The caller needs
// users:read.
//
// UNAUTHENTICATED without a caller; FORBIDDEN; INVALID_INPUT of first or after.
func (u *Users) HoldersOf(ctx context.Context, roles []uuid.UUID, args page.Args) ([]*UserConnection, error) {
	caller, err := u.permissions.Require(ctx, tenant.UsersRead)
	if err != nil {
		return nil, err
	}
	limit, after, err := args.ByID()
	if err != nil {
		return nil, err
	}
	rows, err := u.store.Tenant(caller.Tenant).ListUsersOfRoles(ctx, tenantdb.ListUsersOfRolesParams{
		RoleIds: roles, After: after, PageSize: int32(limit) + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("holders of roles: %w", err)
	}
	holders := map[uuid.UUID][]*User{}
	for _, row := range rows {
		holders[row.RoleID] = append(holders[row.RoleID], fromRow(caller.Tenant, tenantdb.GetUsersByIDRow{
			ID: row.ID, Email: row.Email, DisplayName: row.DisplayName, Locale: row.Locale, TimeZone: row.TimeZone,
			State: row.State, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		}))
	}
	pages := make([]*UserConnection, len(roles))
	for i, id := range roles {
		pages[i] = page.New(holders[id], limit, args, func(u *User) string { return page.IDCursor(u.ID) })
	}
	return pages, nil
}

// Permissions lists every permission there is, and whether the caller holds it.
// UNAUTHENTICATED without a caller.
func (u *Users) Permissions(ctx context.Context) ([]*Permission, error) {
	held, err := u.permissions.Of(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]*Permission, 0, len(tenant.Permissions()))
	for _, p := range tenant.Permissions() {
		all = append(all, &Permission{Name: p.Name, Description: p.Description, Held: held.Holds(p.Name)})
	}
	return all, nil
}

// Can reports whether the caller holds a permission; of one that does not exist,
// false. UNAUTHENTICATED without a caller.
func (u *Users) Can(ctx context.Context, name string) (bool, error) {
	held, err := u.permissions.Of(ctx)
	return held.Holds(name), err
}

// visible returns those of the users that the caller may see.
func (u *Users) visible(ctx context.Context, caller *identity.Caller, users []uuid.UUID) ([]uuid.UUID, error) {
	for _, id := range users {
		if id == caller.Subject {
			continue
		}
		held, err := u.permissions.Of(ctx)
		if err != nil {
			return nil, err
		}
		if !held.Holds(tenant.UsersRead) {
			return []uuid.UUID{caller.Subject}, nil
		}
		break
	}
	return users, nil
}

func roleFromRow(row tenantdb.Role) *Role {
	return &Role{
		ID: row.ID, Key: row.Key, Name: row.Name, Permissions: row.Permissions, BuiltIn: row.BuiltIn, CreatedAt: row.CreatedAt,
	}
}
