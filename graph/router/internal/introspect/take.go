package introspect

import (
	"slices"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
)

// Origin tells what a variable of a document is: a client's, by its name, or a literal
// that was written there, as JSON.
type Origin func(variable string) (name, literal string)

// errElsewhere answers what is valid, and what nobody does.
var errElsewhere = fault.InvalidInput("query", "__schema and __type are fields of the operation itself, and not of a Query that a field answers")

// Take removes the introspections from a document of one valid operation whose
// fragments stand inline, and returns them; nil if there are none. They are measured,
// up to just beyond most bytes. Introspections below other fields are INVALID_INPUT.
func (s *Source) Take(doc *ast.Document, origin Origin, most int) (*Part, error) {
	t := &taking{doc: doc, origin: origin}
	p := &Part{source: s, Alone: true}
	for _, node := range doc.RootNodes {
		if node.Kind == ast.NodeKindOperationDefinition && doc.OperationDefinitions[node.Ref].HasSelections {
			if t.take(doc.OperationDefinitions[node.Ref].SelectionSet, p) {
				p.Alone = false
			}
		}
	}
	if t.below {
		return nil, errElsewhere
	}
	if !slices.ContainsFunc(p.roots, func(r root) bool { return !r.elsewhere }) {
		return nil, nil //nolint:nilnil // there are none
	}
	for i, sets := range t.sets {
		p.roots[i].inner = t.fields(sets)
	}
	p.Size = p.measure(most)
	return p, nil
}

type taking struct {
	doc    *ast.Document
	origin Origin
	// sets are what is selected on each root.
	sets [][]int
	// below is whether there is an introspection that is no field of the operation.
	below bool
}

// take moves the introspections of a selection set of the operation to p, and tells
// whether it leaves anything.
func (t *taking) take(set int, p *Part) bool {
	doc := t.doc
	doc.SelectionSets[set].SelectionRefs = slices.DeleteFunc(slices.Clone(doc.SelectionSets[set].SelectionRefs), func(ref int) bool {
		selection := doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			return t.taken(selection.Ref, p)
		case ast.SelectionKindInlineFragment:
			inner, ok := doc.InlineFragmentSelectionSet(selection.Ref)
			return !ok || !t.take(inner, p)
		}
		return false
	})
	return len(doc.SelectionSets[set].SelectionRefs) > 0
}

// taken is whether a field of the operation is an introspection, which is then p's.
func (t *taking) taken(ref int, p *Part) bool {
	f := t.field(ref)
	if strings.HasPrefix(f.response, document.ReservedAlias) {
		return false
	}
	inner, selects := t.doc.FieldSelectionSet(ref)
	r := root{field: f, elsewhere: f.name != "__schema" && f.name != "__type"}
	if r.elsewhere && selects {
		t.below = t.below || t.introspects(inner)
	}
	at := slices.IndexFunc(p.roots, func(known root) bool { return known.response == f.response })
	if at < 0 {
		if f.name == "__type" {
			r.typeName = t.text(ref, "name")
		}
		at = len(p.roots)
		p.roots, t.sets = append(p.roots, r), append(t.sets, nil)
	}
	if r.elsewhere {
		return false
	}
	t.sets[at] = append(t.sets[at], inner)
	return true
}

func (t *taking) introspects(set int) bool {
	return slices.ContainsFunc(t.doc.SelectionSets[set].SelectionRefs, func(ref int) bool {
		selection := t.doc.Selections[ref]
		inner, ok := 0, false
		switch selection.Kind {
		case ast.SelectionKindField:
			if name := t.doc.FieldNameString(selection.Ref); name == "__schema" || name == "__type" {
				return true
			}
			inner, ok = t.doc.FieldSelectionSet(selection.Ref)
		case ast.SelectionKindInlineFragment:
			inner, ok = t.doc.InlineFragmentSelectionSet(selection.Ref)
		}
		return ok && t.introspects(inner)
	})
}

// fields are what selection sets ask of one object: all types of introspection are
// object types, so that each fragment applies.
func (t *taking) fields(sets []int) (out []field) {
	var below [][]int
	var collect func(set int)
	collect = func(set int) {
		for _, ref := range t.doc.SelectionSets[set].SelectionRefs {
			selection := t.doc.Selections[ref]
			switch selection.Kind {
			case ast.SelectionKindField:
				f := t.field(selection.Ref)
				if strings.HasPrefix(f.response, document.ReservedAlias) {
					continue // in a selection that @skip has emptied
				}
				at := slices.IndexFunc(out, func(known field) bool { return known.response == f.response })
				if at < 0 {
					at = len(out)
					out, below = append(out, f), append(below, nil)
				}
				if inner, ok := t.doc.FieldSelectionSet(selection.Ref); ok {
					below[at] = append(below[at], inner)
				}
			case ast.SelectionKindInlineFragment:
				if inner, ok := t.doc.InlineFragmentSelectionSet(selection.Ref); ok {
					collect(inner)
				}
			}
		}
	}
	for _, set := range sets {
		collect(set)
	}
	for i := range out {
		if len(below[i]) > 0 {
			out[i].inner = t.fields(below[i])
		}
	}
	return out
}

func (t *taking) field(ref int) field {
	f := field{response: t.doc.FieldAliasOrNameString(ref), name: t.doc.FieldNameString(ref)}
	f.key = rawjson.Key(f.response)
	f.deprecated = t.flag(ref, "includeDeprecated")
	return f
}

// flag reads an argument that is false by default.
func (t *taking) flag(ref int, argument string) flag {
	i, ok := t.doc.FieldArgument(ref, []byte(argument))
	if !ok {
		return flag{}
	}
	value := t.doc.ArgumentValue(i)
	switch value.Kind {
	case ast.ValueKindVariable:
		name, literal := t.origin(t.doc.VariableValueNameString(value.Ref))
		if literal != "" {
			return flag{value: literal == "true"}
		}
		return flag{variable: name}
	case ast.ValueKindBoolean:
		return flag{value: bool(t.doc.BooleanValue(value.Ref))}
	}
	return flag{}
}

func (t *taking) text(ref int, argument string) text {
	i, ok := t.doc.FieldArgument(ref, []byte(argument))
	if !ok {
		return text{}
	}
	value := t.doc.ArgumentValue(i)
	switch value.Kind {
	case ast.ValueKindVariable:
		name, literal := t.origin(t.doc.VariableValueNameString(value.Ref))
		if literal == "" {
			return text{variable: name}
		}
		if decoded, err := rawjson.DecodeString([]byte(literal)); err == nil {
			return text{value: decoded}
		}
	case ast.ValueKindString:
		return text{value: t.doc.StringValueContentString(value.Ref)}
	}
	return text{}
}
