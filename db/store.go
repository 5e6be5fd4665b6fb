package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/db/tenantdb"
)

// Service names the login that a part of the system uses for the platform
// schema. What each may touch is granted in migrations/platform.
type Service string

// The services, each with a login of its own.
const (
	ServiceAuth    Service = "svc_auth"
	ServiceTenant  Service = "svc_tenant"
	ServiceUser    Service = "svc_user"
	ServiceSession Service = "svc_session"
	ServiceRouter  Service = "svc_router"
	ServiceRelay   Service = "svc_relay"
	// ServiceVerify is for checking access tokens in a process that has no other
	// business with the platform's keys: public and claim keys, revocations.
	ServiceVerify Service = "svc_verify"
)

var services = []Service{ServiceAuth, ServiceTenant, ServiceUser, ServiceSession, ServiceRouter, ServiceRelay, ServiceVerify}

// scopedRole is the role in which a service sees the platform as one tenant.
const scopedRole = "platform_scoped"

// Store hands out queries bound to one tenant. It cannot reach a second one.
type Store struct {
	db      *DB
	service Service
}

// PlatformStore is a Store that may also read and write across tenants, within
// the grants of its service. Only auth, tenant administration, the router's
// token check and the relay hold one.
type PlatformStore struct{ Store }

// TenantQueries are the queries of one tenant's schema. Each call outside Tx is
// one round trip and its own transaction.
type TenantQueries struct {
	*tenantdb.Queries
	scope *scope
}

// PlatformQueries are the queries of the platform schema: as one tenant sees it
// (from PlatformFor) or whole (from Platform).
type PlatformQueries struct {
	*platformdb.Queries
	scope *scope
}

// Tenant returns t's own queries. With the zero Tenant each of them fails with
// ErrNoTenant.
func (s *Store) Tenant(t Tenant) TenantQueries {
	sc := &scope{role: t.schema, tenant: t.id.String()}
	if t.IsZero() {
		sc.err = ErrNoTenant
	} else {
		sc.pool, sc.err = s.db.shardPool(t.shard)
	}
	return TenantQueries{tenantdb.New(sc), sc}
}

// PlatformFor returns the platform's queries as t may see them: rows of t only,
// enforced by row level security.
func (s *Store) PlatformFor(t Tenant) PlatformQueries {
	sc := &scope{role: scopedRole, tenant: t.id.String()}
	if t.IsZero() {
		sc.err = ErrNoTenant
	} else {
		sc.pool, sc.err = s.db.loginPool(string(s.service))
	}
	return PlatformQueries{platformdb.New(sc), sc}
}

// Platform returns the platform's queries across tenants.
func (s *PlatformStore) Platform() PlatformQueries {
	sc := &scope{}
	sc.pool, sc.err = s.db.loginPool(string(s.service))
	return PlatformQueries{platformdb.New(sc), sc}
}

// Tx runs fn in one transaction of t's schema. fn's error, or a panic, rolls
// everything back. The queries given to fn end with it.
func (q TenantQueries) Tx(ctx context.Context, fn func(*tenantdb.Queries) error) error {
	return q.scope.tx(ctx, func(t *txScope) error { return fn(tenantdb.New(t)) })
}

// Tx runs fn in one transaction of the platform schema. fn's error, or a panic,
// rolls everything back. The queries given to fn end with it.
func (q PlatformQueries) Tx(ctx context.Context, fn func(*platformdb.Queries) error) error {
	return q.scope.tx(ctx, func(t *txScope) error { return fn(platformdb.New(t)) })
}

// Resolve looks the tenant up in the directory and returns the proof with its
// state. It fails with ErrNotFound for an unknown tenant and for a blank.
func (s *Store) Resolve(ctx context.Context, id uuid.UUID) (Tenant, TenantState, error) {
	place, err := s.Locate(ctx, id)
	return place.Tenant, place.State, err
}

// Locate is Resolve with the tenant's plan.
func (s *Store) Locate(ctx context.Context, id uuid.UUID) (Place, error) {
	pool, err := s.db.loginPool(string(s.service))
	if err != nil {
		return Place{}, err
	}
	found, err := platformdb.New(&scope{pool: pool}).ResolveTenant(ctx, id)
	if err != nil {
		return Place{}, fmt.Errorf("tenant %s: %w", id, err)
	}
	return Place{Tenant{id: found.ID, schema: found.SchemaName, shard: found.Shard}, TenantState(found.State), found.Plan}, nil
}
