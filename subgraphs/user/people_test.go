package user_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// may gives a user a role of these permissions behind the scenes.
func (f *fixture) may(t *testing.T, in home, who uuid.UUID, permissions ...string) uuid.UUID {
	t.Helper()
	conn, role := f.Connect(t, "postgres"), uuid.Must(uuid.NewV7())
	var schema string
	if err := conn.QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", in.Tenant.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"INSERT INTO " + schema + ".roles (id, tenant_id, key, name, permissions) VALUES ($1, $2, 'r' || $3::text, 'Role', $4)",
		"INSERT INTO " + schema + ".user_roles (role_id, tenant_id, user_id) SELECT $1, $2, $3::uuid WHERE $4::text[] IS NOT NULL",
	} {
		if _, err := conn.Exec(t.Context(), statement, role, in.Tenant.ID(), who, permissions); err != nil {
			t.Fatal(err)
		}
	}
	return role
}

// Every root field and what it needs.
var guarded = map[string]string{
	"{ users { edges { cursor } } }":       "users:read",
	"{ roles { key } }":                    "roles:read",
	"{ auditEvents { edges { cursor } } }": "audit:read",
	`mutation { inviteUser(input: {email: "a@b.test", role: "x"}) { invitation { id } } }`:                                 "users:invite",
	"{ invitations { edges { cursor } } }":                                                                                 "users:invite",
	`mutation { withdrawInvitation(input: {invitationId: "00000000-0000-0000-0000-000000000000"}) { invitation { id } } }`: "users:invite",
	`mutation { deactivateUser(input: {userId: "00000000-0000-0000-0000-000000000000"}) { pending } }`:                     "users:manage",
	`mutation { createRole(input: {key: "x", name: "x", permissions: []}) { role { id } } }`:                               "roles:manage",
	`mutation { updateRole(input: {role: "x"}) { role { id } } }`:                                                          "roles:manage",
	`mutation { assignRole(input: {role: "x", userId: "00000000-0000-0000-0000-000000000000"}) { user { id } } }`:          "roles:manage",
	`mutation { unassignRole(input: {role: "x", userId: "00000000-0000-0000-0000-000000000000"}) { user { id } } }`:        "roles:manage",
}

func TestFieldsNeedTheirPermission(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	boss := f.person(t, f.in, "boss@acme.test")
	f.may(t, f.in, boss, "users:read", "roles:read", "audit:read", "users:invite", "users:manage", "roles:manage")
	for query, permission := range guarded {
		wantCode(t, query, f.execute(t.Context(), t, query, nil), "UNAUTHENTICATED", "")
		refused := f.execute(as(t, f.in, f.ada), t, query, nil)
		wantCode(t, query, refused, "FORBIDDEN", "")
		if !strings.Contains(refused.Errors[0].Message, permission) {
			t.Errorf("%s: %q does not name %s", query, refused.Errors[0].Message, permission)
		}
		if allowed := f.execute(as(t, f.in, boss), t, query, nil); len(allowed.Errors) > 0 && allowed.Errors[0].Extensions.Code == "FORBIDDEN" {
			t.Errorf("%s: %+v, with the permission", query, allowed)
		}
		abroad := home{Tenant: f.Tenant(t)}
		wantCode(t, "in another tenant: "+query, f.execute(as(t, abroad, boss), t, query, nil), "FORBIDDEN", "")
	}
	for query, want := range map[string]any{
		`{ can(permission: "users:read") }`:                              map[string]any{"can": true},
		`{ can(permission: "tenants:create") }`:                          map[string]any{"can": false},
		`{ can(permission: "") }`:                                        map[string]any{"can": false},
		`{ user(id: "00000000-0000-0000-0000-000000000000") { email } }`: map[string]any{"user": nil},
		`{ user(id: "` + f.ada.String() + `") { email state } }`:         map[string]any{"user": map[string]any{"email": "ada@acme.test", "state": "ACTIVE"}},
	} {
		if got := f.execute(as(t, f.in, boss), t, query, nil); len(got.Errors) > 0 || cmp.Diff(want, got.Data) != "" {
			t.Errorf("%s: %+v", query, got)
		}
	}
	wantCode(t, "a malformed id", f.execute(as(t, f.in, boss), t, `{ user(id: "x") { id } }`, nil), "INVALID_INPUT", "id")
	wantCode(t, "somebody else", f.execute(as(t, f.in, f.ada), t, `{ user(id: "`+boss.String()+`") { id } }`, nil), "FORBIDDEN", "")
}

// Keys of another tenant answer as keys of nothing, for every entity.
func TestEntitiesOfAnotherTenant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	abroad := home{Tenant: f.Tenant(t)}
	boss, stranger := f.person(t, f.in, "boss@acme.test"), f.person(t, abroad, "boss@globex.test")
	own, foreign := f.may(t, f.in, boss, "users:read", "roles:read"), f.may(t, abroad, stranger, "users:read", "roles:read")
	const query = "query($keys: [_Any!]!) { _entities(representations: $keys) { __typename ... on Role { key users { edges { node { email } } } } ... on Tenant { people: users { edges { node { email } } } } } }"
	for typename, ids := range map[string][]uuid.UUID{
		"Role":   {own, foreign, uuid.New(), uuid.Nil},
		"Tenant": {f.in.Tenant.ID(), abroad.Tenant.ID(), uuid.New(), uuid.Nil},
		"User":   {boss, stranger, uuid.New(), uuid.Nil},
	} {
		keys := []any{}
		for _, id := range ids {
			keys = append(keys, map[string]any{"__typename": typename, "id": id.String()})
		}
		ask := func(ctx context.Context) response { return f.execute(ctx, t, query, map[string]any{"keys": keys}) }
		got := ask(as(t, f.in, boss))
		found, _ := got.Data.(map[string]any)["_entities"].([]any)
		if len(got.Errors) > 0 || len(found) != 4 || found[0] == nil {
			t.Fatalf("%s: %+v", typename, got)
		}
		if diff := cmp.Diff([]any{nil, nil, nil}, found[1:]); diff != "" {
			t.Errorf("%s of others: %s", typename, diff)
		}
		wantCode(t, typename+" without a caller", ask(t.Context()), "UNAUTHENTICATED", "")
		for _, bad := range []any{"1", nil, 7, "{" + own.String() + "}", "' OR 1=1 --", map[string]any{}} {
			wantCode(t, "malformed "+typename, f.execute(as(t, f.in, boss), t, query,
				map[string]any{"keys": []any{map[string]any{"__typename": typename, "id": bad}}}), "INVALID_INPUT", "representations")
		}
	}
	unknown := f.execute(as(t, f.in, boss), t, query, map[string]any{"keys": []any{map[string]any{"__typename": "AuditEvent", "id": own.String()}}})
	if len(unknown.Errors) != 1 || unknown.Data != nil && unknown.Data.(map[string]any)["_entities"].([]any)[0] != nil {
		t.Errorf("what is no entity: %+v", unknown)
	}
}
