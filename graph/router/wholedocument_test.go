package router_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

// A document is valid as a whole, whichever of its operations is asked for, and
// directives are where they may be, also on definitions.
func TestWholeDocumentsAreValidated(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for name, c := range map[string]struct{ text, message string }{
		"a field of another operation":           {`query A { me { id } } query B { me { nope } }`, `Cannot query field "nope" on type "User".`},
		"an argument of another operation":       {`query A { me { id } } query B { user(id: "1", x: 2) { id } }`, `Unknown argument "x" on field "Query.user".`},
		"a missing one":                          {`query A { me { id } } query B { user { id } }`, `argument "id"`},
		"a value of another operation":           {`query A { me { id } } query B { user(id: {}) { id } }`, `ID cannot represent an object`},
		"a number of another operation":          {`query A { me { id } } query B { users(limit: 99999999999) { id } }`, `non 32-bit signed integer`},
		"a variable of another operation":        {`query A { me { id } } query B($v: Int) { me { id } }`, `Variable "$v" is never used in operation "B".`},
		"one that it does not declare":           {`query A { me { id } } query B { user(id: $v) { id } }`, `Variable "$v" is not defined by operation "B".`},
		"one in the wrong place":                 {`query A { me { id } } query B($v: Int) { user(id: $v) { id } }`, `used in position expecting type "ID!"`},
		"an unknown type":                        {`query A { me { id } } query B($v: Nope) { user(id: $v) { id } }`, `Unknown type "Nope".`},
		"a fragment on nothing":                  {`query A { me { id } } query B { ...F } fragment F on Nope { id }`, `Unknown type "Nope".`},
		"a selection of nothing":                 {`query A { me { id } } query B { me }`, `must have a selection of subfields`},
		"a selection of a leaf":                  {`query A { me { id } } query B { me { id { x } } }`, `must not have a selection`},
		"two operations of one name":             {`query A { me { id } } query A { me { name } }`, `There can be only one operation named "A".`},
		"an operation without a name":            {`query A { me { id } } { me { id } }`, `anonymous operation must be the only defined operation`},
		"an unknown directive of an operation":   {`query A @nope { me { id } }`, `Unknown directive "@nope".`},
		"a directive that no operation has":      {`query A @skip(if: true) { me { id } }`, `Directive "@skip" may not be used on QUERY.`},
		"an unknown directive of a fragment":     {`query A { me { ...F } } fragment F on User @nope { id }`, `Unknown directive "@nope".`},
		"a directive that no fragment has":       {`query A { me { ...F } } fragment F on User @include(if: true) { id }`, `Directive "@include" may not be used on FRAGMENT_DEFINITION.`},
		"an unknown directive of a variable":     {`query A($v: ID! @nope) { user(id: $v) { id } }`, `Unknown directive "@nope".`},
		"a directive that no variable has":       {`query A($v: ID! @skip(if: true)) { user(id: $v) { id } }`, `Directive "@skip" may not be used on VARIABLE_DEFINITION.`},
		"a directive of the schema's definition": {`query A { me { id @deprecated } }`, `Directive "@deprecated" may not be used on FIELD.`},
		"an argument that a directive lacks":     {`query A { me { id @skip(if: true, x: 1) } }`, `Unknown argument "x" on directive "@skip".`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := post(s.router, fmt.Sprintf(`{"query":%q,"operationName":"A"}`, c.text))
			wantError(t, got, fault.CodeInvalidInput, "")
			if !strings.Contains(got.body, strings.ReplaceAll(c.message, `"`, `\"`)) {
				t.Errorf("%s\nwant %q", got.body, c.message)
			}
		})
	}
	// Each error is told once, with its place, and not all of very many.
	got := query(s.router, "{ me { ...F } a: me { ...F } }\nfragment F on User { nope }", "")
	if strings.Count(got.body, "nope") != 1 || !strings.Contains(got.body, `"locations":[{"line":2,"column":22}]`) {
		t.Error(got.body)
	}
	if got = query(s.router, "{ me { "+strings.Repeat("nope ", 100)+"} }", ""); strings.Count(got.body, "nope") > 20 {
		t.Error(got.body)
	}
}

// Names that are like unknown ones are told where everybody may read the schema, and
// nowhere else.
func TestSuggestions(t *testing.T) {
	t.Parallel()
	open := newShop(t, nil)
	closed := newShop(t, func(s *shop) { s.options.Introspection = false })
	scoped := newShop(t, func(s *shop) { s.options.Introspection, s.options.IntrospectionScope = false, "schema:read" })
	for text, want := range map[string]string{
		`{ me { nam } }`:                        `Cannot query field \"nam\" on type \"User\". Did you mean \"name\"?`,
		`{ user(ids: "1") { id } }`:             `Unknown argument \"ids\" on field \"Query.user\". Did you mean \"id\"?`,
		`{ search(filter: {nam: "x"}) { id } }`: `Did you mean \"name\"`,
	} {
		if got := query(open.router, text, ""); !strings.Contains(got.body, want) {
			t.Errorf("%s: want %s in %s", text, want, got.body)
		}
		for _, s := range []*shop{closed, scoped} {
			got := query(s.router, text, "")
			wantError(t, got, fault.CodeInvalidInput, "")
			if strings.Contains(got.body, "Did you mean") {
				t.Errorf("%s: %s", text, got.body)
			}
		}
	}
}

// Where reading the schema takes a scope, its holders are told names that are like
// unknown ones; nobody else learns a name, whatever they guess and however their
// requests meet those of holders. Who may is asked where there is something to tell.
func TestSuggestionsByScope(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(o *router.Options) { o.Introspection, o.IntrospectionScope = false, "schema:read" })
	reader := v.caller(0, "schema:read")
	others := []string{"", v.caller(0), v.caller(0, "salaries", "schema")}
	asked := func() int {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.asked
	}
	for mistake, near := range map[string]string{
		`{ ledgr { id } }`:                   "ledger",
		`{ me { salry } }`:                   "salary",
		`{ person(ident: "x") { id } }`:      `\"id\"`,
		`{ things { ... on Bagg { id } } }`:  "Bag",
		`query($x: Strin) { open }`:          "String",
		`mutation { spend(amout: 1) }`:       "amount",
		`{ open } query Q { open salry me }`: "",
	} {
		body := fmt.Sprintf(`{"query":%s}`, quoted(mistake))
		for _, token := range []string{others[0], reader, others[1], reader, others[2]} {
			got := post(v.router, body, "Authorization", token)
			wantError(t, got, fault.CodeInvalidInput, "")
			if told := strings.Contains(got.body, "Did you mean"); told != (token == reader && near != "") {
				t.Errorf("%s: %s", mistake, got.body)
			}
			if token == reader && !strings.Contains(got.body, near) {
				t.Errorf("%s: want %s in %s", mistake, near, got.body)
			}
		}
	}
	before := asked()
	for _, fine := range []string{
		`{ open }`, `{ open @skip }`, `{ open `, `query($x: Int) { open }`,
		`{ ` + strings.Repeat("opem ", 20) + `}`, `{ open` + strings.Repeat("n", 200_000) + ` }`, // too dear to find names for
	} {
		post(v.router, fmt.Sprintf(`{"query":%s}`, quoted(fine)), "Authorization", reader)
	}
	if asked() != before {
		t.Error("who may read the schema was asked where no name is unknown")
	}
	v.away = fault.Unavailable("permissions cannot be read")
	got := post(v.router, `{"query":"{ me { salry } }"}`, "Authorization", reader)
	if wantError(t, got, fault.CodeInvalidInput, ""); strings.Contains(got.body, "Did you mean") {
		t.Errorf("where it cannot be told who may: %s", got.body)
	}
}

// What the reference refuses of documents that are nearly valid, the router refuses.
func TestNearlyValidDocuments(t *testing.T) {
	t.Parallel()
	f := newFederated(t, 1, false, auditFolder, auditFolder)
	schema := f.whole.Schema()
	refused := 0
	for _, text := range broken(schema) {
		_, errs := gqlparser.LoadQueryWithRules(schema, text, rules.NewDefaultRules())
		if len(errs) > 0 {
			refused++
		}
		got := query(f.ways["in one process"], text, "")
		lenient := strings.Contains(text, ": {})") || strings.Contains(text, "99999999999")
		if is := strings.Contains(got.body, `"INVALID_INPUT"`); len(errs) > 0 && !is || len(errs) == 0 && is && !lenient {
			t.Errorf("%s\nreference: %v\nrouter: %s", text, errs, got.body)
		}
	}
	if refused < 20 {
		t.Errorf("only %d documents were invalid: the test says little", refused)
	}
}

// broken are documents with values of all kinds in all places of arguments.
func broken(schema *ast.Schema) (out []string) {
	for _, field := range schema.Query.Fields {
		if strings.HasPrefix(field.Name, "__") {
			continue
		}
		below := " { __typename }"
		if schema.Types[field.Type.Name()].IsLeafType() {
			below = ""
		}
		for _, a := range field.Arguments {
			for _, value := range []string{`1`, `"x"`, `true`, `1.5`, `PRICE`, `null`, `{}`, `[]`, `["x"]`, `[null]`, `{named: "x"}`, `{named: 1}`, `99999999999`, `$v`} {
				head := ""
				if value == "$v" {
					head = "query($v: String) "
				}
				out = append(out, fmt.Sprintf("%s{ %s(%s: %s)%s }", head, field.Name, a.Name, value, below))
			}
		}
	}
	return out
}

// A refusal names what the client has written, and nothing that was made of it.
func TestRefusalsNameTheClientsWords(t *testing.T) {
	t.Parallel()
	f := newFederated(t, 1, false, auditFolder, auditFolder)
	dollar := regexp.MustCompile(`\$(\w+)`)
	refused := 0
	for _, c := range []struct{ declared, arguments string }{
		{"$v: Int", "first: $v"}, {"$v: Order", "order: $v"}, {"$v: ProductFilter", "filter: $v"}, {"$v: String", "filter: {named: $v}"},
		{"$v: [Condition!]", "filter: {conditions: $v}"}, {"$v: Condition!", "filter: {conditions: [$v, NEW]}"}, {"$v: Int! = 2", "filter: {price: {least: $v}}"},
		{"$v: Int", "filter: {price: {most: $v}}"}, {"$v: Int", "filter: {price: {least: $v}}"}, {"$v: Range", "filter: {not: {not: {price: $v}}}"},
		{"$v: ProductFilter", "filter: {not: $v}"}, {"$v: Int, $w: Int", "first: $v, filter: {price: {least: $v, most: $w}}"},
	} {
		text := "query(" + c.declared + ") { a: products(" + c.arguments + ") { id } b: products(first: 7, filter: {named: \"x\"}) { id } }"
		for _, value := range []string{`1`, `-1.5`, `99999999999`, `"x"`, `true`, `null`, `{}`, `[]`, `[1]`, `[null]`, `["NEW"]`, `["OLD"]`, `{"named":1}`, `{"least":null}`, `{"least":"x"}`,
			`{"price":{"least":null}}`, `{"price":{"most":"x"}}`, `{"conditions":["OLD"]}`, `{"conditions":[null]}`, `{"unknown":1}`, `{"not":{"not":{"price":{"least":[]}}}}`} {
			for _, variables := range []string{`{"v":` + value + `,"w":1}`, `{"v":1,"w":` + value + `}`, `{"a":` + value + `}`} {
				got := query(f.ways["in one process"], text, variables)
				if strings.Contains(got.body, "INVALID_INPUT") {
					refused++
				}
				for _, name := range dollar.FindAllStringSubmatch(got.body, -1) {
					if !strings.Contains(c.declared, name[0]) {
						t.Errorf("%s %s: %s", text, variables, got.body)
					}
				}
				if strings.Contains(got.body, `"variables.a"`) || strings.Contains(got.body, `"field":"variables"`) {
					t.Errorf("%s %s: %s", text, variables, got.body)
				}
			}
		}
	}
	if refused < 100 {
		t.Errorf("only %d refusals: the test says little", refused)
	}
}
