package router_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/tradesage/tradesage/graph/graphtest"
	"github.com/tradesage/tradesage/graph/graphtest/monolith/audit"
	"github.com/tradesage/tradesage/graph/graphtest/monolith/product"
	"github.com/tradesage/tradesage/graph/router"
)

// inspector writes random introspections.
type inspector struct {
	*rand.Rand
	schema *ast.Schema
}

func (g inspector) operation() graphtest.Operation {
	if g.IntN(8) == 0 { // all of it, as tools ask
		return graphtest.Operation{Text: wholeIntrospection}
	}
	if g.IntN(2) == 0 {
		return graphtest.Operation{Text: "query Q { __schema " + g.set("__Schema", 4) + " kinds: __schema { queryType { ...T } } } fragment T on __Type { name kind }"}
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range g.schema.Types {
			if !yield(name) {
				return
			}
		}
	})
	return graphtest.Operation{
		Text:      "query Q($n: String!) { it: __type(name: $n) " + g.set("__Type", 4) + " } fragment T on __Type { name kind }",
		Variables: map[string]any{"n": append(names, "Nobody")[g.IntN(len(names)+1)]},
	}
}

func (g inspector) set(typeName string, depth int) string {
	out := []string{"__typename"}
	switch typeName {
	case "__Type":
		out = []string{"...T"}
	case "__Directive":
		out = []string{"name"}
	}
	for i := range 1 + g.IntN(4) {
		fields := g.schema.Types[typeName].Fields
		f := fields[g.IntN(len(fields))]
		of := g.schema.Types[f.Type.Name()]
		if f.Name == "description" || of.IsCompositeType() && depth == 0 { // gqlgen's server is made without descriptions
			continue
		}
		text := fmt.Sprintf("%s%c%d: %s", f.Name, 'a'+depth, i, f.Name)
		if f.Arguments.ForName("includeDeprecated") != nil {
			// gqlgen's server looks at it on two fields only; the rest has a test of its own.
			switch f.Name {
			case "fields", "enumValues":
				if g.IntN(2) == 0 {
					text += fmt.Sprintf("(includeDeprecated: %t)", g.IntN(2) == 0)
				}
			default:
				text += "(includeDeprecated: true)"
			}
		}
		if of.IsCompositeType() {
			text += " " + g.set(of.Name, depth-1)
		}
		if g.IntN(4) == 0 {
			text = "... on " + typeName + " { " + text + " }"
		}
		out = append(out, text)
	}
	return "{ " + strings.Join(out, " ") + " }"
}

// wholeIntrospection is what graphql-js asks with all of its options, but for
// descriptions.
const wholeIntrospection = `query IntrospectionQuery {
  __schema {
    queryType { name kind } mutationType { name kind } subscriptionType { name kind }
    types { ...FullType }
    directives { name isRepeatable locations args(includeDeprecated: true) { ...InputValue } }
  }
}
fragment FullType on __Type {
  kind name specifiedByURL isOneOf
  fields(includeDeprecated: true) { name args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
  inputFields(includeDeprecated: true) { ...InputValue }
  interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name isDeprecated deprecationReason }
  possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue { name type { ...TypeRef } defaultValue isDeprecated deprecationReason }
fragment TypeRef on __Type {
  kind name
  ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }
}`

// likeGqlgen sorts all lists, types and directives have no order of their own, and
// levels where gqlgen's server departs from the specification: a list that a type of a
// kind cannot have is empty and not null, isOneOf false and not null, and @defer told.
func likeGqlgen(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			if strings.HasPrefix(key, "isOneOf") && v[key] == false {
				v[key] = nil
			}
			v[key] = likeGqlgen(v[key])
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
		v = slices.DeleteFunc(slices.Clone(v), func(item any) bool {
			object, _ := item.(map[string]any)
			return object["name"] == "defer"
		})
		for i := range v {
			v[i] = likeGqlgen(v[i])
		}
		slices.SortFunc(v, func(a, b any) int { return strings.Compare(asText(a), asText(b)) })
		return v
	}
	return v
}

func asText(v any) string {
	out, _ := json.Marshal(v) // it was JSON
	return string(out)
}

// Introspection answers what gqlgen's server of the same schema answers, whatever is
// selected.
func TestIntrospectionAsOneGqlgenServer(t *testing.T) {
	t.Parallel()
	for _, c := range []*compared{
		newCompared(t, 1, product.Schema, ownSubgraphs, ownComposition, openly),
		newCompared(t, 2, audit.Schema, auditFolder, auditFolder, openly),
	} {
		g := inspector{rand.New(rand.NewPCG(1, 1)), c.whole.Schema()}
		compared := 0
		for i := range 200 {
			o := g.operation()
			answer, _ := c.wholeAnswer(t, o)
			if strings.Contains(string(answer), "introspection depth exceeded") { // the router has limits of its own
				continue
			}
			compared++
			text := post(c.ways["in one process"], o.Body()).body
			want, got := outcomeOf(t, string(answer)), outcomeOf(t, text)
			if diff := cmp.Diff(likeGqlgen(want.Data), likeGqlgen(got.Data)); diff != "" || len(got.Errors) > 0 {
				t.Fatalf("operation %d: %s\n%.500s\n%.500s\n(-gqlgen +router):\n%s", i, o.Body(), answer, text, diff)
			}
		}
		if compared < 100 {
			t.Errorf("only %d operations were compared: the test says little", compared)
		}
	}
}

func openly(o *router.Options) { o.Introspection, o.Limits.MaxIntrospection = true, 1<<40 }
