package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/tenant"
	authgraph "github.com/tradesage/tradesage/subgraphs/auth"
)

// entities are the types that a subgraph resolves by key, as its schema says.
func entities(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("../../subgraphs/*/*.graphqls")
	if err != nil || len(files) == 0 {
		t.Fatal("no schemas", err)
	}
	found := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := parser.ParseSchema(&ast.Source{Name: file, Input: string(text)})
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(file))
		for _, d := range schema.Definitions {
			key := d.Directives.ForName("key")
			if key == nil {
				continue
			}
			if resolvable := key.Arguments.ForName("resolvable"); resolvable == nil || resolvable.Value.Raw != "false" {
				found[name] = append(found[name], d.Name)
			}
		}
		slices.Sort(found[name])
	}
	return found
}

// shows is what the attacks ask of each entity: all but the id that they sent.
var shows = map[string]map[string]string{
	"user": {
		"User":   "email displayName locale timeZone state roles { key } createdAt updatedAt tenant { id } auditEvents { edges { node { id } } }",
		"Role":   "key name permissions builtIn createdAt users { edges { node { id } } }",
		"Tenant": "users { edges { node { id } } } roles { id }",
	},
	"tenant": {
		"Tenant": "slug name domain state createdAt",
		"User":   "memberships { joinedAt current user { id } tenant { id slug } }",
	},
	"session": {
		"User":    "sessions { edges { node { id } } } devices { edges { node { id } } }",
		"Session": "current ipAddress userAgent createdAt expiresAt user { id } tenant { id } device { id name }",
		"Device":  "name kind firstSeenAt lastSeenAt user { id } sessions { edges { node { id } } }",
	},
}

// attacked is a graph with two tenants: an owner and a viewer in one, an owner in
// the other. ids are of each type: the owner's, the viewer's, the other tenant's.
type attacked struct {
	*whole
	ids map[string][3]uuid.UUID
}

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	a := &attacked{whole: newWhole(t)}
	elsewhere := a.tenant(t)
	boss := a.person(t, a.in, "boss", tenant.RoleOwner)
	viewer := a.person(t, a.in, "viewer", tenant.RoleViewer)
	stranger := a.person(t, elsewhere, "stranger", tenant.RoleOwner)
	role := func(token string) uuid.UUID {
		t.Helper()
		return uuid.MustParse(dig(ask(t, a.router, token, "{ roles { id } }", nil).Data, "roles", 0, "id").(string))
	}
	a.ids = map[string][3]uuid.UUID{
		"User":    {boss.Subject, viewer.Subject, stranger.Subject},
		"Tenant":  {a.in.ID(), a.in.ID(), elsewhere.ID()},
		"Session": {boss.Session, viewer.Session, stranger.Session},
		"Device":  {a.device(t, boss.Session), a.device(t, viewer.Session), a.device(t, stranger.Session)},
		"Role":    {role("boss"), role("boss"), role("stranger")},
	}
	return a
}

func entityQuery(typename, selection string) string {
	return "query ($keys: [_Any!]!) { _entities(representations: $keys) { __typename ... on " + typename + " { " + selection + " } } }"
}

func byKeys(of ...object) object {
	all := make([]any, len(of))
	for i, key := range of {
		all[i] = key
	}
	return object{"keys": all}
}

func entityKey(typename string, id any) object { return object{"__typename": typename, "id": id} }

// each runs an attack on every entity of every subgraph, on its own handler.
func (a *attacked) each(t *testing.T, attack func(t *testing.T, name, typename, selection string)) {
	t.Helper()
	for name, types := range entities(t) {
		for _, typename := range types {
			selection, known := shows[name][typename]
			if !known {
				t.Fatalf("%s resolves %s, which no attack covers: add it", name, typename)
			}
			attack(t, name, typename, selection)
		}
	}
}

func refusedAs(t *testing.T, what string, answer gqlResponse, code string) {
	t.Helper()
	if answer.code() != code || len(answer.Errors) != 1 {
		t.Errorf("%s: %.300s, want %s", what, fmt.Sprintf("%+v", answer), code)
	}
	if found, _ := dig(answer.Data, "_entities").([]any); slices.ContainsFunc(found, func(v any) bool { return v != nil }) {
		t.Errorf("%s: refused and answered: %.300s", what, fmt.Sprintf("%+v", answer))
	}
}

// Ids of another tenant and ids that never existed answer the same, whoever asks.
func TestEntitiesOfAnotherTenantAnswerLikeNone(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	a.each(t, func(t *testing.T, name, typename, selection string) {
		ids := a.ids[typename]
		for _, token := range []string{"boss", "viewer"} {
			one := func(id uuid.UUID) gqlResponse {
				return a.askSubgraph(t, name, token, entityQuery(typename, selection), byKeys(entityKey(typename, id)))
			}
			none := one(uuid.Must(uuid.NewV7()))
			for what, id := range map[string]uuid.UUID{
				"another tenant's": ids[2], "no version": uuid.Nil, "the last": uuid.Max, "of another kind": a.ids[other(typename)][2],
			} {
				if diff := cmp.Diff(none, one(id)); diff != "" {
					t.Errorf("%s of %s for %s: %s answers other than none: %s", typename, name, token, what, diff)
				}
			}
		}
		own := a.askSubgraph(t, name, "boss", entityQuery(typename, selection), byKeys(entityKey(typename, ids[0])))
		if len(own.Errors) > 0 || dig(own.Data, "_entities", 0) == nil {
			t.Errorf("%s of %s: one's own: %+v", typename, name, own)
		}
		// Nothing that is the other tenant's comes along with one's own.
		mixed := a.askSubgraph(t, name, "boss", entityQuery(typename, selection), byKeys(entityKey(typename, ids[2]), entityKey(typename, ids[0]), entityKey(typename, ids[2])))
		if diff := cmp.Diff(dig(own.Data, "_entities", 0), dig(mixed.Data, "_entities", 1)); diff != "" || len(mixed.Errors) > 0 {
			t.Errorf("%s of %s among others: %s %+v", typename, name, diff, mixed.Errors)
		}
		for what, text := range map[string]string{"its id": ids[2].String(), "its tenant": a.ids["Tenant"][2].String(), "its user": a.ids["User"][2].String()} {
			if strings.Contains(fmt.Sprint(mixed.Data), text) {
				t.Errorf("%s of %s: %s of the other tenant is shown: %v", typename, name, what, mixed.Data)
			}
		}
	})
}

func other(typename string) string {
	if typename == "User" {
		return "Session"
	}
	return "User"
}

// A key alone opens nothing: without the permission others answer like none, and
// what else a representation claims is not believed.
func TestEntitiesWithoutThePermission(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	a.each(t, func(t *testing.T, name, typename, _ string) {
		if typename == "Tenant" { // both are members of it
			return
		}
		ids := a.ids[typename]
		claims := entityKey(typename, ids[0])
		for _, claim := range []string{"userId", "tenant", "user", "email", "permissions", "roles", "sub"} {
			claims[claim] = a.ids["User"][1].String()
		}
		got := a.askSubgraph(t, name, "viewer", entityQuery(typename, "__typename"), byKeys(claims, entityKey(typename, uuid.Must(uuid.NewV7()))))
		if diff := cmp.Diff(object{"_entities": []any{nil, nil}}, got.Data); diff != "" || len(got.Errors) > 0 {
			t.Errorf("%s of %s: %s %+v", typename, name, diff, got.Errors)
		}
	})
}

func TestEntitiesWithoutAToken(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	a.each(t, func(t *testing.T, name, typename, selection string) {
		for what, id := range map[string]uuid.UUID{"an id": a.ids[typename][0], "no id": uuid.Nil} {
			refusedAs(t, name+" "+typename+" "+what, a.askSubgraph(t, name, "", entityQuery(typename, selection), byKeys(entityKey(typename, id))), "UNAUTHENTICATED")
			bad := a.askSubgraph(t, name, "nobody", entityQuery(typename, selection), byKeys(entityKey(typename, id)))
			if refusedAs(t, name+" "+typename+" "+what+", a bad token", bad, "UNAUTHENTICATED"); bad.Status != 401 {
				t.Errorf("%s: a bad token answers %d, want 401", name, bad.Status)
			}
		}
	})
}

// What is no key is refused before PostgreSQL hears of it.
func TestMalformedEntities(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	a.each(t, func(t *testing.T, name, typename, selection string) {
		own := a.ids[typename][0].String()
		bad := map[string]object{
			"no key": {"__typename": typename}, "no type": {"id": own}, "nothing": {},
			"a type of null": entityKey("", own), "a type that is a number": {"__typename": 7, "id": own}, "a type that is null": {"__typename": nil, "id": own},
			"no entity": entityKey("AuditEvent", own), "no type at all": entityKey("Nope", own), "a root": entityKey("Query", own), "the union": entityKey("_Entity", own),
			"a list": {"__typename": []any{typename}, "id": own}, "another case": entityKey(strings.ToLower(typename), own),
		}
		for i, id := range []any{
			"", "1", nil, 7, 7.5, true, []any{own}, object{"id": own}, "{" + own + "}", "urn:uuid:" + own, strings.ToUpper(own) + " ",
			strings.ReplaceAll(own, "-", ""), own + "\x00", "' OR 1=1 --", strings.Repeat("9", 10_000), "\xed\xa0\x80",
		} {
			bad[fmt.Sprintf("id %d", i)] = entityKey(typename, id)
		}
		for what, representation := range bad {
			answer, statements := a.counted(t, a.subgraphs[name], "boss", entityQuery(typename, selection), byKeys(representation))
			refusedAs(t, name+" "+typename+": "+what, answer, "INVALID_INPUT")
			if len(statements) > 0 {
				t.Errorf("%s %s: %s: %v ran", name, typename, what, names(statements))
			}
		}
	})
}

// The size of a call is bounded, however it is spelt.
func TestTooManyEntities(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	a.each(t, func(t *testing.T, name, typename, selection string) {
		many := func(n int) []object {
			all := make([]object, n)
			for i := range all {
				all[i] = entityKey(typename, uuid.Must(uuid.NewV7()))
			}
			return all
		}
		literal := fmt.Sprintf("{__typename: %q, id: %q}", typename, uuid.NewString())
		half := fmt.Sprintf("_entities(representations: $keys) { ... on %s { %s } }", typename, selection)
		for what, c := range map[string]struct {
			query     string
			variables object
		}{
			"10,000":           {entityQuery(typename, selection), byKeys(many(10_000)...)},
			"one too many":     {entityQuery(typename, selection), byKeys(many(1_001)...)},
			"two halves":       {"query ($keys: [_Any!]!) { a: " + half + " b: " + half + " }", byKeys(many(501)...)},
			"halves in pieces": {"query ($keys: [_Any!]!) { a: " + half + " ...F } fragment F on Query { ... { b: " + half + " } }", byKeys(many(501)...)},
			"literals":         {"{ _entities(representations: [" + strings.Repeat(literal+",", 1_001) + "]) { __typename } }", nil},
		} {
			answer, statements := a.counted(t, a.subgraphs[name], "boss", c.query, c.variables)
			refusedAs(t, name+" "+typename+": "+what, answer, "OPERATION_TOO_COMPLEX")
			if len(statements) > 0 {
				t.Errorf("%s %s: %s: %v ran", name, typename, what, names(statements))
			}
		}
		// As many as are allowed are answered, in a few statements.
		answer, statements := a.counted(t, a.subgraphs[name], "boss", entityQuery(typename, selection), byKeys(many(1_000)...))
		if found, _ := dig(answer.Data, "_entities").([]any); len(answer.Errors) > 0 || len(found) != 1_000 || len(statements) > 10 {
			t.Errorf("%s %s: 1,000: %d answers, %d statements, %.200s", name, typename, len(found), len(statements), fmt.Sprint(answer.Errors))
		}
	})
}

// The auth subgraph resolves nothing by key, so there is nothing to ask it for.
func TestAuthHasNoEntities(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	w.person(t, w.in, "boss", tenant.RoleOwner)
	if of := entities(t)["auth"]; len(of) > 0 {
		t.Fatalf("auth resolves %v: attack it like the others", of)
	}
	handler := subgraph.New("auth", authgraph.New(nil), subgraph.Options{Authenticate: w.authenticate})
	answer := ask(t, handler, "boss", entityQuery("User", "id"), byKeys(entityKey("User", uuid.NewString())))
	if diff := cmp.Diff(object{"_entities": []any{nil}}, answer.Data); diff != "" || len(answer.Errors) > 0 {
		t.Errorf("%s %+v", diff, answer.Errors)
	}
	answer = ask(t, handler, "boss", entityQuery("User", "id"), byKeys(entityKey("TenantChoice", uuid.NewString())))
	refusedAs(t, "auth", answer, "INVALID_INPUT")
}
