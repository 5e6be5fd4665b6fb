package user_test

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
	"github.com/tradesage/tradesage/internal/permission"
	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/internal/user"
	usergraph "github.com/tradesage/tradesage/subgraphs/user"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// home is a tenant: a caller of whom nothing else is set.
type home = identity.Caller

type fixture struct {
	*dbtest.Env
	server *subgraph.Server
	in     home
	ada    uuid.UUID
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	env := dbtest.New(t)
	f := &fixture{Env: env, in: home{Tenant: env.Tenant(t)}}
	store, quiet := env.DB.Store("svc_user"), slog.New(slog.DiscardHandler)
	permissions := permission.New(permission.Options{Store: store})
	invitations, err := tenant.NewInvitationMails([]byte(strings.Repeat("s", 32)), "https://tradesage.test")
	if err != nil {
		t.Fatal(err)
	}
	revocations, err := session.NewRevocations(session.RevocationsOptions{
		Store: env.DB.PlatformStore("svc_router"), Redis: env.Redis, Prefix: env.Prefix, TokenLifetime: time.Minute, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	users, err := user.New(user.Options{Store: store, Permissions: permissions, Invitations: invitations, Announcer: revocations, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	f.server = subgraph.New("user", usergraph.New(users, permissions), subgraph.Options{Logger: quiet})
	f.ada = f.person(t, f.in, "ada@acme.test")
	return f
}

func (f *fixture) person(t *testing.T, in home, email string) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	conn := f.Connect(t, "postgres")
	var schema string
	if err := conn.QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", in.Tenant.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO "+schema+".users (id, tenant_id, email, display_name) VALUES ($1, $2, $3, 'Ada')",
		id, in.Tenant.ID(), email); err != nil {
		t.Fatal(err)
	}
	return id
}

func as(t *testing.T, in home, subject uuid.UUID) context.Context {
	return identity.NewContext(t.Context(), &identity.Caller{
		Subject: subject, Session: uuid.Must(uuid.NewV7()), Tenant: in.Tenant, AuthTime: time.Now(), Expires: time.Now().Add(time.Hour),
	})
}

type response struct {
	Data   any
	Errors []struct {
		Message    string
		Path       []any
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

func TestMe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	got := f.execute(as(t, f.in, f.ada), t, "{ me { id email displayName locale timeZone tenant { id } } }", nil)
	want := map[string]any{"me": map[string]any{
		"id": f.ada.String(), "email": "ada@acme.test", "displayName": "Ada", "locale": "en", "timeZone": "UTC",
		"tenant": map[string]any{"id": f.in.Tenant.ID().String()},
	}}
	if diff := cmp.Diff(any(want), got.Data); diff != "" || len(got.Errors) > 0 {
		t.Error(diff, got.Errors)
	}
	times := f.execute(as(t, f.in, f.ada), t, "{ me { createdAt } }", nil)
	created, _ := times.Data.(map[string]any)["me"].(map[string]any)["createdAt"].(string)
	if moment, err := time.Parse(time.RFC3339Nano, created); err != nil || created[len(created)-1] != 'Z' || time.Since(moment) > time.Hour {
		t.Errorf("createdAt %q, want now in UTC", created)
	}
}

func TestEveryRootFieldNeedsACaller(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	wantCode(t, "me", f.execute(t.Context(), t, "{ me { id } }", nil), "UNAUTHENTICATED", "")
	wantCode(t, "updateProfile", f.execute(t.Context(), t,
		`mutation { updateProfile(input: {displayName: "x"}) { user { id } } }`, nil), "UNAUTHENTICATED", "")
}

func TestUpdateProfile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const change = "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { user { displayName locale } } }"
	ctx := as(t, f.in, f.ada)
	got := f.execute(ctx, t, change, map[string]any{"input": map[string]any{"displayName": " Ada L. ", "locale": nil}})
	want := map[string]any{"updateProfile": map[string]any{"user": map[string]any{"displayName": "Ada L.", "locale": "en"}}}
	if diff := cmp.Diff(any(want), got.Data); diff != "" || len(got.Errors) > 0 {
		t.Error(diff, got.Errors)
	}
	for _, c := range []struct {
		input map[string]any
		field string
	}{
		{map[string]any{}, "input"},
		{map[string]any{"locale": nil}, "input"},
		{map[string]any{"locale": "nowhere at all"}, "input.locale"},
		{map[string]any{"displayName": "x", "timeZone": "Mars/Olympus"}, "input.timeZone"},
	} {
		wantCode(t, "bad input", f.execute(ctx, t, change, map[string]any{"input": c.input}), "INVALID_INPUT", c.field)
	}
	after := f.execute(ctx, t, "{ me { displayName } }", nil)
	if diff := cmp.Diff(any(map[string]any{"me": map[string]any{"displayName": "Ada L."}}), after.Data); diff != "" {
		t.Errorf("a refused change was made: %s", diff)
	}
}

// Attacks on the subgraph's own port: keys of others answer as keys of nothing.
func TestEntitiesOfOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	elsewhere := home{Tenant: f.Tenant(t)}
	bob, stranger := f.person(t, f.in, "bob@acme.test"), f.person(t, elsewhere, "ada@acme.test")
	const query = "query($keys: [_Any!]!) { _entities(representations: $keys) { ... on User { id email } } }"
	keys := func(ids ...any) map[string]any {
		all := make([]any, len(ids))
		for i, id := range ids {
			// What else a representation says must not matter.
			all[i] = map[string]any{"__typename": "User", "id": id, "email": "ada@acme.test", "tenant": map[string]any{"id": elsewhere.Tenant.ID()}}
		}
		return map[string]any{"keys": all}
	}
	ctx := as(t, f.in, f.ada)
	got := f.execute(ctx, t, query, keys(stranger, bob, f.ada, uuid.Must(uuid.NewV7()), uuid.Nil))
	self := map[string]any{"id": f.ada.String(), "email": "ada@acme.test"}
	if diff := cmp.Diff(any(map[string]any{"_entities": []any{nil, nil, self, nil, nil}}), got.Data); diff != "" || len(got.Errors) > 0 {
		t.Error(diff, got.Errors)
	}
	wantCode(t, "no caller", f.execute(t.Context(), t, query, keys(f.ada)), "UNAUTHENTICATED", "")
	for _, bad := range []any{"1", nil, 7, "{" + f.ada.String() + "}", "' OR 1=1 --", []any{f.ada}} {
		wantCode(t, "malformed key", f.execute(ctx, t, query, keys(f.ada, bad)), "INVALID_INPUT", "representations")
	}
	wantCode(t, "no type", f.execute(ctx, t, query, map[string]any{"keys": []any{map[string]any{"id": f.ada}}}), "INVALID_INPUT", "representations")
}
