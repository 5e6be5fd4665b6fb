package router_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// toldSchema is what the shop's schema gets to tell of.
const toldSchema = `
"Said <to> \"be\" odd."
directive @odd("How much." much: Int! = 3 less: Int @deprecated) repeatable on FIELD | QUERY
scalar Link @specifiedBy(url: "https://example.test/link")
interface Base { id: ID! }
interface Middle implements Base { id: ID! }
type Leaf implements Base & Middle { id: ID! old: Int @deprecated(reason: "It is old.") older(a: Int, b: Int @deprecated(reason: "b")): Int @deprecated }
enum Shade { DARK @deprecated LIGHT }
input Pick @oneOf { a: Int b: String }
input Told {
  words: [String!]! = ["a\"b", "\u0001\\n", """block"""] pick: Pick = {a: 1} shade: Shade = LIGHT none: Int = null
  gone: Int @deprecated(reason: "It is gone.")
}
type User {`

func newTold(t *testing.T, change func(*shop)) *shop {
	t.Helper()
	return newShop(t, func(s *shop) {
		s.options.Config = withSchema(t, "type User {", toldSchema)
		if change != nil {
			change(s)
		}
	})
}

func TestWhatIntrospectionTells(t *testing.T) {
	t.Parallel()
	s := newTold(t, nil)
	for name, c := range map[string]struct{ query, variables, want string }{
		"an object": {`{ __type(name: "Leaf") { kind name fields { name } interfaces { name } possibleTypes { name } enumValues { name } inputFields { name } ofType { name } specifiedByURL isOneOf } }`, "",
			`{"__type":{"kind":"OBJECT","name":"Leaf","fields":[{"name":"id"}],"interfaces":[{"name":"Base"},{"name":"Middle"}],"possibleTypes":null,"enumValues":null,"inputFields":null,"ofType":null,"specifiedByURL":null,"isOneOf":null}}`},
		"what is deprecated": {`{ __type(name: "Leaf") { fields(includeDeprecated: true) { name isDeprecated deprecationReason args { name } all: args(includeDeprecated: true) { name deprecationReason } } } }`, "",
			`{"__type":{"fields":[{"name":"id","isDeprecated":false,"deprecationReason":null,"args":[],"all":[]},` +
				`{"name":"old","isDeprecated":true,"deprecationReason":"It is old.","args":[],"all":[]},` +
				`{"name":"older","isDeprecated":true,"deprecationReason":"No longer supported","args":[{"name":"a"}],"all":[{"name":"a","deprecationReason":null},{"name":"b","deprecationReason":"b"}]}]}}`},
		"an interface": {`{ __type(name: "Base") { kind fields { type { kind name ofType { kind name fields { name } } } } interfaces { name } possibleTypes { name possibleTypes { name } } } }`, "",
			`{"__type":{"kind":"INTERFACE","fields":[{"type":{"kind":"NON_NULL","name":null,"ofType":{"kind":"SCALAR","name":"ID","fields":null}}}],"interfaces":[],"possibleTypes":[{"name":"Leaf","possibleTypes":null}]}}`},
		"a scalar": {`{ __type(name: "Link") { kind specifiedByURL description } }`, "", `{"__type":{"kind":"SCALAR","specifiedByURL":"https://example.test/link","description":null}}`},
		"an enum": {`{ __type(name: "Shade") { enumValues { name } all: enumValues(includeDeprecated: true) { name deprecationReason } fields { name } } }`, "",
			`{"__type":{"enumValues":[{"name":"LIGHT"}],"all":[{"name":"DARK","deprecationReason":"No longer supported"},{"name":"LIGHT","deprecationReason":null}],"fields":null}}`},
		"an input": {`{ __type(name: "Told") { inputFields { name defaultValue } all: inputFields(includeDeprecated: true) { isDeprecated deprecationReason } isOneOf } pick: __type(name: "Pick") { isOneOf } }`, "",
			`{"__type":{"inputFields":[{"name":"words","defaultValue":"[\"a\\\"b\", \"\\u0001\\\\n\", \"block\"]"},{"name":"pick","defaultValue":"{a: 1}"},{"name":"shade","defaultValue":"LIGHT"},{"name":"none","defaultValue":"null"}],` +
				`"all":[{"isDeprecated":false,"deprecationReason":null},{"isDeprecated":false,"deprecationReason":null},{"isDeprecated":false,"deprecationReason":null},{"isDeprecated":false,"deprecationReason":null},{"isDeprecated":true,"deprecationReason":"It is gone."}],` +
				`"isOneOf":false},"pick":{"isOneOf":true}}`},
		"types of introspection": {`{ __type(name: "__TypeKind") { name kind __typename } }`, "", `{"__type":{"name":"__TypeKind","kind":"ENUM","__typename":"__Type"}}`},
		"nothing":                {`{ __type(name: "Nobody") { name } a: __type(name: "") { name } }`, "", `{"__type":null,"a":null}`},
		"the schema":             {`{ __schema { description queryType { name } subscriptionType { name } __typename } }`, "", `{"__schema":{"description":null,"queryType":{"name":"Query"},"subscriptionType":{"name":"Subscription"},"__typename":"__Schema"}}`},
		"by variables":           {`query($n: String!, $all: Boolean) { __type(name: $n) { fields(includeDeprecated: $all) { name } } }`, `{"n":"Leaf","all":true}`, `{"__type":{"fields":[{"name":"id"},{"name":"old"},{"name":"older"}]}}`},
		"by others":              {`query($n: String!, $all: Boolean) { __type(name: $n) { fields(includeDeprecated: $all) { name } } }`, `{"n":"Leaf","all":null}`, `{"__type":{"fields":[{"name":"id"}]}}`},
		"by none":                {`query($n: String! = "Leaf", $all: Boolean = true) { __type(name: $n) { fields(includeDeprecated: $all) { name } } }`, ``, `{"__type":{"fields":[{"name":"id"},{"name":"old"},{"name":"older"}]}}`},
		"in fragments": {`{ ...Q b: __type(name: "Leaf") { ...T ... { kind } } } fragment Q on Query { b: __type(name: "Leaf") { name fields { name } } } fragment T on __Type { fields { type { kind } } }`, "",
			`{"b":{"name":"Leaf","fields":[{"name":"id","type":{"kind":"NON_NULL"}}],"kind":"OBJECT"}}`},
		"under conditions": {`query($no: Boolean!) { __schema @include(if: $no) { queryType { name } } __type(name: "Leaf") { name @skip(if: $no) fields { name @include(if: $no) } } }`, `{"no":false}`, `{"__type":{"name":"Leaf","fields":[{}]}}`},
		"beside others": {`{ a: me { name } __schema { queryType { name } } b: me { id } __typename c: __type(name: "Leaf") { kind } }`, "",
			`{"a":{"name":"Ada"},"__schema":{"queryType":{"name":"Query"}},"b":{"id":"u1"},"__typename":"Query","c":{"kind":"OBJECT"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantBody(t, query(s.router, c.query, c.variables), `{"data":`+c.want+`}`)
		})
	}
	got := query(s.router, `{ __schema { directives { name description isRepeatable locations args { name description defaultValue } all: args(includeDeprecated: true) { name isDeprecated } } } }`, "")
	if !strings.Contains(got.body, `{"name":"odd","description":"Said \u003cto\u003e \"be\" odd.","isRepeatable":true,"locations":["FIELD","QUERY"],`+
		`"args":[{"name":"much","description":"How much.","defaultValue":"3"}],"all":[{"name":"much","isDeprecated":false},{"name":"less","isDeprecated":true}]}`) || strings.Contains(got.body, `"defer"`) {
		t.Error(got.body)
	}
}

// What is told of the schema stands beside failures, and where part of an operation is
// refused.
func TestIntrospectionBesideFailures(t *testing.T) {
	t.Parallel()
	s := newTold(t, nil)
	got := query(s.router, `{ __type(name: "Leaf") { name } me { risky } x: __schema { queryType { name } } }`, "")
	if !strings.HasPrefix(got.body, `{"errors":[`) || !strings.HasSuffix(got.body, `"data":{"__type":{"name":"Leaf"},"me":null,"x":{"queryType":{"name":"Query"}}}}`) {
		t.Error(got.body)
	}
	v := newVault(t, nil)
	for text, want := range map[string]string{
		`{ a: __type(name: "Ledger") { name } me { salary } open }`: `"data":{"a":{"name":"Ledger"},"me":{"salary":null},"open":"sesame"}}`,
		`{ __schema { queryType { name } } ledger { id } }`:         `"data":{"__schema":{"queryType":{"name":"Query"}},"ledger":null}}`,
	} {
		if got := post(v.router, fmt.Sprintf(`{"query":%s}`, quoted(text)), "Authorization", v.caller(0)); !strings.HasSuffix(got.body, want) {
			t.Errorf("%s: %s", text, got.body)
		}
	}
	// Null where a name must be is that field's error.
	got = query(s.router, `query($n: String = "x") { __type(name: $n) { name } me { name } }`, `{"n":null}`)
	if wantError(t, got, fault.CodeInvalidInput, ""); !strings.Contains(got.body, `"data":{"__type":null,"me":{"name":"Ada"}}`) {
		t.Error(got.body)
	}
}

// An introspection is refused before anything is told where its answer could be beyond
// the limit, whatever its variables are; the limit is a class's.
func TestIntrospectionsAreBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	usual := query(newTold(t, nil).router, wholeIntrospection, "")
	s := newTold(t, func(s *shop) {
		s.options.Metrics = registry
		s.options.Limits.MaxIntrospection, s.options.Limits.MaxIntrospectionBytes = 9, len(usual.body) // with what is around it
		s.options.Classes = []router.Class{{Name: "small", Limits: router.Limits{MaxIntrospectionBytes: 5_000}}}
		s.options.Classify = func(ctx context.Context) string {
			if _, err := identity.FromContext(ctx); err == nil {
				return "small"
			}
			return ""
		}
		s.options.Authenticate = authenticateAs(t)
	})
	wantBody(t, query(s.router, wholeIntrospection, ""), usual.body)
	const names = `{ kind name description fields { name description type { kind name fields { name type { kind name } } } } }`
	for name, text := range map[string]string{
		"lists in lists":      `{ __schema { types { fields { type { fields { type ` + names + ` } } } } } }`,
		"many at once":        `{ ` + aliased(40, `__schema { types { name description fields { name } } }`) + `}`,
		"types by a variable": `query($n: String!) { ` + aliased(40, `__type(name: $n) `+names) + `}`,
		"beside the rest":     `{ me { id } ` + aliased(40, `__schema { types `+names+` }`) + `}`,
	} {
		got := query(s.router, text, `{"n":"Nobody"}`)
		if wantError(t, got, fault.CodeOperationTooComplex, ""); !strings.Contains(got.body, "bytes of the schema") || len(got.body) > 1000 {
			t.Errorf("%s: %.300s", name, got.body)
		}
	}
	got := post(s.router, fmt.Sprintf(`{"query":%s}`, quoted(wholeIntrospection)), "Authorization", "user")
	if wantError(t, got, fault.CodeOperationTooComplex, ""); !strings.Contains(got.body, "5000 bytes of the schema") {
		t.Error(got.body)
	}
	if n := metric(t, registry, "tradesage_router_limited_total", "default introspection_bytes"); n != 4 {
		t.Errorf("%g refusals are counted", n)
	}
}

func aliased(n int, field string) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "a%d: %s ", i, field)
	}
	return out.String()
}

// A Query that a field answers is no root of introspection, as in other servers.
func TestIntrospectionElsewhere(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) {
		s.options.Config = withSchema(t, "type User {", "type User { again: Query ")
	})
	got := query(s.router, `{ me { again { __schema { queryType { name } } } } }`, "")
	if wantError(t, got, fault.CodeInvalidInput, ""); !strings.Contains(got.body, "fields of the operation itself") {
		t.Error(got.body)
	}
}
