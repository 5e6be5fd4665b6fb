package supergraph

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
)

// layers are how many steps of @requires lead to each field.
//
// The planner asks one subgraph for all fields of an object together as long as it
// sees no reason not to, and it does not look far: where A's field requires one of
// B's, which requires another one of A's, its two fetches may come to wait for each
// other. Taken apart into layers, each as a subgraph of its own whose fields require
// only those of lower layers, there is nothing left that could wait in a circle.
type layers struct {
	sources []dataSourceConfig
	// steps are by subgraph and field: 0 for one that requires nothing.
	steps map[resolver]int
	// resolvers are the subgraphs that have a field.
	resolvers map[fieldPlace][]string
	// requires are the fields that a field requires.
	requires map[resolver][]fieldPlace
}

// resolver is a field in one subgraph.
type resolver struct {
	subgraph string
	field    fieldPlace
}

// newLayers reads what requires what. Fields that require each other, so that no
// subgraph could begin, are an error that names them.
func newLayers(schema *ast.Document, sources []dataSourceConfig) (*layers, error) {
	l := &layers{sources: sources, steps: map[resolver]int{}, resolvers: map[fieldPlace][]string{}, requires: map[resolver][]fieldPlace{}}
	for i := range sources {
		s := &sources[i]
		for _, r := range s.Requires {
			selected, err := selectedBy(schema, r)
			if err != nil {
				return nil, err
			}
			at := resolver{s.ID, fieldPlace{r.TypeName, r.FieldName}}
			for _, f := range selected.fields {
				l.requires[at] = append(l.requires[at], f.fieldPlace)
			}
		}
		for _, nodes := range [][]typeFields{s.RootNodes, s.ChildNodes} {
			for _, n := range nodes {
				for _, name := range n.FieldNames {
					at := fieldPlace{n.TypeName, name}
					l.resolvers[at] = append(l.resolvers[at], s.ID)
				}
			}
		}
	}
	return l, l.count()
}

// count finds the steps that lead to each field.
func (l *layers) count() error {
	open := slices.SortedFunc(maps.Keys(l.requires), func(a, b resolver) int {
		return strings.Compare(a.field.TypeName+"."+a.field.FieldName+a.subgraph, b.field.TypeName+"."+b.field.FieldName+b.subgraph)
	})
	for len(open) > 0 {
		found := map[resolver]int{}
		for _, r := range open {
			if n, ok := l.after(l.requires[r]); ok {
				found[r] = n + 1
			}
		}
		if len(found) == 0 {
			break
		}
		maps.Copy(l.steps, found)
		open = slices.DeleteFunc(open, func(r resolver) bool { return found[r] > 0 })
	}
	for _, r := range open {
		if _, ok := l.of(r.field); !ok {
			return l.circle(r.field)
		}
	}
	return nil
}

// after is the most steps that lead to one of some fields; false if not all of them
// can be known yet.
func (l *layers) after(fields []fieldPlace) (int, bool) {
	most := 0
	for _, f := range fields {
		n, ok := l.of(f)
		if !ok {
			return 0, false
		}
		most = max(most, n)
	}
	return most, true
}

// of is how many steps lead to a field, at most; false if no subgraph can know it.
func (l *layers) of(f fieldPlace) (most int, known bool) {
	for _, subgraph := range l.resolvers[f] {
		at := resolver{subgraph, f}
		n, counted := l.steps[at]
		if counted || l.requires[at] == nil {
			most, known = max(most, n), true
		}
	}
	return most, known || len(l.resolvers[f]) == 0
}

// circle tells how a field comes to require itself.
func (l *layers) circle(from fieldPlace) error {
	var way []fieldPlace
	for at := from; ; {
		if first := slices.Index(way, at); first >= 0 {
			names := make([]string, 0, len(way)+1)
			for _, f := range append(way[first:], at) {
				names = append(names, f.TypeName+"."+f.FieldName)
			}
			return fmt.Errorf("fields require each other: %s", strings.Join(names, " requires "))
		}
		way = append(way, at)
		at = l.unknown(at)
	}
}

// unknown is a field that one which cannot be known requires, and that cannot be
// known either.
func (l *layers) unknown(f fieldPlace) fieldPlace {
	for _, subgraph := range l.resolvers[f] {
		for _, required := range l.requires[resolver{subgraph, f}] {
			if _, ok := l.of(required); !ok {
				return required
			}
		}
	}
	return f
}

// layerMark stands between a subgraph's id and a layer's number.
const layerMark = "/layer "

// subgraph is the id of the subgraph that a source, or a layer of it, is.
func (s *dataSourceConfig) subgraph() string {
	id, _, _ := strings.Cut(s.ID, layerMark)
	return id
}

// split returns the subgraphs taken apart, or nil if none can be. The layers of one
// have its name and ids of their own.
func (l *layers) split() []dataSourceConfig {
	var out []dataSourceConfig
	for i := range l.sources {
		s := &l.sources[i]
		steps := map[int]bool{0: true}
		for _, r := range s.Requires {
			steps[l.steps[resolver{s.ID, fieldPlace{r.TypeName, r.FieldName}}]] = true
		}
		for _, n := range slices.Sorted(maps.Keys(steps)) {
			out = append(out, l.layer(s, n))
		}
	}
	if len(out) == len(l.sources) {
		return nil
	}
	return out
}

// layer is what of a subgraph is reached by so many steps.
func (l *layers) layer(s *dataSourceConfig, steps int) dataSourceConfig {
	out := *s
	if steps > 0 {
		out.ID += layerMark + strconv.Itoa(steps)
	}
	in := func(typeName, field string) bool {
		n, counted := l.steps[resolver{s.ID, fieldPlace{typeName, field}}]
		required := counted || l.requires[resolver{s.ID, fieldPlace{typeName, field}}] != nil
		switch {
		case required:
			return counted && n == steps
		case steps == 0:
			return true
		}
		return !s.reachable(typeName) || s.inKey(typeName, field)
	}
	out.RootNodes, out.ChildNodes = only(s.RootNodes, in), only(s.ChildNodes, in)
	out.Requires = slices.DeleteFunc(slices.Clone(s.Requires), func(r federatedField) bool { return !in(r.TypeName, r.FieldName) })
	return out
}

func only(nodes []typeFields, in func(typeName, field string) bool) []typeFields {
	out := make([]typeFields, 0, len(nodes))
	for _, n := range nodes {
		n.FieldNames = slices.DeleteFunc(slices.Clone(n.FieldNames), func(name string) bool { return !in(n.TypeName, name) })
		if len(n.FieldNames)+len(n.ExternalFields) > 0 {
			out = append(out, n)
		}
	}
	return out
}

// reachable is whether a subgraph can be asked for an object of a type by a key, or
// from the beginning, so that a higher layer need not have its fields.
func (s *dataSourceConfig) reachable(typeName string) bool {
	switch typeName {
	case "Query", "Mutation", "Subscription":
		return true
	}
	return slices.ContainsFunc(s.Keys, func(k federatedField) bool { return k.TypeName == typeName && !k.DisableEntityResolver })
}

// inKey is whether a field is in a key of its type.
func (s *dataSourceConfig) inKey(typeName, field string) bool {
	return slices.ContainsFunc(s.Keys, func(k federatedField) bool {
		return k.TypeName == typeName && slices.Contains(names.FindAllString(k.SelectionSet, -1), field)
	})
}

// names are the names in a selection.
var names = regexp.MustCompile(`[_A-Za-z][_0-9A-Za-z]*`)
