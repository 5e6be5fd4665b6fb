package user_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/internal/user"
)

// names pages through the whole list, two at a time.
func (c company) names(t *testing.T, list user.List) []string {
	t.Helper()
	names := []string{}
	list.First = ptr(2)
	for {
		found, err := c.users.List(as(t, c.in, c.owner), list)
		if err != nil {
			t.Fatal(err)
		}
		for _, edge := range found.Edges {
			names = append(names, edge.Node.DisplayName)
		}
		if !found.PageInfo.HasNextPage {
			return names
		}
		list.After = found.PageInfo.EndCursor
	}
}

func TestListUsers(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	elsewhere := c.found(t)
	c.member(t, elsewhere, tenant.RoleOwner)
	c.exec(t, c.in, "UPDATE users SET display_name = 'zoë 100%_', state = 'deactivated' WHERE id = $1", c.viewer)
	everybody := []string{"Some owner", "Some admin", "Some trader", "zoë 100%_"}
	for _, test := range []struct {
		what   string
		filter *user.UserFilterInput
		sort   user.UserSort
		want   []string
	}{
		{"as they came", nil, user.SortCreatedAtAsc, everybody},
		{"the other way round", nil, user.SortCreatedAtDesc, []string{"zoë 100%_", "Some trader", "Some admin", "Some owner"}},
		{"by name", nil, user.SortNameAsc, []string{"Some admin", "Some owner", "Some trader", "zoë 100%_"}},
		{"by name, downwards", nil, user.SortNameDesc, []string{"zoë 100%_", "Some trader", "Some owner", "Some admin"}},
		{"by address", nil, user.SortEmailAsc, []string{"Some admin", "Some owner", "Some trader", "zoë 100%_"}},
		{"by address, downwards", nil, user.SortEmailDesc, []string{"zoë 100%_", "Some trader", "Some owner", "Some admin"}},
		{"searched", &user.UserFilterInput{Search: ptr("TRAD")}, user.SortNameAsc, []string{"Some trader"}},
		{"searched by address", &user.UserFilterInput{Search: ptr("Viewer-")}, user.SortNameAsc, []string{"zoë 100%_"}},
		{"% is no wildcard", &user.UserFilterInput{Search: ptr("%_")}, user.SortNameAsc, []string{"zoë 100%_"}},
		{"_ is no wildcard", &user.UserFilterInput{Search: ptr("_ome")}, user.SortNameAsc, []string{}},
		{"by state", &user.UserFilterInput{State: ptr(user.StateDeactivated)}, user.SortNameAsc, []string{"zoë 100%_"}},
		{"by role", &user.UserFilterInput{Role: ptr("admin")}, user.SortNameAsc, []string{"Some admin"}},
		{"by no role", &user.UserFilterInput{Role: ptr("nothing")}, user.SortNameAsc, []string{}},
		{"by rubbish", &user.UserFilterInput{Role: ptr("a\x00\xff")}, user.SortNameAsc, []string{}},
		{"all of it", &user.UserFilterInput{Search: ptr("some"), State: ptr(user.StateActive), Role: ptr("owner")}, user.SortNameAsc, []string{"Some owner"}},
	} {
		if diff := cmp.Diff(test.want, c.names(t, user.List{Filter: test.filter, Sort: &test.sort})); diff != "" {
			t.Errorf("%s: %s", test.what, diff)
		}
	}
}

func TestListUsersRefusesBadInput(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	owner := as(t, c.in, c.owner)
	byName, err := c.users.List(owner, user.List{Args: page.Args{First: ptr(1)}, Sort: ptr(user.SortNameAsc)})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		field string
		list  user.List
	}{
		{"first", user.List{Args: page.Args{First: ptr(0)}}},
		{"first", user.List{Args: page.Args{First: ptr(101)}}},
		{"after", user.List{Args: page.Args{After: ptr("x")}}},
		{"after", user.List{Args: page.Args{After: byName.PageInfo.EndCursor}}}, // of another order
		{"after", user.List{Args: page.Args{After: ptr(page.Cursor("CREATED_AT_ASC", "x\x00", uuid.NewString()))}}},
		{"after", user.List{Args: page.Args{After: ptr(page.Cursor("CREATED_AT_ASC", "x", "y"))}}},
		{"filter.search", user.List{Filter: &user.UserFilterInput{Search: ptr(strings.Repeat("x", 101))}}},
		{"filter.search", user.List{Filter: &user.UserFilterInput{Search: ptr("a\x00")}}},
		{"sort", user.List{Sort: ptr(user.UserSort("'; --"))}},
	} {
		_, err := c.users.List(owner, test.list)
		wantFault(t, err, fault.CodeInvalidInput, test.field)
	}
	_, err = c.users.List(as(t, c.in, c.trader), user.List{})
	wantFault(t, err, fault.CodeForbidden, "")
}

func TestAuditEvents(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	for _, key := range []string{"a", "b", "c"} {
		if _, err := c.users.CreateRole(as(t, c.in, c.admin), user.CreateRoleInput{Key: key, Name: key}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.users.UpdateProfile(as(t, c.in, c.trader), user.UpdateProfileInput{DisplayName: ptr("T")}); err != nil {
		t.Fatal(err)
	}
	admin := as(t, c.in, c.admin)
	targets := func(filter *user.AuditEventFilterInput) []string {
		t.Helper()
		all, args := []string{}, page.Args{First: ptr(2)}
		for {
			found, err := c.users.AuditEvents(admin, args, filter)
			if err != nil {
				t.Fatal(err)
			}
			for _, edge := range found.Edges {
				all = append(all, edge.Node.Target)
			}
			if !found.PageInfo.HasNextPage {
				return all
			}
			args.After = found.PageInfo.EndCursor
		}
	}
	for what, test := range map[string]struct {
		filter user.AuditEventFilterInput
		want   []string
	}{
		"by action":  {user.AuditEventFilterInput{Action: ptr("role.create")}, []string{"c", "b", "a"}},
		"by actor":   {user.AuditEventFilterInput{ActorID: &c.trader}, []string{c.trader.String()}},
		"too early":  {user.AuditEventFilterInput{To: ptr(time.Now().Add(-time.Hour))}, []string{}},
		"too late":   {user.AuditEventFilterInput{From: ptr(time.Now().Add(time.Hour))}, []string{}},
		"by target":  {user.AuditEventFilterInput{Target: ptr("b")}, []string{"b"}},
		"by no text": {user.AuditEventFilterInput{Target: ptr("a\x00")}, []string{}},
		"by rubbish": {user.AuditEventFilterInput{Action: ptr("a\x00")}, []string{}},
		"all of it": {user.AuditEventFilterInput{
			Action: ptr("role.create"), ActorID: &c.admin, From: ptr(time.Now().Add(-time.Hour)), To: ptr(time.Now().Add(time.Hour)),
		}, []string{"c", "b", "a"}},
	} {
		if diff := cmp.Diff(test.want, targets(&test.filter)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	elsewhere := c.found(t)
	boss := c.member(t, elsewhere, tenant.RoleOwner)
	found, err := c.users.AuditEvents(as(t, elsewhere, boss), page.Args{}, &user.AuditEventFilterInput{Action: ptr("role.create")})
	if err != nil || len(found.Edges) > 0 {
		t.Errorf("%+v, %v: another tenant's record shows", found, err)
	}
	_, err = c.users.AuditEvents(as(t, c.in, c.trader), page.Args{}, nil)
	wantFault(t, err, fault.CodeForbidden, "")
}

// What comes between two pages neither hides nor repeats what was there.
func TestListsGrowBetweenPages(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	for range 4 {
		c.member(t, c.in, tenant.RoleTrader)
	}
	owner := as(t, c.in, c.owner)
	for _, sort := range []user.UserSort{user.SortCreatedAtAsc, user.SortCreatedAtDesc, user.SortEmailAsc, user.SortNameDesc} {
		before, err := c.users.List(owner, user.List{Args: page.Args{First: ptr(100)}})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[uuid.UUID]int{}
		list := user.List{Args: page.Args{First: ptr(2)}, Sort: &sort}
		for more, rounds := true, 0; more; rounds++ {
			found, err := c.users.List(owner, list)
			if err != nil {
				t.Fatal(err)
			}
			for _, edge := range found.Edges {
				seen[edge.Node.ID]++
			}
			if more, list.After = found.PageInfo.HasNextPage, found.PageInfo.EndCursor; rounds < 3 {
				c.member(t, c.in, tenant.RoleViewer)
			}
		}
		for _, edge := range before.Edges {
			if n := seen[edge.Node.ID]; n != 1 {
				t.Errorf("%s: a user came %d times", sort, n)
			}
		}
	}
	first, err := c.users.AuditEvents(owner, page.Args{First: ptr(2)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := c.users.AuditEvents(owner, page.Args{First: ptr(100)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.member(t, c.in, tenant.RoleViewer)
	rest, err := c.users.AuditEvents(owner, page.Args{First: ptr(98), After: first.PageInfo.EndCursor}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole.Edges[2:], rest.Edges); diff != "" || len(rest.Edges) == 0 {
		t.Errorf("the record after its first page: %s", diff)
	}
}

func TestRolesAndTheirHolders(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	second := c.member(t, c.in, tenant.RoleTrader)
	roles, err := c.users.Roles(as(t, c.in, c.admin))
	if err != nil {
		t.Fatal(err)
	}
	keys, ids := []string{}, []uuid.UUID{}
	for _, role := range roles {
		keys, ids = append(keys, role.Key), append(ids, role.ID)
	}
	if diff := cmp.Diff([]string{"admin", "owner", "trader", "viewer"}, keys); diff != "" {
		t.Error(diff)
	}
	pages, err := c.users.HoldersOf(as(t, c.in, c.admin), append(ids, uuid.New()), page.Args{First: ptr(1)})
	if err != nil {
		t.Fatal(err)
	}
	got := []uuid.UUID{}
	for _, p := range pages {
		for _, edge := range p.Edges {
			got = append(got, edge.Node.ID)
		}
	}
	if diff := cmp.Diff([]uuid.UUID{c.admin, c.owner, c.trader, c.viewer}, got); diff != "" || !pages[2].PageInfo.HasNextPage || pages[3].PageInfo.HasNextPage {
		t.Errorf("first of each role: %s", diff)
	}
	next, err := c.users.HoldersOf(as(t, c.in, c.admin), ids[2:3], page.Args{After: pages[2].PageInfo.EndCursor})
	if err != nil || len(next[0].Edges) != 1 || next[0].Edges[0].Node.ID != second {
		t.Errorf("%+v, %v", next, err)
	}
	// From another tenant, and by one who may not, nothing shows.
	elsewhere := c.found(t)
	boss := as(t, elsewhere, c.member(t, elsewhere, tenant.RoleOwner))
	if abroad, err := c.users.HoldersOf(boss, ids, page.Args{}); err != nil || len(abroad[0].Edges)+len(abroad[1].Edges) > 0 {
		t.Errorf("%+v, %v", abroad, err)
	}
	for name, ctx := range map[string]struct {
		found []*user.Role
		err   error
	}{
		"abroad":  first(c.users.RolesByID(boss, ids)),
		"trader":  first(c.users.RolesByID(as(t, c.in, c.trader), ids)),
		"unknown": first(c.users.RolesByID(as(t, c.in, c.admin), []uuid.UUID{uuid.New(), uuid.Nil})),
	} {
		for _, role := range ctx.found {
			if role != nil || ctx.err != nil {
				t.Errorf("%s: %+v, %v", name, role, ctx.err)
			}
		}
	}
	if held, err := c.users.RolesOf(as(t, c.in, c.trader), []uuid.UUID{c.owner, c.trader}); err != nil || len(held[0]) != 0 || len(held[1]) != 1 {
		t.Errorf("%+v, %v: a trader sees their own roles only", held, err)
	}
	_, err = c.users.Roles(as(t, c.in, c.trader))
	wantFault(t, err, fault.CodeForbidden, "")
}

func first(found []*user.Role, err error) struct {
	found []*user.Role
	err   error
} {
	return struct {
		found []*user.Role
		err   error
	}{found, err}
}
