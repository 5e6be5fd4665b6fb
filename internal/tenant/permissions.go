package tenant

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
	viewing        = []string{MarketRead, OrdersRead}
	trading        = []string{MarketRead, OrdersRead, OrdersPlace}
	administration = []string{
		UsersRead, UsersInvite, UsersManage, RolesRead, RolesManage, SessionsRead, SessionsManage,
		AuditRead, APIKeysManage, SettingsManage, MarketRead, OrdersRead,
	}
	ownership = append([]string{BackupsManage, OrdersPlace}, administration...)

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
