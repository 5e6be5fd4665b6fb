package router_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

// Who may introspect may read the schema's text, and nobody else.
func TestIntrospectionByPolicy(t *testing.T) {
	t.Parallel()
	const introspect, typename = `{"query":"{ t: __type(name: \"Ledger\") { name } open }"}`, `{"query":"{ __typename open }"}`
	type want struct {
		code          fault.Code
		status, asSDL int
	}
	for name, c := range map[string]struct {
		options router.Options
		want    map[string]want // by who asks
	}{
		"open": {router.Options{Introspection: true}, map[string]want{
			"nobody": {"", 200, 200}, "somebody": {"", 200, 200}, "reader": {"", 200, 200},
		}},
		"scope": {router.Options{IntrospectionScope: "schema:read"}, map[string]want{
			"nobody": {fault.CodeUnauthenticated, 200, 401}, "somebody": {fault.CodeForbidden, 200, 403}, "reader": {"", 200, 200},
		}},
		"off": {router.Options{}, map[string]want{
			"nobody": {fault.CodeForbidden, 200, 404}, "somebody": {fault.CodeForbidden, 200, 404}, "reader": {fault.CodeForbidden, 200, 404},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVault(t, func(o *router.Options) {
				o.Introspection, o.IntrospectionScope = c.options.Introspection, c.options.IntrospectionScope
			})
			for who, token := range map[string]string{"nobody": "", "somebody": v.caller(0), "reader": v.caller(0, "schema:read")} {
				want := c.want[who]
				for range 2 { // planned, and found prepared by another one
					got := post(v.router, introspect, "Authorization", token)
					if want.code == "" {
						wantBody(t, got, `{"data":{"t":{"name":"Ledger"},"open":"sesame"}}`)
					} else {
						wantError(t, got, want.code, "")
						if strings.Contains(got.body, "Ledger") || len(v.queries()) > 0 {
							t.Errorf("%s: %s", who, got.body)
						}
					}
					if got.status != want.status {
						t.Errorf("%s: %d", who, got.status)
					}
				}
				wantBody(t, post(v.router, typename, "Authorization", token), `{"data":{"__typename":"Query","open":"sesame"}}`)
				v.queries()
				sdl := func(etag string) answer {
					req := httptest.NewRequest(http.MethodGet, "/schema.graphql", http.NoBody)
					req.Header.Set("Authorization", token)
					req.Header.Set("If-None-Match", etag)
					rec := httptest.NewRecorder()
					v.router.SchemaSDL().ServeHTTP(rec, req)
					return answer{rec.Code, rec.Header(), rec.Body.String()}
				}
				got := sdl("")
				if got.status != want.asSDL || strings.Contains(got.body, "type Ledger") != (want.asSDL == 200) {
					t.Errorf("%s: schema: %d %.80s", who, got.status, got.body)
				}
				if want.asSDL != http.StatusOK {
					if got.header.Get("ETag") != "" || got.header.Get("Cache-Control") != "no-store" {
						t.Errorf("%s: %v", who, got.header)
					}
					if again := sdl("*"); again.status != want.asSDL {
						t.Errorf("%s: with a condition: %d", who, again.status)
					}
					continue
				}
				if cache := got.header.Get("Cache-Control"); (cache == "private, no-cache") != (name == "scope") {
					t.Errorf("%s: Cache-Control %q", who, cache)
				}
				if again := sdl(got.header.Get("ETag")); again.status != http.StatusNotModified || again.body != "" {
					t.Errorf("%s: unchanged: %d", who, again.status)
				}
			}
		})
	}
}

// Where it cannot be told who may introspect, nobody does.
func TestIntrospectionThatCannotBeTold(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(o *router.Options) { o.Introspection, o.IntrospectionScope = false, "schema:read" })
	token := v.caller(0, "schema:read")
	v.away = fault.Unavailable("permissions cannot be read")
	wantError(t, post(v.router, `{"query":"{ __schema { types { name } } }"}`, "Authorization", token), fault.CodeUnavailable, "permissions")
	req := httptest.NewRequest(http.MethodGet, "/schema.graphql", http.NoBody)
	req.Header.Set("Authorization", token)
	rec := httptest.NewRecorder()
	v.router.SchemaSDL().ServeHTTP(rec, req)
	if rec.Code != http.StatusServiceUnavailable || strings.Contains(rec.Body.String(), "type ") {
		t.Errorf("%d %.80s", rec.Code, rec.Body)
	}
}

// Mistakes are told, and nothing that was not asked for: no names that are near.
func TestMistakesSuggestNothing(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(o *router.Options) { o.Introspection = false })
	for mistake, hidden := range map[string]string{
		`{ ledgr { id } }`:                      "ledger",
		`{ me { salry } }`:                      "salary",
		`{ person(ident: "x") { id } }`:         "id:",
		`mutation { spent(amount: 1) }`:         "spend",
		`{ things { ... on Bagg { id } } }`:     "Bag ",
		`query($x: Personn) { open }`:           "Person ",
		`{ open @skipp(if: true) }`:             "include",
		`{ grade(x: C) }`:                       "A",
		`subscription { tick { n } }`:           "ticks",
		`mutation { spend(amount: "many") }`:    "requiresScopes",
		`mutation { spend(amount: 1, sum: 2) }`: "stepUp",
	} {
		got := post(v.router, fmt.Sprintf(`{"query":%s}`, quoted(mistake)))
		wantError(t, got, fault.CodeInvalidInput, "")
		if strings.Contains(got.body, "id you mean") || strings.Contains(strings.ReplaceAll(got.body, mistake, ""), hidden) && hidden != "A" {
			t.Errorf("%s: %s", mistake, got.body)
		}
	}
}

func TestIntrospectionWithAliases(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) { s.options.Introspection = true })
	wantBody(t, query(s.router, `{ a: __schema { q: queryType { n: name k: kind d: description t: __typename } } b: __type(name: "Int") { kind: name name: kind } }`, ""),
		`{"data":{"a":{"q":{"n":"Query","k":"OBJECT","d":null,"t":"__Type"}},"b":{"kind":"Int","name":"SCALAR"}}}`)
}
