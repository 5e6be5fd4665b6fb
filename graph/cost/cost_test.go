package cost_test

import (
	"math"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/tradesage/tradesage/graph/cost"
	"github.com/tradesage/tradesage/internal/fault"
)

const client = `
schema { query: Q mutation: M }
type Q { me: User users(first: Int, last: Int): Users! found(n: Int = 3): [Thing!] any: [User] grid: [[User]] names: [String!]
  strict(first: Int, last: Int): [User!]! search(deep: Boolean, text: String): User }
type M { sign: User cheap: Int }
type Users { edges: [Edge!]! total: Int }
type Edge { node: User! }
type User { id: ID! name: String report: Report friends(first: Int): Users! roles: [String!] }
type Report { text: String }
union Thing = User | Report | Gold
interface Metal { ounces: Int }
type Gold implements Metal { ounces: Int coin: User report: Report }
`

const subgraph = `
directive @cost(weight: Int!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR
directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
type Q {
  users(first: Int, last: Int): Users! @listSize(assumedSize: 20, slicingArguments: ["first", "last"], sizedFields: ["edges"], requireOneSlicingArgument: false)
  found(n: Int = 3): [Thing!] @listSize(slicingArguments: ["n"], requireOneSlicingArgument: false)
  strict(first: Int, last: Int): [User!]! @listSize(slicingArguments: ["first", "last"])
  search(deep: Boolean @cost(weight: 500), text: String): User
  names: [String!] @listSize(assumedSize: 7)
}
extend type User { friends(first: Int): Users! @listSize(assumedSize: 5, slicingArguments: "first", sizedFields: "edges", requireOneSlicingArgument: false) }
type M { sign: User @cost(weight: 50) }
type Report @cost(weight: "30") { text: String hidden: Int @cost(weight: 9) }
type Unknown { x: Int @cost(weight: 1) }
`

type variables map[string]any

// Input implements cost.Variables.
func (v variables) Input(name string) (cost.Input, bool) {
	found, given := v[name]
	return input{found}, given
}

type input struct{ value any }

// Fields implements cost.Input.
func (i input) Fields(each func(string, cost.Input)) {
	if fields, ok := i.value.(map[string]any); ok {
		for name, value := range fields {
			each(name, input{value})
		}
	}
}

// Items implements cost.Input.
func (i input) Items(each func(cost.Input)) {
	if items, ok := i.value.([]any); ok {
		for _, item := range items {
			each(input{item})
		}
	}
}

// Fields of inputs weigh where they are given, in the document or in a variable, and
// each time in a list.
func TestInputFields(t *testing.T) {
	t.Parallel()
	m, err := cost.Load(`
		type Query { find(by: Filter @unknown, many: [Filter!], plain: Plain): Int page(by: Filter, first: Int): [User!]! }
		type User { id: ID! near(by: Filter): Int }
		input Filter { name: String text: String and: [Filter!] area: Area plain: Plain }
		input Area { radius: Int center: String }
		input Plain { a: Int self: Plain }`, `
		type Query { find(by: Filter @cost(weight: 1000), many: [Filter!], plain: Plain): Int
			page(by: Filter, first: Int): [User!]! @listSize(slicingArguments: ["first"]) }
		input Filter { text: String @cost(weight: 10) and: [Filter!] @cost(weight: 1) area: Area }
		input Area { radius: Int @cost(weight: 100) }`)
	if err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	deep := object{"and": []any{object{"text": "a"}, object{"area": object{"radius": 1, "center": "x"}, "text": nil}}}
	for text, cases := range map[string][]struct {
		variables variables
		want      int64
	}{
		`{ find(by: {name: "a"}) }`:                                                     {{nil, 1000}},
		`{ find(many: {text: "a"}) }`:                                                   {{nil, 10}},
		`{ find(many: [{text: "a"}, {text: "b", and: [{text: "c"}]}]) }`:                {{nil, 31}},
		`{ find(many: {area: {center: "x"}, plain: {a: 1}}, plain: {self: {a: 1}}) }`:   {{nil, 0}},
		`{ page(first: 3, by: {area: {radius: 1}}) { near(by: {text: "x"}) } }`:         {{nil, 100 + 3*(1+10)}},
		`query($f: [Filter!]) { find(many: $f) }`:                                       {{nil, 0}, {variables{"f": deep}, 1 + 10 + 100 + 10}, {variables{"f": []any{deep, deep}}, 242}, {variables{"f": nil}, 0}, {variables{"f": "x"}, 0}},
		`query($f: Filter = {text: "a"}) { find(many: [$f, {text: "b"}]) }`:             {{nil, 20}, {variables{"f": object{}}, 10}, {variables{"f": deep}, 131}},
		`query($a: Area) { find(many: {area: $a}) }`:                                    {{nil, 0}, {variables{"a": object{"radius": 1}}, 100}},
		`query($f: Filter, $n: Int) { page(first: $n, by: $f) { near(by: $f) } }`:       {{variables{"n": 2, "f": object{"text": "x"}}, 10 + 2*(1+10)}},
		`query($f: Filter, $n: Int) { page(first: $n) { id } find(many: {text: "a"}) }`: {{variables{"n": 2}, 12}},
	} {
		e, err := compile(t, m, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, c := range cases {
			if got := e.Of(c.variables); got != c.want {
				t.Errorf("%s with %v costs %d, want %d", text, c.variables, got, c.want)
			}
		}
	}
}

func (v variables) Int(name string) (value int64, number, given bool) {
	found, given := v[name]
	n, number := found.(int)
	return int64(n), number, given
}

func model(t *testing.T) *cost.Model {
	t.Helper()
	m, err := cost.Load(client, subgraph)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func compile(t *testing.T, m *cost.Model, text string) (*cost.Expression, error) {
	t.Helper()
	document, err := parser.ParseQuery(&ast.Source{Input: text})
	if err != nil {
		t.Fatal(err)
	}
	return m.Compile(document.Operations[0], document.Fragments)
}

func TestCost(t *testing.T) {
	t.Parallel()
	m := model(t)
	for text, cases := range map[string][]struct {
		variables variables
		want      int64
	}{
		`{ me { id name } }`:                  {{nil, 1}},
		`{ a: me { id } b: me { id } }`:       {{nil, 2}},
		`{ me { report { text } } }`:          {{nil, 31}},
		`{ any { id } }`:                      {{nil, 10}},
		`{ grid { id } }`:                     {{nil, 100}},
		`{ names __typename }`:                {{nil, 0}},
		`{ users { edges { node { id } } } }`: {{nil, 1 + 20*2}},
		`{ users { total } }`:                 {{nil, 1}},
		`{ users(first: 100) { edges { node { friends(first: 100) { edges { node { id } } } } } } }`: {{nil, 1 + 100*(2+1+100*2)}},
		`query($n: Int) { users(first: $n) { edges { node { id } } } }`: {
			{nil, 41}, {variables{"n": 3}, 7}, {variables{"n": nil}, 41}, {variables{"n": "x"}, 41}, {variables{"n": -5}, 1},
			{variables{"n": math.MaxInt64}, math.MaxInt64},
		},
		`query($n: Int = 2) { users(first: $n) { edges { node { id } } } }`: {{nil, 5}, {variables{"n": 3}, 7}, {variables{"n": nil}, 41}},
		`query($a: Int, $b: Int) { users(first: $a, last: $b) { edges { node { friends(first: $b) { edges { node { id } } } } } } }`: {
			{variables{"a": 2, "b": 3}, 1 + 3*(2+1+3*2)}, {variables{"a": 4, "b": 3}, 1 + 4*(2+1+3*2)},
			{variables{"a": 1 << 40, "b": 1 << 40}, math.MaxInt64},
		},
		`{ users(first: 1000000000) { edges { node { friends(first: 1000000000) { edges { node { friends(first: 1000000000) { edges { node { id } } } } } } } } } }`: {{nil, math.MaxInt64}},
		`{ found { ... on User { id } } }`:               {{nil, 3 * 30}},
		`query($n: Int) { found(n: $n) { __typename } }`: {{nil, 3 * 30}, {variables{"n": 1}, 30}, {variables{"n": 0}, 0}},
		`{ found(n: 1) { ... on User { report { text } } ... on Report { text } ... on Gold { coin { id } report { text } } } }`: {{nil, 30 + 31}},
		`{ found(n: 1) { ... on Metal { ounces } ... on Gold { coin { id } ... on Metal { ounces } } ... { __typename } } }`:     {{nil, 30 + 1}},
		`{ ...F ...F } fragment F on Q { me { ...G } } fragment G on User { report { text } }`:                                   {{nil, 62}},
		`mutation { sign { id } }`:                                   {{nil, 51}},
		`mutation { cheap }`:                                         {{nil, 10}},
		`{ search { id } }`:                                          {{nil, 1}},
		`{ search(deep: true) { id } }`:                              {{nil, 501}},
		`{ strict(last: 4) { id } }`:                                 {{nil, 4}},
		`{ __schema { types { name } } __type(name: "Q") { name } }`: {{nil, 110}},
		`{ nobody { knows } }`:                                       {{nil, 0}},
	} {
		e, err := compile(t, m, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, c := range cases {
			if got := e.Of(c.variables); got != c.want {
				t.Errorf("%s with %v costs %d, want %d", text, c.variables, got, c.want)
			}
		}
	}
}

// What is selected of many types is counted whole: more than few are not told apart.
func TestManyBranches(t *testing.T) {
	t.Parallel()
	text, types, union := "{ found {", "", ""
	for i := range 20 {
		name := "T" + string(rune('a'+i))
		union += " | " + name
		types += " type " + name + " { x: " + name + " }"
		text += " ... on " + name + " { x { __typename } }"
	}
	m, err := cost.Load("type Query { found: " + "Thing } union Thing =" + union + types)
	if err != nil {
		t.Fatal(err)
	}
	e, err := compile(t, m, text+" } }")
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Of(variables{}); got != 21 {
		t.Errorf("costs %d, want 21", got)
	}
}

func TestOneSlicingArgument(t *testing.T) {
	t.Parallel()
	m := model(t)
	for _, text := range []string{`{ strict { id } }`, `{ strict(first: 1, last: 2) { id } }`} {
		if _, err := compile(t, m, text); !fault.Is(err, fault.CodeInvalidInput) || !strings.Contains(err.Error(), "exactly one of the arguments first, last") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestBadDirectivesAreNamed(t *testing.T) {
	t.Parallel()
	for sdl, want := range map[string]string{
		`type Q { me: User @cost(weight: "dear") }`:                                   `Q.me: @cost needs a weight of 0`,
		`type Q { me: User @cost }`:                                                   `Q.me: @cost needs a weight`,
		`type User @cost(weight: -1) { id: ID! }`:                                     `User: @cost needs a weight of 0`,
		`type Q { search(deep: Boolean @cost(weight: x)): User }`:                     `Q.search: deep: @cost`,
		`type Q { users(first: Int): Users! @listSize(slicingArguments: ["nope"]) }`:  `Q.users: @listSize names "nope"`,
		`type Q { search(text: String): User @listSize(slicingArguments: ["text"]) }`: `"text", which is no argument of the type Int`,
		`type Q { users: Users! @listSize(assumedSize: -1) }`:                         `assumedSize of 0 or more`,
		`type Q {`: `subgraph's schema`,
	} {
		if _, err := cost.Load(client, sdl); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", sdl, err, want)
		}
	}
	if _, err := cost.Load("type {"); err == nil || !strings.Contains(err.Error(), "client schema") {
		t.Errorf("client schema: %v", err)
	}
}

func TestEvaluationAllocatesNothing(t *testing.T) {
	m := model(t)
	e, err := compile(t, m, `query($n: Int) { users(first: $n) { edges { node { friends(first: $n) { edges { node { id } } } } } } found(n: $n) { ... on User { report { text } } } }`)
	if err != nil {
		t.Fatal(err)
	}
	var v cost.Variables = variables{"n": 9}
	if n := testing.AllocsPerRun(100, func() { e.Of(v) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
