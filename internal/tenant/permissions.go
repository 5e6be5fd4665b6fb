package tenant

import "slices"

// The permissions that roles are made of, each thing:verb. The names are part of
// the public API.
const (
	UsersRead      = "users:read"
	UsersInvite    = "users:invite"
	UsersManage    = "users:manage"
	RolesRead      = "roles:read"
	RolesManage    = "roles:manage"
	SessionsRead   = "sessions:read"
	SessionsManage = "sessions:manage"
	AuditRead      = "audit:read"
	APIKeysManage  = "api-keys:manage"
	SettingsManage = "settings:manage"
	BackupsManage  = "backups:manage"
	OrdersRead     = "orders:read"
	OrdersPlace    = "orders:place"
	MarketRead     = "market:read"
	SchemaRead     = "schema:read"
	GraphFreeForm  = "graph:free-form"

	// TenantsCreate and TenantsManage reach across tenants; only roles of the
	// platform's own tenant hold them.
	TenantsCreate = "tenants:create"
	TenantsManage = "tenants:manage"
)

// The keys of the roles that every tenant has from the start.
const (
	RoleOwner  = "owner"
	RoleAdmin  = "admin"
	RoleTrader = "trader"
	RoleViewer = "viewer"
	// RolePlatformAdmin exists in the platform's own tenant only.
	RolePlatformAdmin = "platform-admin"
)

type role struct {
	key, name   string
	permissions []string
}

var (
	viewing = []string{MarketRead, OrdersRead}
	trading = append([]string{OrdersPlace}, viewing...)
	// Who appoints people holds all that they get: nobody gives more than they have.
	administration = append([]string{
		UsersRead, UsersInvite, UsersManage, RolesRead, RolesManage, SessionsRead, SessionsManage,
		AuditRead, APIKeysManage, SettingsManage, SchemaRead, GraphFreeForm,
	}, trading...)
	ownership = append([]string{BackupsManage}, administration...)

	builtInRoles = []role{
		{RoleOwner, "Owner", ownership},
		{RoleAdmin, "Administrator", administration},
		{RoleTrader, "Trader", trading},
		{RoleViewer, "Viewer", viewing},
	}
	platformRoles = append([]role{
		{RolePlatformAdmin, "Platform administrator", append([]string{TenantsCreate, TenantsManage}, administration...)},
	}, builtInRoles...)
)

// Permission is one permission and what it allows.
type Permission struct{ Name, Description string }

var permissions = []Permission{
	{UsersRead, "See the tenant's users."},
	{UsersInvite, "Invite people to the tenant."},
	{UsersManage, "Deactivate users."},
	{RolesRead, "See the tenant's roles."},
	{RolesManage, "Make and change roles, and say who holds them."},
	{SessionsRead, "See where others are signed in."},
	{SessionsManage, "End the sessions of others."},
	{AuditRead, "Read the record of what was done."},
	{APIKeysManage, "Make and revoke API keys."},
	{SettingsManage, "Change the tenant's settings."},
	{BackupsManage, "Back the tenant's data up and restore it."},
	{OrdersRead, "See orders."},
	{OrdersPlace, "Place and cancel orders."},
	{MarketRead, "See market data."},
	{SchemaRead, "Introspect the API and read its schema, as for tools and clients."},
	{GraphFreeForm, "Send operations of one's own where only trusted ones are taken."},
	{TenantsCreate, "Create tenants; for members of the platform's own tenant."},
	{TenantsManage, "Change other tenants; for members of the platform's own tenant."},
}

// Permissions lists every permission there is.
func Permissions() []Permission { return slices.Clone(permissions) }
