// Package tenant owns the directory of tenants and how one comes to be: a blank
// is claimed in the platform, then an idempotent step fills the tenant's own
// schema and invites its owner. It also names the permissions and built-in roles
// and keeps blanks ready.
//
// Who may sign in to a tenant belongs to auth, a tenant's people to user.
package tenant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/events"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
)

// PlatformSlug is the slug of the built-in tenant whose members run the platform.
const PlatformSlug = "tradesage"

// Tenant is an organisation with data, users and settings of its own.
type Tenant struct {
	ID   uuid.UUID
	Slug string
	Name string
	// Domain is nil if the tenant has none of its own.
	Domain    *string
	State     TenantState
	CreatedAt time.Time
}

// IsEntity marks Tenant as one that other subgraphs refer to.
func (*Tenant) IsEntity() {}

// TenantState is where a tenant is in its life, as the API spells it.
type TenantState string

// The states of a tenant.
const (
	StateProvisioning TenantState = "PROVISIONING"
	StateActive       TenantState = "ACTIVE"
	StateSuspended    TenantState = "SUSPENDED"
	StateDeleting     TenantState = "DELETING"
)

// Options is what Tenants needs. All of it is required but Permissions, Events and
// Logger.
type Options struct {
	Store *db.PlatformStore
	// Permissions says who may see whom; if nil, the database is asked each time.
	Permissions *permission.Permissions
	Invitations *InvitationMails
	// Refiller is woken by each claim.
	Refiller *Refiller
	// Events is what Tenants.Events follows; nil where nobody follows.
	Events *events.Hub
	Now    func() time.Time
	Logger *slog.Logger
}

// Tenants reads and creates tenants.
type Tenants struct {
	store       *db.PlatformStore
	permissions *permission.Permissions
	invitations *InvitationMails
	refiller    *Refiller
	events      *events.Hub
	now         func() time.Time
	logger      *slog.Logger
}

// New checks the options and returns the tenants.
func New(o Options) (*Tenants, error) {
	if o.Store == nil || o.Invitations == nil || o.Refiller == nil || o.Now == nil {
		return nil, errors.New("tenants: store, invitations, refiller and clock are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Permissions == nil {
		o.Permissions = permission.New(permission.Options{Store: &o.Store.Store})
	}
	return &Tenants{o.Store, o.Permissions, o.Invitations, o.Refiller, o.Events, o.Now, o.Logger}, nil
}

// Current returns the caller's tenant. UNAUTHENTICATED without a caller.
func (t *Tenants) Current(ctx context.Context) (*Tenant, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	row, err := t.store.PlatformFor(caller.Tenant).GetTenant(ctx, caller.Tenant.ID())
	if errors.Is(err, db.ErrNotFound) {
		return nil, fault.NotFound("no such tenant")
	}
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", caller.Tenant, err)
	}
	return fromRow(row), nil
}

// ByID returns the tenants with these ids in their order, and nil for each but
// the caller's own: tenants of others answer like ids that never existed. It
// takes one query at most. UNAUTHENTICATED without a caller.
func (t *Tenants) ByID(ctx context.Context, ids []uuid.UUID) ([]*Tenant, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	tenants := make([]*Tenant, len(ids))
	if !slices.Contains(ids, caller.Tenant.ID()) {
		return tenants, nil
	}
	own, err := t.Current(ctx)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if id == own.ID {
			tenants[i] = own
		}
	}
	return tenants, nil
}

func fromRow(row platformdb.GetTenantRow) *Tenant {
	found := &Tenant{
		ID: row.ID, Domain: row.Domain, State: TenantState(strings.ToUpper(row.State)), CreatedAt: row.CreatedAt,
	}
	if row.Slug != nil {
		found.Slug = *row.Slug
	}
	if row.Name != nil {
		found.Name = *row.Name
	}
	return found
}
