package user

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/input"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/tenant"
)

// UserConnection is a page of users; its name and UserEdge's are the API's,
// which binds types by name.
type UserConnection = page.Connection[*User]

// UserEdge is one user of a page.
type UserEdge = page.Edge[*User]

// UserState is whether a user may sign in, as the API spells it.
type UserState string

// The states of a user.
const (
	StateActive      UserState = "ACTIVE"
	StateDeactivated UserState = "DEACTIVATED"
)

// UserSort is an order of users, as the API spells it.
type UserSort string

// The orders of users. Text goes by code points, upper and lower case alike.
const (
	SortCreatedAtAsc  UserSort = "CREATED_AT_ASC"
	SortCreatedAtDesc UserSort = "CREATED_AT_DESC"
	SortEmailAsc      UserSort = "EMAIL_ASC"
	SortEmailDesc     UserSort = "EMAIL_DESC"
	SortNameAsc       UserSort = "NAME_ASC"
	SortNameDesc      UserSort = "NAME_DESC"
)

// UserFilterInput keeps the users that fit all of it; nil fits everybody.
type UserFilterInput struct {
	// Search is a part of the name or the e-mail address.
	Search *string
	State  *UserState
	// Role is the key of a role that the user holds.
	Role *string
}

// List says which users to list, and in what order.
type List struct {
	page.Args
	Filter *UserFilterInput
	// Sort is SortCreatedAtAsc if nil.
	Sort *UserSort
}

// ListKey is List by value: equal lists have equal keys.
type ListKey struct {
	args         page.Key
	search, role page.Value[string]
	state        page.Value[UserState]
	sort         page.Value[UserSort]
}

// Key returns the list by value.
func (l List) Key() ListKey {
	filter := UserFilterInput{}
	if l.Filter != nil {
		filter = *l.Filter
	}
	return ListKey{l.Args.Key(), page.ValueOf(filter.Search), page.ValueOf(filter.Role), page.ValueOf(filter.State), page.ValueOf(l.Sort)}
}

// List returns what the key was made of.
func (k ListKey) List() List {
	filter := &UserFilterInput{Search: k.search.Pointer(), State: k.state.Pointer(), Role: k.role.Pointer()}
	return List{Args: k.args.Args(), Filter: filter, Sort: k.sort.Pointer()}
}

// List returns a page of the tenant's users. The caller needs users:read.
//
// UNAUTHENTICATED without a caller; FORBIDDEN; INVALID_INPUT of first, after,
// filter.search or sort. A cursor belongs to one order.
func (u *Users) List(ctx context.Context, list List) (*UserConnection, error) {
	caller, err := u.permissions.Require(ctx, tenant.UsersRead)
	if err != nil {
		return nil, err
	}
	limit, err := list.Limit()
	if err != nil {
		return nil, err
	}
	params, sort, err := list.params(limit)
	if err != nil {
		return nil, err
	}
	rows, err := listUsers(ctx, u.store.Tenant(caller.Tenant), params, strings.HasSuffix(string(sort), "_DESC"))
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	users := make([]*User, len(rows))
	keys := make(map[*User]string, len(rows))
	for i, row := range rows {
		users[i] = fromRow(caller.Tenant, tenantdb.GetUsersByIDRow{
			ID: row.ID, Email: row.Email, DisplayName: row.DisplayName, Locale: row.Locale, TimeZone: row.TimeZone,
			State: row.State, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		})
		keys[users[i]] = row.Key
	}
	cursor := func(u *User) string { return page.OrderedCursor(string(sort), keys[u], u.ID) }
	return page.New(users, limit, list.Args, cursor), nil
}

func listUsers(ctx context.Context, q db.TenantQueries, params tenantdb.ListUsersAscendingParams, descending bool) ([]tenantdb.ListUsersAscendingRow, error) {
	if !descending {
		return q.ListUsersAscending(ctx, params)
	}
	found, err := q.ListUsersDescending(ctx, tenantdb.ListUsersDescendingParams(params))
	rows := make([]tenantdb.ListUsersAscendingRow, len(found))
	for i, row := range found {
		rows[i] = tenantdb.ListUsersAscendingRow(row)
	}
	return rows, err
}

// params checks what the client wrote.
func (l List) params(limit int) (tenantdb.ListUsersAscendingParams, UserSort, error) {
	params := tenantdb.ListUsersAscendingParams{PageSize: int32(limit) + 1}
	sort := SortCreatedAtAsc
	if l.Sort != nil {
		sort = *l.Sort
	}
	switch sort {
	case SortCreatedAtAsc, SortCreatedAtDesc:
		params.SortBy = "created"
	case SortEmailAsc, SortEmailDesc:
		params.SortBy = "email"
	case SortNameAsc, SortNameDesc:
		params.SortBy = "name"
	default:
		return params, sort, fault.InvalidInput("sort", "there is no such order")
	}
	if f := l.Filter; f != nil {
		var err error
		if params.Search, err = input.Search("filter.search", f.Search); err != nil {
			return params, sort, err
		}
		params.RoleKey = storable(f.Role)
		if f.State != nil {
			state := strings.ToLower(string(*f.State))
			params.State = &state
		}
	}
	after, err := l.AfterIn(string(sort))
	if err == nil && after != nil {
		params.AfterKey, params.AfterID = &after.Key, &after.ID
	}
	return params, sort, err
}

// storable returns a text to compare with: what PostgreSQL refuses as text
// becomes what no row holds.
func storable(text *string) *string {
	if text == nil || input.Storable(*text) {
		return text
	}
	none := ""
	return &none
}

// UserByID returns one user of the tenant, or nil if there is none of this id:
// users of other tenants answer like ids that never existed. The caller needs
// users:read but for themself. UNAUTHENTICATED without a caller; FORBIDDEN.
func (u *Users) UserByID(ctx context.Context, id uuid.UUID) (*User, error) {
	found, err := u.UsersByID(ctx, []uuid.UUID{id})
	if err != nil || found[0] != nil {
		return first(found), err
	}
	_, err = u.permissions.Require(ctx, tenant.UsersRead)
	return nil, err
}

func first[T any](items []*T) *T {
	if len(items) == 0 {
		return nil
	}
	return items[0]
}

// TenantsByID returns a reference to each of these tenants that is the caller's
// own, in their order, and nil for the rest. UNAUTHENTICATED without a caller.
func (u *Users) TenantsByID(ctx context.Context, ids []uuid.UUID) ([]*Tenant, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	tenants := make([]*Tenant, len(ids))
	for i, id := range ids {
		if id == caller.Tenant.ID() {
			tenants[i] = &Tenant{ID: id}
		}
	}
	return tenants, nil
}
