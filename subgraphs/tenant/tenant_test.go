package tenant_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/tenant"
	tenantgraph "github.com/tradesage/tradesage/subgraphs/tenant"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

type fixture struct {
	*dbtest.Env
	tenants *tenant.Tenants
	server  *subgraph.Server
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Env: dbtest.New(t)}
	store, quiet := f.DB.PlatformStore("svc_tenant"), slog.New(slog.DiscardHandler)
	invitations, err := tenant.NewInvitationMails([]byte(strings.Repeat("s", 32)), "https://tradesage.test")
	if err != nil {
		t.Fatal(err)
	}
	f.tenants, err = tenant.New(tenant.Options{
		Store: store, Invitations: invitations,
		Refiller: tenant.NewRefiller(store, 1, quiet), Now: time.Now, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.server = subgraph.New("tenant", tenantgraph.New(f.tenants), subgraph.Options{Logger: quiet})
	return f
}

// home is a tenant: a caller of whom nothing else is set.
type home = identity.Caller

func as(t *testing.T, in home, subject uuid.UUID) context.Context {
	return identity.NewContext(t.Context(), &identity.Caller{
		Subject: subject, Session: uuid.Must(uuid.NewV7()), Tenant: in.Tenant, AuthTime: time.Now(), Expires: time.Now().Add(time.Hour),
	})
}

type response struct {
	Data   any
	Errors []struct {
		Message    string
		Extensions struct{ Code, Field string }
	}
}

func (f *fixture) execute(ctx context.Context, t *testing.T, query string, variables any) response {
	t.Helper()
	encoded, err := json.Marshal(variables)
	if err != nil {
		t.Fatal(err)
	}
	var r response
	if err := json.Unmarshal(f.server.Execute(ctx, query, "", encoded), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantCode(t *testing.T, what string, r response, code, field string) {
	t.Helper()
	if len(r.Errors) != 1 || r.Errors[0].Extensions.Code != code || r.Errors[0].Extensions.Field != field {
		t.Errorf("%s: %+v, want %s of %q", what, r, code, field)
	}
}

const createTenant = `mutation($input: CreateTenantInput!) {
	createTenant(input: $input) { tenant { slug name domain state } } }`

func TestCreateTenant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	own, err := f.tenants.EnsureTenant(t.Context(), tenant.PlatformSlug, "TradeSage")
	if err != nil {
		t.Fatal(err)
	}
	admin := uuid.Must(uuid.NewV7())
	email := admin.String() + "@people.test"
	if _, err := f.Connect(t, "postgres").Exec(t.Context(), "INSERT INTO platform.identities (id, email) VALUES ($1, $2)", admin, email); err != nil {
		t.Fatal(err)
	}
	if err := f.tenants.EnsureMember(t.Context(), tenant.Member{Tenant: own, Identity: admin, Email: email, RoleKey: tenant.RolePlatformAdmin}); err != nil {
		t.Fatal(err)
	}
	ctx := as(t, home{Tenant: own}, admin)
	slug := "x" + strings.ReplaceAll(admin.String(), "-", "")
	input := map[string]any{"name": "Acme", "slug": slug, "ownerEmail": "owner@acme.test"}
	variables := map[string]any{"input": input}

	wantCode(t, "no caller", f.execute(t.Context(), t, createTenant, variables), "UNAUTHENTICATED", "")
	wantCode(t, "another tenant", f.execute(as(t, home{Tenant: f.Tenant(t)}, admin), t, createTenant, variables), "FORBIDDEN", "")
	got := f.execute(ctx, t, createTenant, variables)
	want := map[string]any{"createTenant": map[string]any{"tenant": map[string]any{"slug": slug, "name": "Acme", "domain": nil, "state": "ACTIVE"}}}
	if diff := cmp.Diff(any(want), got.Data); diff != "" || len(got.Errors) > 0 {
		t.Fatal(diff, got.Errors)
	}
	wantCode(t, "again", f.execute(ctx, t, createTenant, variables), "CONFLICT", "input.slug")
	input["slug"] = "Not A Slug"
	wantCode(t, "bad slug", f.execute(ctx, t, createTenant, variables), "INVALID_INPUT", "input.slug")
}

// Attacks on the subgraph's own port: keys of others answer as keys of nothing.
func TestEntitiesOfOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme, globex := f.Tenant(t), f.Tenant(t)
	const query = "query($keys: [_Any!]!) { _entities(representations: $keys) { ... on Tenant { id state } } }"
	keys := func(ids ...any) map[string]any {
		all := make([]any, len(ids))
		for i, id := range ids {
			all[i] = map[string]any{"__typename": "Tenant", "id": id, "slug": "acme"}
		}
		return map[string]any{"keys": all}
	}
	ctx := as(t, home{Tenant: acme}, uuid.Must(uuid.NewV7()))
	own := map[string]any{"id": acme.ID().String(), "state": "ACTIVE"}
	got := f.execute(ctx, t, query, keys(globex.ID(), acme.ID(), uuid.Must(uuid.NewV7()), uuid.Nil, acme.ID()))
	if diff := cmp.Diff(any(map[string]any{"_entities": []any{nil, own, nil, nil, own}}), got.Data); diff != "" || len(got.Errors) > 0 {
		t.Error(diff, got.Errors)
	}
	wantCode(t, "no caller", f.execute(t.Context(), t, query, keys(acme.ID())), "UNAUTHENTICATED", "")
	for _, bad := range []any{"acme", "", nil, 7, strings.ToUpper(acme.ID().String()), strings.ReplaceAll(acme.ID().String(), "-", "")} {
		wantCode(t, "malformed key", f.execute(ctx, t, query, keys(bad)), "INVALID_INPUT", "representations")
	}
	mine := f.execute(ctx, t, "{ tenant { id state } }", nil)
	if diff := cmp.Diff(any(map[string]any{"tenant": own}), mine.Data); diff != "" || len(mine.Errors) > 0 {
		t.Error(diff, mine.Errors)
	}
	wantCode(t, "tenant without a caller", f.execute(t.Context(), t, "{ tenant { id } }", nil), "UNAUTHENTICATED", "")
}
