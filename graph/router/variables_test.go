package router_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/internal/fault"
)

func TestVariables(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ query, variables, want string }{
		"undeclared never replaces a literal": {`{ user(id: "u2") { id } }`, `{"a":"u1","b":"u1"}`, `{"user":{"id":"u2"}}`},
		"nor one whose name a resolved condition had": {
			`query($a: Boolean!, $b: Boolean!) { me @skip(if: $a) { id } echo(value: "mine") user(id: "u2") { id @include(if: $b) } }`,
			`{"a":true,"b":true}`, `{"echo":"mine","user":{"id":"u2"}}`,
		},
		"declared beside a literal":           {`query($a: String) { echo(value: $a) user(id: "u2") { id } }`, `{"a":"x","b":"u1"}`, `{"echo":"x","user":{"id":"u2"}}`},
		"absent keeps the argument's default": {`query($l: Int) { users(limit: $l) { id } }`, `{}`, `{"users":[{"id":"u1"},{"id":"u2"}]}`},
		"null is not absent":                  {`query($l: Int) { users(limit: $l) { id } }`, `{"l":null}`, `{"users":[{"id":"u1"},{"id":"u2"},{"id":"u3"}]}`},
		"no variables at all":                 {`query($l: Int) { users(limit: $l) { id } }`, ``, `{"users":[{"id":"u1"},{"id":"u2"}]}`},
		"absent in an entity fetch":           {`query($p: String) { me { greeting(prefix: $p) } }`, `{}`, `{"me":{"greeting":"Dear Ada"}}`},
		"given in an entity fetch":            {`query($p: String) { me { greeting(prefix: $p) } }`, `{"p":"Hi"}`, `{"me":{"greeting":"Hi Ada"}}`},
		"default":                             {`query($l: Int = 1) { users(limit: $l) { id } }`, `{}`, `{"users":[{"id":"u1"}]}`},
		"value over default":                  {`query($l: Int = 1) { users(limit: $l) { id } }`, `{"l":2}`, `{"users":[{"id":"u1"},{"id":"u2"}]}`},
		"null over default":                   {`query($l: Int = 1) { users(limit: $l) { id } }`, `{"l":null}`, `{"users":[{"id":"u1"},{"id":"u2"},{"id":"u3"}]}`},
		"single value for a list":             {`query($i: [ID!]) { users(ids: $i) { id } }`, `{"i":"u2"}`, `{"users":[{"id":"u2"}]}`},
		"single default for a list":           {`query($i: [ID!] = "u2") { users(ids: $i) { id } }`, ``, `{"users":[{"id":"u2"}]}`},
		"single literal for a list":           {`{ users(ids: "u2") { id } }`, ``, `{"users":[{"id":"u2"}]}`},
		"inside an object literal":            {`query($n: String) { search(filter: {name: $n}) { id } }`, `{"n":"Bob"}`, `{"search":[{"id":"u2"}]}`},
		"absent inside an object literal":     {`query($n: String) { search(filter: {name: $n}) { id } }`, `{}`, `{"search":[{"id":"u1"},{"id":"u2"},{"id":"u3"}]}`},
		"default inside an object literal":    {`query($n: String = "Ada") { search(filter: {name: $n}) { id } }`, `{}`, `{"search":[{"id":"u1"}]}`},
		"inside a list literal":               {`query($i: ID!) { users(ids: ["u1", $i], limit: 3) { id } }`, `{"i":"u3"}`, `{"users":[{"id":"u1"},{"id":"u3"}]}`},
		"unicode and escapes":                 {`query($v: String) { echo(value: $v) }`, `{"v":"a\"\\\n\u00e9\ud83d\ude00"}`, `{"echo":"a\"\\\né😀"}`},
		"literal escapes":                     {`{ echo(value: "a\"\\\né") }`, ``, `{"echo":"a\"\\\né"}`},
		"block string":                        {`{ echo(value: """a "quoted" one""") }`, ``, `{"echo":"a \"quoted\" one"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, nil)
			for range 2 { // planned, then from the cache
				wantBody(t, query(s.router, c.query, c.variables), `{"data":`+c.want+`}`)
			}
		})
	}
}

func TestLiteralsWithVariablesReachTheSubgraphWhole(t *testing.T) {
	t.Parallel()
	const text = `query($n: String!, $t: [String!], $f: UserFilter) {
		search(filter: {name: $n, tags: $t, nested: {tags: ["x", $n], nested: $f}}) { id } }`
	for variables, want := range map[string]object{
		`{"n":"a","t":["b","c"],"f":{"tags":"d"}}`: {"name": "a", "tags": list("b", "c"),
			"nested": object{"tags": list("x", "a"), "nested": object{"tags": list("d")}}},
		`{"n":"a","t":"b"}`: {"name": "a", "tags": list("b"), "nested": object{"tags": list("x", "a")}},
	} {
		s := newShop(t, nil)
		if got := query(s.router, text, variables); len(s.users.Calls()) != 1 {
			t.Fatalf("%s: %s", variables, got.body)
		}
		if diff := cmp.Diff(object{"a": want}, s.users.Calls()[0].Variables); diff != "" {
			t.Errorf("%s (-want +got):\n%s", variables, diff)
		}
	}
}

func TestConditionsShareATextAndNotAPlan(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	const text = `query($x: Boolean!, $y: Boolean = true) { me { id name @include(if: $x) ...F @skip(if: $y) } } fragment F on User { email }`
	for range 2 {
		wantBody(t, query(s.router, text, `{"x":true}`), `{"data":{"me":{"id":"u1","name":"Ada"}}}`)
		wantBody(t, query(s.router, text, `{"x":false}`), `{"data":{"me":{"id":"u1"}}}`)
		wantBody(t, query(s.router, text, `{"x":false,"y":false}`), `{"data":{"me":{"id":"u1","email":"ada@shop.test"}}}`)
		wantError(t, query(s.router, text, `{}`), fault.CodeInvalidInput, "$x decides a @skip or @include")
		wantError(t, query(s.router, text, `{"x":"yes"}`), fault.CodeInvalidInput, "$x decides a @skip or @include")
		wantError(t, query(s.router, text, `{"x":true,"y":null}`), fault.CodeInvalidInput, "$y decides a @skip or @include")
	}
	wantBody(t, query(s.router, `{ me { id @skip(if: true) } }`, ""), `{"data":{"me":{}}}`)
}

func TestWrongVariables(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for variables, text := range map[string]string{
		`{"l":"x"}`:         `query($l: Int) { users(limit: $l) { id } }`,
		`{"l":1e30}`:        `query($l: Int) { users(limit: $l) { id } }`,
		`{"l":2147483648}`:  `query($l: Int) { users(limit: $l) { id } }`,
		`{"l":1.5}`:         `query($l: Int) { users(limit: $l) { id } }`,
		`{"l":true}`:        `query($l: Int) { users(limit: $l) { id } }`,
		`{"l":[1]}`:         `query($l: Int) { users(limit: $l) { id } }`,
		`{}`:                `query($id: ID!) { user(id: $id) { id } }`,
		`{"id":null}`:       `query($id: ID!) { user(id: $id) { id } }`,
		`{"id":{}}`:         `query($id: ID!) { user(id: $id) { id } }`,
		`{"f":{"nope":1}}`:  `query($f: UserFilter) { search(filter: $f) { id } }`,
		`{"f":"x"}`:         `query($f: UserFilter) { search(filter: $f) { id } }`,
		`{"f":{"tags":1}}`:  `query($f: UserFilter) { search(filter: $f) { id } }`,
		`{"n":7}`:           `query($n: String) { search(filter: {name: $n}) { id } }`,
		`{"i":["u1",null]}`: `query($i: [ID!]) { users(ids: $i) { id } }`,
	} {
		wantError(t, query(s.router, text, variables), fault.CodeInvalidInput, "")
	}
	if calls := s.users.Calls(); len(calls) != 0 {
		t.Errorf("a subgraph was asked: %v", calls)
	}
}
