package tenant

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/input"
	"github.com/tradesage/tradesage/internal/page"
)

// lastText is after every name and slug: no character of theirs is as high.
const lastText = "\U0010FFFF"

// The bounds of moments that PostgreSQL and time.Time share.
var (
	firstMoment = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastMoment  = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// TenantConnection is a page of tenants; its name and TenantEdge's are the API's,
// which binds types by name.
type TenantConnection = page.Connection[*Tenant]

// TenantEdge is one tenant of a page.
type TenantEdge = page.Edge[*Tenant]

// TenantSort is an order of tenants, as the API spells it.
type TenantSort string

// The orders of tenants. Text goes by code points, upper and lower case alike.
const (
	SortCreatedAtAsc  TenantSort = "CREATED_AT_ASC"
	SortCreatedAtDesc TenantSort = "CREATED_AT_DESC"
	SortNameAsc       TenantSort = "NAME_ASC"
	SortNameDesc      TenantSort = "NAME_DESC"
	SortSlugAsc       TenantSort = "SLUG_ASC"
	SortSlugDesc      TenantSort = "SLUG_DESC"
)

// TenantFilterInput keeps the tenants that fit all of it; nil fits all.
type TenantFilterInput struct {
	// Search is a part of the name, the slug or the domain.
	Search *string
	State  *TenantState
}

// List says which tenants to list, and in what order.
type List struct {
	page.Args
	Filter *TenantFilterInput
	// Sort is SortCreatedAtDesc if nil.
	Sort *TenantSort
}

// List returns a page of all tenants, in one query along an index. The caller must
// be a member of the platform's own tenant with the permission tenants:manage.
//
// UNAUTHENTICATED without a caller; FORBIDDEN; INVALID_INPUT of first, after,
// filter.search or sort. A cursor belongs to one order.
func (t *Tenants) List(ctx context.Context, list List) (*TenantConnection, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.requirePlatform(ctx, caller, TenantsManage); err != nil {
		return nil, err
	}
	limit, err := list.Limit()
	if err != nil {
		return nil, err
	}
	sort := SortCreatedAtDesc
	if list.Sort != nil {
		sort = *list.Sort
	}
	from, err := list.place(sort)
	if err != nil {
		return nil, err
	}
	state, search, err := list.Filter.check()
	if err != nil {
		return nil, err
	}
	byMoment := platformdb.ListTenantsByCreatedAtAscendingParams{
		State: state, Search: search, AfterAt: from.at, AfterID: from.id, PageSize: int32(limit) + 1,
	}
	byText := platformdb.ListTenantsByNameAscendingParams{
		State: state, Search: search, AfterKey: from.text, AfterID: from.id, PageSize: int32(limit) + 1,
	}
	found, err := listTenants(ctx, t.store.Platform(), sort, byMoment, byText)
	if err != nil {
		return nil, fmt.Errorf("tenants: %w", err)
	}
	tenants, keys := make([]*Tenant, len(found)), make(map[*Tenant]string, len(found))
	for i, f := range found {
		tenants[i], keys[f.tenant] = f.tenant, f.key
	}
	return page.New(tenants, limit, list.Args, func(t *Tenant) string { return page.OrderedCursor(string(sort), keys[t], t.ID) }), nil
}

// listTenants runs the query of an order.
func listTenants(
	ctx context.Context, q db.PlatformQueries, sort TenantSort,
	byMoment platformdb.ListTenantsByCreatedAtAscendingParams, byText platformdb.ListTenantsByNameAscendingParams,
) ([]placed, error) {
	switch sort {
	case SortCreatedAtAsc:
		return fromRows(q.ListTenantsByCreatedAtAscending(ctx, byMoment))
	case SortCreatedAtDesc:
		return fromRows(q.ListTenantsByCreatedAtDescending(ctx, platformdb.ListTenantsByCreatedAtDescendingParams(byMoment)))
	case SortNameAsc:
		return fromRows(q.ListTenantsByNameAscending(ctx, byText))
	case SortNameDesc:
		return fromRows(q.ListTenantsByNameDescending(ctx, platformdb.ListTenantsByNameDescendingParams(byText)))
	case SortSlugAsc:
		return fromRows(q.ListTenantsBySlugAscending(ctx, platformdb.ListTenantsBySlugAscendingParams(byText)))
	default:
		return fromRows(q.ListTenantsBySlugDescending(ctx, platformdb.ListTenantsBySlugDescendingParams(byText)))
	}
}

// placed is a tenant and its key in the order.
type placed struct {
	tenant *Tenant
	key    string
}

// tenantRow is the row of each of these queries.
type tenantRow interface {
	~struct {
		ID        uuid.UUID
		State     string
		Slug      *string
		Name      *string
		Domain    *string
		Plan      string
		CreatedAt time.Time
		UpdatedAt time.Time
		Key       string
	}
}

func fromRows[R tenantRow](rows []R, err error) ([]placed, error) {
	found := make([]placed, len(rows))
	for i, r := range rows {
		row := platformdb.ListTenantsByNameAscendingRow(r)
		found[i] = placed{fromRow(platformdb.GetTenantRow{
			ID: row.ID, State: row.State, Slug: row.Slug, Name: row.Name, Domain: row.Domain, Plan: row.Plan,
			CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		}), row.Key}
		if row.Key == "" { // the order is by time
			found[i].key = row.CreatedAt.UTC().Format(time.RFC3339Nano)
		}
	}
	return found, err
}

// check returns the filter as the queries take it.
func (f *TenantFilterInput) check() (state, search *string, err error) {
	if f == nil {
		return nil, nil, nil
	}
	if search, err = input.Search("filter.search", f.Search); err != nil {
		return nil, nil, err
	}
	if f.State != nil {
		lower := strings.ToLower(string(*f.State))
		state = &lower
	}
	return state, search, nil
}

// place is where a page begins: after the text or the moment, and the id.
type place struct {
	text string
	at   time.Time
	id   uuid.UUID
}

// place returns where the list continues, or begins.
func (l List) place(sort TenantSort) (place, error) {
	switch sort {
	case SortCreatedAtAsc, SortNameAsc, SortSlugAsc, SortCreatedAtDesc, SortNameDesc, SortSlugDesc:
	default:
		return place{}, fault.InvalidInput("sort", "there is no such order")
	}
	after, err := l.AfterIn(string(sort))
	if err != nil {
		return place{}, err
	}
	if after == nil {
		if strings.HasSuffix(string(sort), "_DESC") {
			return place{lastText, lastMoment, uuid.Max}, nil
		}
		return place{"", firstMoment, uuid.Nil}, nil
	}
	from := place{text: after.Key, id: after.ID}
	if sort == SortCreatedAtAsc || sort == SortCreatedAtDesc {
		if from.at, err = time.Parse(time.RFC3339Nano, after.Key); err != nil {
			return place{}, page.Misplaced()
		}
	}
	return from, nil
}
