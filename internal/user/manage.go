package user

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/input"
	"github.com/tradesage/tradesage/internal/tenant"
)

const (
	maxRoleName    = 100
	maxPermissions = 100
)

var roleKey = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// DeactivateUserInput names whom to deactivate.
type DeactivateUserInput struct{ UserID uuid.UUID }

// DeactivateUser closes the tenant to a user and ends their sessions here; who is
// deactivated already stays so. The caller needs users:manage and every
// permission that the user holds. It records user.deactivate; pending is as of
// Announcer.
//
// UNAUTHENTICATED; FORBIDDEN; NOT_FOUND; INVALID_INPUT of input.userId for
// oneself; CONFLICT of input.userId for the last owner.
func (u *Users) DeactivateUser(ctx context.Context, in DeactivateUserInput) (user *User, pending bool, err error) {
	var home db.Tenant
	err = u.change(ctx, tenant.UsersManage, func(c change) error {
		home = c.caller.Tenant
		if in.UserID == c.caller.Subject {
			return fault.InvalidInput("input.userId", "you cannot deactivate yourself")
		}
		row, err := c.q.GetUser(ctx, in.UserID)
		if err != nil {
			return noSuchUser(err)
		}
		user = fromRow(home, tenantdb.GetUsersByIDRow(row))
		if !user.active() {
			return nil
		}
		held, err := c.q.ListRolesOfUsers(ctx, []uuid.UUID{in.UserID})
		if err != nil {
			return fmt.Errorf("roles of %s: %w", in.UserID, err)
		}
		for _, row := range held {
			if err := c.mayGive(row.Role.Permissions); err != nil {
				return err
			}
			if err := c.ownerStays(ctx, "input.userId", in.UserID, row.Role); err != nil {
				return err
			}
		}
		after, err := c.q.DeactivateUser(ctx, in.UserID)
		if err != nil {
			return err
		}
		user = fromRow(home, tenantdb.GetUsersByIDRow(after))
		if err := c.emit(ctx, KindDeactivated, in.UserID); err != nil {
			return err
		}
		return audit.RecordTenant(ctx, c.q, audit.Event{Action: "user.deactivate", Target: in.UserID.String()})
	})
	if err != nil {
		return nil, false, fmt.Errorf("deactivate %s: %w", in.UserID, err)
	}
	u.permissions.Drop(home.ID(), in.UserID)
	return user, u.announce(ctx, func(ctx context.Context) (bool, error) {
		return u.announcer.MemberEnded(ctx, home, in.UserID, deactivated)
	}), nil
}

// CreateRoleInput is a role to make.
type CreateRoleInput struct {
	Key, Name   string
	Permissions []string
}

// CreateRole makes a role that nobody holds yet and records role.create. The
// caller needs roles:manage and every permission of the role.
//
// UNAUTHENTICATED; FORBIDDEN; INVALID_INPUT that names the field; CONFLICT of
// input.key; QUOTA_EXCEEDED beyond 100 roles.
func (u *Users) CreateRole(ctx context.Context, in CreateRoleInput) (*Role, error) {
	if !roleKey.MatchString(in.Key) {
		return nil, fault.InvalidInput("input.key", "key must begin with a lower-case letter and have at most 63 lower-case letters, digits, - and _")
	}
	name, err := input.Line("input.name", in.Name, 1, maxRoleName)
	if err != nil {
		return nil, err
	}
	permissions, err := checkPermissions(in.Permissions)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	made := &Role{ID: id, Key: in.Key, Name: name, Permissions: permissions, CreatedAt: u.now().UTC()}
	err = u.change(ctx, tenant.RolesManage, func(c change) error {
		if err := c.mayGive(permissions); err != nil {
			return err
		}
		if len(c.roles) >= maxRoles {
			return fault.New(fault.CodeQuotaExceeded, fmt.Sprintf("a tenant has at most %d roles", maxRoles))
		}
		if err := c.q.CreateRole(ctx, tenantdb.CreateRoleParams{ID: id, Key: in.Key, Name: name, Permissions: permissions}); err != nil {
			return err
		}
		return audit.RecordTenant(ctx, c.q, audit.Event{
			Action: "role.create", Target: in.Key, Details: map[string]any{"name": name, "permissions": permissions},
		})
	})
	if db.Violates(err, "roles_key_key") {
		return nil, fault.Conflict("input.key", "a role with this key exists already").Because(err)
	}
	if err != nil {
		return nil, fmt.Errorf("create role %s: %w", in.Key, err)
	}
	return made, nil
}

// UpdateRoleInput says what to change of a role; nil stays as it is.
type UpdateRoleInput struct {
	// Role is the role's key.
	Role        string
	Name        *string
	Permissions []string
}

// UpdateRole changes a role's name or permissions and records role.update; all
// who hold it may do what it says from their next request on. The caller needs
// roles:manage and every permission that the role had and gets.
//
// UNAUTHENTICATED; FORBIDDEN; INVALID_INPUT that names the field; CONFLICT of
// input.role for a built-in role.
func (u *Users) UpdateRole(ctx context.Context, in UpdateRoleInput) (*Role, error) {
	if in.Name == nil && in.Permissions == nil {
		return nil, fault.InvalidInput("input", "give at least one of name and permissions")
	}
	var name string
	var permissions []string
	var err error
	if in.Name != nil {
		if name, err = input.Line("input.name", *in.Name, 1, maxRoleName); err != nil {
			return nil, err
		}
	}
	if in.Permissions != nil {
		if permissions, err = checkPermissions(in.Permissions); err != nil {
			return nil, err
		}
	}
	var home db.Tenant
	var role tenantdb.Role
	err = u.change(ctx, tenant.RolesManage, func(c change) error {
		home = c.caller.Tenant
		if role, err = c.role("input.role", in.Role); err != nil {
			return err
		}
		if role.BuiltIn {
			return fault.Conflict("input.role", "built-in roles are fixed; make a role of your own")
		}
		if err := c.mayGive(slices.Concat(role.Permissions, permissions)); err != nil {
			return err
		}
		if in.Name != nil {
			role.Name = name
		}
		if in.Permissions != nil {
			role.Permissions = permissions
		}
		if err := c.q.UpdateRole(ctx, tenantdb.UpdateRoleParams{ID: role.ID, Name: role.Name, Permissions: role.Permissions}); err != nil {
			return err
		}
		return c.permissionsChanged(ctx, home.ID(), audit.Event{
			Action: "role.update", Target: role.Key, Details: map[string]any{"name": role.Name, "permissions": role.Permissions},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("update role: %w", err)
	}
	u.announcePermissions(ctx, home, home.ID())
	return roleFromRow(role), nil
}

// AssignRoleInput names a user and, by its key, a role.
type AssignRoleInput struct {
	UserID uuid.UUID
	Role   string
}

// UnassignRoleInput names a user and, by its key, a role.
type UnassignRoleInput AssignRoleInput

// AssignRole gives a user a role and records role.assign; who holds it already
// keeps it. The caller needs roles:manage and every permission of the role.
//
// UNAUTHENTICATED; FORBIDDEN; NOT_FOUND; INVALID_INPUT of input.role; CONFLICT of
// input.userId for a deactivated user.
func (u *Users) AssignRole(ctx context.Context, in AssignRoleInput) (*User, error) {
	return u.reassign(ctx, in, "role.assign", func(c change, user *User, role tenantdb.Role) (int64, error) {
		if !user.active() {
			return 0, fault.Conflict("input.userId", "this user is deactivated")
		}
		return c.q.GrantRole(ctx, user.ID, role.ID)
	})
}

// UnassignRole takes a role from a user and records role.unassign; who does not
// hold it is left as they are. The caller needs roles:manage and every permission
// of the role.
//
// UNAUTHENTICATED; FORBIDDEN; NOT_FOUND; INVALID_INPUT of input.role; CONFLICT of
// input.userId for the last owner.
func (u *Users) UnassignRole(ctx context.Context, in UnassignRoleInput) (*User, error) {
	return u.reassign(ctx, AssignRoleInput(in), "role.unassign", func(c change, user *User, role tenantdb.Role) (int64, error) {
		changed, err := c.q.UnassignRole(ctx, user.ID, role.ID)
		if err != nil || changed == 0 || !user.active() {
			return changed, err
		}
		return changed, c.ownerStays(ctx, "input.userId", user.ID, role) // or the removal is rolled back
	})
}

// reassign changes who holds a role.
func (u *Users) reassign(
	ctx context.Context, in AssignRoleInput, action string, apply func(change, *User, tenantdb.Role) (int64, error),
) (*User, error) {
	var user *User
	changed := int64(0)
	err := u.change(ctx, tenant.RolesManage, func(c change) error {
		role, err := c.role("input.role", in.Role)
		if err != nil {
			return err
		}
		row, err := c.q.GetUser(ctx, in.UserID)
		if err != nil {
			return noSuchUser(err)
		}
		if err := c.mayGive(role.Permissions); err != nil {
			return err
		}
		user = fromRow(c.caller.Tenant, tenantdb.GetUsersByIDRow(row))
		if changed, err = apply(c, user, role); err != nil || changed == 0 {
			return err
		}
		return c.permissionsChanged(ctx, in.UserID, audit.Event{
			Action: action, Target: in.UserID.String(), Details: map[string]any{"role": role.Key},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", action, in.UserID, err)
	}
	if changed > 0 {
		caller, err := identity.FromContext(ctx)
		if err != nil {
			return nil, err
		}
		u.announcePermissions(ctx, caller.Tenant, in.UserID)
	}
	return user, nil
}

// checkPermissions returns the permissions in order, each once. INVALID_INPUT of
// input.permissions for one that does not exist.
func checkPermissions(names []string) ([]string, error) {
	known := tenant.Permissions()
	checked := []string{}
	if len(names) > maxPermissions {
		return nil, fault.InvalidInput("input.permissions", fmt.Sprintf("a role has at most %d permissions", maxPermissions))
	}
	for _, name := range names {
		if !slices.ContainsFunc(known, func(p tenant.Permission) bool { return p.Name == name }) {
			return nil, fault.InvalidInput("input.permissions", "a permission is not one of those that the query permissions lists")
		}
		if !slices.Contains(checked, name) {
			checked = append(checked, name)
		}
	}
	slices.Sort(checked)
	return checked, nil
}

func noSuchUser(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return fault.NotFound("no such user")
	}
	return fmt.Errorf("user: %w", err)
}

func ignoreMissing(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	return err
}
