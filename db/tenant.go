package db

import "github.com/google/uuid"

// Tenant is the proof that a tenant was looked up in the platform's directory:
// its id, the schema and role that hold its data, and the shard login that may
// enter it. Only this package makes one; the zero value is no tenant and every
// use of it fails.
type Tenant struct {
	id     uuid.UUID
	schema string
	shard  int16
}

// ID returns the tenant's id.
func (t Tenant) ID() uuid.UUID { return t.id }

// IsZero reports whether t names no tenant.
func (t Tenant) IsZero() bool { return t.id == uuid.Nil || t.schema == "" }

// String returns the id, for logs.
func (t Tenant) String() string { return t.id.String() }

// TenantState is where a tenant is in its life.
type TenantState string

// The states of a tenant. Blanks are in none of them: they are no tenant's yet.
const (
	TenantProvisioning TenantState = "provisioning"
	TenantActive       TenantState = "active"
	TenantSuspended    TenantState = "suspended"
	TenantDeleting     TenantState = "deleting"
)

// Place is what the directory tells of a tenant.
type Place struct {
	// Tenant is the proof that it was looked up.
	Tenant Tenant
	State  TenantState
	// Plan is what it has ordered: a name that the platform gives.
	Plan string
}
