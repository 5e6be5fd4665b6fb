package session_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
	"github.com/tradesage/tradesage/internal/session"
	sessiongraph "github.com/tradesage/tradesage/subgraphs/session"
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
	quiet := slog.New(slog.DiscardHandler)
	sessions := session.NewSessions(session.SessionsOptions{
		Store: env.DB.Store("svc_session"), Permissions: permission.New(permission.Options{Store: env.DB.Store("svc_session")}),
		Live: session.NewLive(session.LiveOptions{Redis: env.Redis, Prefix: env.Prefix, Logger: quiet}),
	})
	f := &fixture{
		Env: env, in: home{Tenant: env.Tenant(t)},
		server: subgraph.New("session", sessiongraph.New(sessions), subgraph.Options{Logger: quiet}),
	}
	f.ada = f.person(t)
	return f
}

func (f *fixture) person(t *testing.T) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	if _, err := f.Connect(t, "postgres").Exec(t.Context(),
		"INSERT INTO platform.identities (id, email) VALUES ($1, $2)", id, id.String()+"@people.test"); err != nil {
		t.Fatal(err)
	}
	return id
}

// signIn makes a session on a new device, which it names.
func (f *fixture) signIn(t *testing.T, in home, who uuid.UUID, device string) (id, deviceID uuid.UUID) {
	t.Helper()
	id, deviceID = uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	conn := f.Connect(t, "postgres")
	if _, err := conn.Exec(t.Context(), `INSERT INTO platform.sessions
		(id, tenant_id, identity_id, device_id, user_agent, ip, amr, auth_time, expires_at)
		VALUES ($1, $2, $3, $4, 'Test/1', '192.0.2.1', '{pwd}', now(), now() + interval '1 hour')`,
		id, in.Tenant.ID(), who, deviceID); err != nil {
		t.Fatal(err)
	}
	var schema string
	if err := conn.QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", in.Tenant.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO "+schema+".devices (id, tenant_id, user_id, name, kind) VALUES ($1, $2, $3, $4, 'mobile')",
		deviceID, in.Tenant.ID(), who, device); err != nil {
		t.Fatal(err)
	}
	return id, deviceID
}

func as(t *testing.T, in home, subject, current uuid.UUID) context.Context {
	return identity.NewContext(t.Context(), &identity.Caller{
		Subject: subject, Session: current, Tenant: in.Tenant, AuthTime: time.Now(), Expires: time.Now().Add(time.Hour),
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

func (f *fixture) entities(ctx context.Context, t *testing.T, selection string, keys ...any) response {
	t.Helper()
	return f.execute(ctx, t, "query($keys: [_Any!]!) { _entities(representations: $keys) { __typename "+selection+" } }", map[string]any{"keys": keys})
}

func key(typename string, id any) map[string]any {
	return map[string]any{"__typename": typename, "id": id}
}

const page = `... on User { sessions(first: 2) {
	edges { cursor node { id current ipAddress userAgent device { name kind } } } pageInfo { hasNextPage hasPreviousPage endCursor } } }`

func TestOwnSessions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, _ = f.signIn(t, f.in, f.ada, "First")
	second, _ := f.signIn(t, f.in, f.ada, "Second")
	third, _ := f.signIn(t, f.in, f.ada, "Third")
	ctx := as(t, f.in, f.ada, second)
	got := f.entities(ctx, t, page, key("User", f.ada))
	if len(got.Errors) > 0 {
		t.Fatal(got.Errors)
	}
	connection := got.Data.(map[string]any)["_entities"].([]any)[0].(map[string]any)["sessions"].(map[string]any)
	cursor := connection["pageInfo"].(map[string]any)["endCursor"]
	edge := func(id uuid.UUID, current bool, device string) map[string]any {
		return map[string]any{"id": id.String(), "current": current, "ipAddress": "192.0.2.1", "userAgent": "Test/1",
			"device": map[string]any{"name": device, "kind": "MOBILE"}}
	}
	edges := connection["edges"].([]any)
	if diff := cmp.Diff([]any{edge(third, false, "Third"), edge(second, true, "Second")},
		[]any{edges[0].(map[string]any)["node"], edges[1].(map[string]any)["node"]}); diff != "" {
		t.Error(diff)
	}
	rest := f.execute(ctx, t, `query($keys: [_Any!]!, $after: String) { _entities(representations: $keys) { ... on User {
		sessions(after: $after) { edges { node { device { name } } } pageInfo { hasNextPage hasPreviousPage } } } } }`,
		map[string]any{"keys": []any{key("User", f.ada)}, "after": cursor})
	want := map[string]any{"_entities": []any{map[string]any{"sessions": map[string]any{
		"edges":    []any{map[string]any{"node": map[string]any{"device": map[string]any{"name": "First"}}}},
		"pageInfo": map[string]any{"hasNextPage": false, "hasPreviousPage": true},
	}}}}
	if diff := cmp.Diff(want, rest.Data); diff != "" || len(rest.Errors) > 0 {
		t.Error(diff, rest.Errors)
	}
}

// Attacks on the subgraph's own port: keys of others answer as keys of nothing.
func TestEntitiesOfOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	elsewhere, bob := home{Tenant: f.Tenant(t)}, f.person(t)
	own, ownDevice := f.signIn(t, f.in, f.ada, "Own")
	bobs, bobsDevice := f.signIn(t, f.in, bob, "Bob's")
	other, otherDevice := f.signIn(t, elsewhere, f.ada, "Own, in another tenant")
	ctx := as(t, f.in, f.ada, own)
	nobody := uuid.Must(uuid.NewV7())
	for typename, keys := range map[string][]uuid.UUID{
		"User":    {f.ada, bob, nobody, uuid.Nil},
		"Session": {own, bobs, nobody, other, uuid.Nil},
		"Device":  {ownDevice, bobsDevice, nobody, otherDevice, uuid.Nil},
	} {
		var representations []any
		want := []any{map[string]any{"__typename": typename}}
		for i, id := range keys {
			representations = append(representations, key(typename, id.String()))
			if i > 0 {
				want = append(want, nil)
			}
		}
		got := f.entities(ctx, t, "", representations...)
		if diff := cmp.Diff(any(map[string]any{"_entities": want}), got.Data); diff != "" || len(got.Errors) > 0 {
			t.Errorf("%s: %s %v", typename, diff, got.Errors)
		}
		anonymous := f.entities(t.Context(), t, "", representations...)
		if len(anonymous.Errors) != 1 || anonymous.Errors[0].Extensions.Code != "UNAUTHENTICATED" {
			t.Errorf("%s without a caller: %+v", typename, anonymous)
		}
		for _, bad := range []any{"1", "", nil, 7, "{" + own.String() + "}", "urn:uuid:" + own.String(), "' OR 1=1 --", map[string]any{"id": own}} {
			refused := f.entities(ctx, t, "", key(typename, bad))
			if len(refused.Errors) != 1 || refused.Errors[0].Extensions.Code != "INVALID_INPUT" {
				t.Errorf("%s %v: %+v, want INVALID_INPUT", typename, bad, refused)
			}
		}
	}
}

func TestSessionsRefuseBadPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	own, _ := f.signIn(t, f.in, f.ada, "Own")
	for arguments, field := range map[string]string{
		"first: 0": "first", "first: 101": "first", "first: -1": "first", `after: "x"`: "after", `after: ""`: "after",
	} {
		got := f.entities(as(t, f.in, f.ada, own), t, "... on User { sessions("+arguments+") { edges { cursor } } }", key("User", f.ada))
		if len(got.Errors) != 1 || got.Errors[0].Extensions.Code != "INVALID_INPUT" || got.Errors[0].Extensions.Field != field {
			t.Errorf("%s: %+v, want INVALID_INPUT of %s", arguments, got, field)
		}
	}
}
