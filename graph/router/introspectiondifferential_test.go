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
	if g.IntN(2) == 0 {
		return graphtest.Operation{Text: "query Q { __schema " + g.set("__Schema", 4) + " kinds: __schema { queryType { ...T } } } fragment T on __Type { name kind }"}
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range g.schema.Types {
			if !strings.HasPrefix(name, "__") && !yield(name) {
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
		if f.Name == "description" || f.Name == "isOneOf" || of.IsCompositeType() && depth == 0 { // gqlgen's server is made without descriptions
			continue
		}
		text := fmt.Sprintf("%c%d: %s", 'a'+depth, i, f.Name)
		if f.Arguments.ForName("includeDeprecated") != nil && g.IntN(2) == 0 {
			text += fmt.Sprintf("(includeDeprecated: %t)", g.IntN(2) == 0)
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

// inNoOrder sorts all lists: types and directives have no order of their own. A list
// that a type of a kind cannot have is null; gqlgen has empty ones.
func inNoOrder(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = inNoOrder(v[key])
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
		v = slices.DeleteFunc(slices.Clone(v), beside)
		for i := range v {
			v[i] = inNoOrder(v[i])
		}
		slices.SortFunc(v, func(a, b any) int { return strings.Compare(asText(a), asText(b)) })
		return v
	}
	return v
}

// beside is whether an item of a list is told by one of the servers only: gqlgen lists
// the types of introspection itself, and each has a @defer of its own.
func beside(v any) bool {
	object, _ := v.(map[string]any)
	name, _ := object["name"].(string)
	return strings.HasPrefix(name, "__") || name == "defer"
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
			if diff := cmp.Diff(inNoOrder(want.Data), inNoOrder(got.Data)); diff != "" || len(got.Errors) > 0 {
				t.Fatalf("operation %d: %s\n%.500s\n%.500s\n(-gqlgen +router):\n%s", i, o.Body(), answer, text, diff)
			}
		}
		if compared < 100 {
			t.Errorf("only %d operations were compared: the test says little", compared)
		}
	}
}

func openly(o *router.Options) { o.Introspection, o.Limits.MaxIntrospection = true, 1<<40 }
