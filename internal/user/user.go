// Package user owns the people of a tenant as that tenant knows them: their
// profile, the roles that say what they may do, who may look at whom, and the
// tenant's record of what they did. The identity behind a user, with its
// e-mail address and credentials, belongs to auth.
package user

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/events"
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
	State                UserState
	CreatedAt, UpdatedAt time.Time

	tenant uuid.UUID
}

func (u *User) active() bool { return u.State == StateActive }

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
	invitations *tenant.InvitationMails
	announcer   Announcer
	events      *events.Hub
	now         func() time.Time
	logger      *slog.Logger
}

// Announcer makes committed changes known outside of the tenant's schema. Both
// may run any number of times; pending says that some part of the service may
// not know yet.
type Announcer interface {
	// PermissionsChanged concerns one user, or all with the tenant's id as subject.
	PermissionsChanged(ctx context.Context, in db.Tenant, subject uuid.UUID) (pending bool, err error)
	// MemberEnded closes the tenant to a user and ends their sessions there.
	MemberEnded(ctx context.Context, in db.Tenant, user uuid.UUID, reason string) (pending bool, err error)
}

// Options are what New needs, all of it but Events, Now and Logger.
type Options struct {
	Store       *db.Store
	Permissions *permission.Permissions
	Invitations *tenant.InvitationMails
	Announcer   Announcer
	// Events is what ActivityEvents follows; nil where nobody follows.
	Events *events.Hub
	// Now is time.Now if nil.
	Now func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// New returns the users behind the store.
func New(o Options) (*Users, error) {
	if o.Store == nil || o.Permissions == nil || o.Invitations == nil || o.Announcer == nil {
		return nil, errors.New("users: store, permissions, invitations and announcer are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Users{o.Store, o.Permissions, o.Invitations, o.Announcer, o.Events, o.Now, o.Logger}, nil
}

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
	if !me.active() {
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
	visible, err := u.visible(ctx, caller, ids)
	if err != nil {
		return nil, err
	}
	rows, err := u.store.Tenant(caller.Tenant).GetUsersByID(ctx, visible)
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	found := make(map[uuid.UUID]*User, len(rows))
	for _, row := range rows {
		if other := fromRow(caller.Tenant, row); other.active() || row.ID != caller.Subject {
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
		State:     UserState(strings.ToUpper(row.State)),
		CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt, tenant: t.ID(),
	}
}
