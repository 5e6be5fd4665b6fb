package tenant_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/tenant"
)

// fleet is a platform with tenants of these names, made two at a time; their slugs
// are the other way round.
func fleet(t *testing.T, names ...string) *platform {
	t.Helper()
	p := newPlatform(t, dbtest.NewDatabase(t))
	for i, name := range names {
		p.founded(t, name, fmt.Sprintf("s%02d", len(names)-i), now.Add(time.Duration(i/2)*time.Hour))
	}
	return p
}

// founded makes a tenant behind the scenes.
func (p *platform) founded(t *testing.T, name, slug string, at time.Time) uuid.UUID {
	t.Helper()
	id := p.Tenant(t).ID()
	if _, err := p.Connect(t, "postgres").Exec(t.Context(),
		"UPDATE platform.tenants SET name = $2, slug = $3, created_at = $4 WHERE id = $1", id, name, slug, at); err != nil {
		t.Fatal(err)
	}
	return id
}

// all reads the whole list in pages of two and returns the names; between pages
// it calls meanwhile.
func (p *platform) all(t *testing.T, list tenant.List, meanwhile func(page int)) (names []string) {
	t.Helper()
	list.First = ptr(2)
	for n := 0; ; n++ {
		found, err := p.tenants.List(p.asAdmin(t), list)
		if err != nil {
			t.Fatal(err)
		}
		for _, edge := range found.Edges {
			names = append(names, edge.Node.Name)
		}
		if !found.PageInfo.HasNextPage {
			return names
		}
		list.After = found.PageInfo.EndCursor
		if meanwhile != nil {
			meanwhile(n)
		}
	}
}

func TestTenantsInEachOrder(t *testing.T) {
	t.Parallel()
	long := "Zeta " + strings.Repeat("ö", 150) // no longer told apart by what orders: then ids do
	given := []string{"Äpfel", "acme", "Beta", "beta", long, long + "x", "globex"}
	p := fleet(t, given...)
	bySlug := slices.Clone(given)
	slices.Reverse(bySlug)
	notOurOwn := &tenant.TenantFilterInput{Search: ptr("s0")}
	for sort, want := range map[tenant.TenantSort][]string{
		tenant.SortCreatedAtAsc: given, tenant.SortSlugAsc: bySlug,
		tenant.SortNameAsc: {"acme", "Beta", "beta", "globex", long, long + "x", "Äpfel"},
	} {
		if diff := cmp.Diff(want, p.all(t, tenant.List{Filter: notOurOwn, Sort: &sort}, nil)); diff != "" {
			t.Errorf("%s: %s", sort, diff)
		}
		descending := tenant.TenantSort(strings.Replace(string(sort), "_ASC", "_DESC", 1))
		back := p.all(t, tenant.List{Filter: notOurOwn, Sort: &descending}, nil)
		slices.Reverse(back)
		if diff := cmp.Diff(want, back); diff != "" {
			t.Errorf("%s, the other way round: %s", descending, diff)
		}
	}
}

func TestTenantsFiltered(t *testing.T) {
	t.Parallel()
	p := fleet(t, "Acme", "Globex", "100%_")
	id := p.founded(t, "Gone", "gone", now)
	conn := p.Connect(t, "postgres")
	if _, err := conn.Exec(t.Context(), "UPDATE platform.tenants SET state = 'suspended', domain = 'trade.gone.example' WHERE id = $1", id); err != nil {
		t.Fatal(err)
	}
	suspended, active := tenant.StateSuspended, tenant.StateActive
	for name, c := range map[string]struct {
		filter tenant.TenantFilterInput
		want   []string
	}{
		"by name":   {tenant.TenantFilterInput{Search: ptr("CM")}, []string{"Acme"}},
		"by slug":   {tenant.TenantFilterInput{Search: ptr("S02")}, []string{"Globex"}},
		"by domain": {tenant.TenantFilterInput{Search: ptr("gone.EXAMPLE")}, []string{"Gone"}},
		"literally": {tenant.TenantFilterInput{Search: ptr("%_")}, []string{"100%_"}},
		"by state":  {tenant.TenantFilterInput{State: &suspended}, []string{"Gone"}},
		"by both":   {tenant.TenantFilterInput{State: &active, Search: ptr("gone")}, nil},
	} {
		if diff := cmp.Diff(c.want, p.all(t, tenant.List{Filter: &c.filter}, nil)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What comes and goes between two pages neither hides nor repeats what stays.
func TestTenantsArriveBetweenPages(t *testing.T) {
	t.Parallel()
	for _, sort := range []tenant.TenantSort{tenant.SortNameAsc, tenant.SortSlugDesc, tenant.SortCreatedAtDesc} {
		t.Run(string(sort), func(t *testing.T) {
			t.Parallel()
			p := fleet(t, "b", "d", "f", "h", "j")
			got := p.all(t, tenant.List{Sort: &sort, Filter: &tenant.TenantFilterInput{Search: ptr("s")}}, func(n int) {
				p.founded(t, "a"+fmt.Sprint(n), fmt.Sprintf("s99-%d", n), now.Add(time.Hour*1000))
				p.founded(t, "z"+fmt.Sprint(n), fmt.Sprintf("s00-%d", n), now.Add(-time.Hour*1000))
			})
			stayed := slices.DeleteFunc(slices.Clone(got), func(name string) bool { return !slices.Contains([]string{"b", "d", "f", "h", "j"}, name) })
			if slices.Sort(stayed); !slices.Equal(stayed, []string{"b", "d", "f", "h", "j"}) {
				t.Errorf("%q: of what stays, each must come once", got)
			}
		})
	}
}

func TestTenantsRefuse(t *testing.T) {
	t.Parallel()
	p := fleet(t, "a", "b")
	first, err := p.tenants.List(p.asAdmin(t), tenant.List{Args: page.Args{First: ptr(1)}, Sort: ptr(tenant.SortNameAsc)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		field string
		list  tenant.List
	}{
		{"first", tenant.List{Args: page.Args{First: ptr(0)}}},
		{"first", tenant.List{Args: page.Args{First: ptr(101)}}},
		{"after", tenant.List{Args: page.Args{After: ptr("x")}}},
		{"after", tenant.List{Args: page.Args{After: ptr(page.Cursor("CREATED_AT_DESC", "yesterday", uuid.NewString()))}}},
		{"after", tenant.List{Args: page.Args{After: ptr(page.Cursor("CREATED_AT_DESC", "2026-01-01T00:00:00Z", "1"))}}},
		{"after", tenant.List{Args: page.Args{After: first.PageInfo.EndCursor}}}, // of another order
		{"after", tenant.List{Args: page.Args{After: first.PageInfo.EndCursor}, Sort: ptr(tenant.SortNameDesc)}},
		{"sort", tenant.List{Sort: ptr(tenant.TenantSort("ID_ASC"))}},
		{"filter.search", tenant.List{Filter: &tenant.TenantFilterInput{Search: ptr(strings.Repeat("x", 101))}}},
		{"filter.search", tenant.List{Filter: &tenant.TenantFilterInput{Search: ptr("a\x00")}}},
	} {
		_, err := p.tenants.List(p.asAdmin(t), c.list)
		if f, ok := fault.As(err); !ok || f.Code != fault.CodeInvalidInput || f.Field != c.field {
			t.Errorf("%+v: %v, want INVALID_INPUT of %s", c.list, err, c.field)
		}
	}
	if _, err := p.tenants.List(t.Context(), tenant.List{}); !fault.Is(err, fault.CodeUnauthenticated) {
		t.Errorf("without a caller: %v", err)
	}
	other, err := p.tenants.EnsureTenant(t.Context(), unique(t), "Acme")
	if err != nil {
		t.Fatal(err)
	}
	owner := p.member(t, other, tenant.RoleOwner)
	viewer := p.member(t, p.own, tenant.RoleViewer)
	if _, err := p.tenants.List(as(t, other, owner), tenant.List{}); !fault.Is(err, fault.CodeForbidden) {
		t.Errorf("an owner of another tenant: %v", err)
	}
	if _, err := p.tenants.List(as(t, p.own, viewer), tenant.List{}); !fault.Is(err, fault.CodeForbidden) {
		t.Errorf("of the platform, without the permission: %v", err)
	}
}
