package rights

import (
	"slices"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/internal/fault"
)

// Refusals are the requirements of an operation that its caller does not fulfil.
type Refusals struct {
	IDs     []int // in the order of the operation's rights
	reasons map[int]*fault.Error
}

// Voids are requirements of single fields of an operation, by their references.
type Voids map[int][]int

// reason returns why something that takes these requirements is refused, nil if
// it is not.
func (d *Refusals) reason(ids []int) *fault.Error {
	if d == nil {
		return nil
	}
	for _, id := range ids {
		if f := d.reasons[id]; f != nil {
			return f
		}
	}
	return nil
}

// Add notes why a requirement is not fulfilled.
func (d *Refusals) Add(id int, why *fault.Error) {
	if d.reasons == nil {
		d.reasons = map[int]*fault.Error{}
	}
	d.IDs, d.reasons[id] = append(d.IDs, id), why
}

// Err is the error of a refusal as a stream's or a whole request's.
func (d *Refusals) Err(ids []int) error {
	if f := d.reason(ids); f != nil {
		return f
	}
	return nil
}

// Of lists what the fields of a normalized operation take, each once.
// selected is what its root fields take.
func (g *Rules) Of(doc *ast.Document) (all, selected []int) {
	w := rightsWalk{rules: g, doc: doc}
	for _, node := range doc.RootNodes {
		if node.Kind != ast.NodeKindOperationDefinition || !doc.OperationDefinitions[node.Ref].HasSelections {
			continue
		}
		root := document.RootType(g.schema, doc.OperationDefinitions[node.Ref].OperationType)
		set := doc.OperationDefinitions[node.Ref].SelectionSet
		w.set(set, g.possible[root])
		for _, ref := range doc.SelectionSets[set].SelectionRefs {
			if s := doc.Selections[ref]; s.Kind == ast.SelectionKindField {
				selected = union(selected, g.fields[coordinate{root, doc.FieldNameString(s.Ref)}])
			}
		}
	}
	slices.Sort(w.found)
	return w.found, selected
}

type rightsWalk struct {
	rules *Rules
	doc   *ast.Document
	found []int
}

func (w *rightsWalk) need(ids []int) {
	for _, id := range ids {
		if !slices.Contains(w.found, id) {
			w.found = append(w.found, id)
		}
	}
}

// set walks what is selected on objects of these types.
func (w *rightsWalk) set(set int, on []string) {
	for _, ref := range w.doc.SelectionSets[set].SelectionRefs {
		selection := w.doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			name := w.doc.FieldNameString(selection.Ref)
			for _, t := range on {
				w.need(w.rules.fields[coordinate{t, name}])
			}
			inner, ok := w.doc.FieldSelectionSet(selection.Ref)
			if !ok {
				continue
			}
			values := w.rules.values(on, name)
			for _, t := range values {
				w.need(w.rules.objects[t])
			}
			w.set(inner, values)
		case ast.SelectionKindInlineFragment:
			if inner, ok := w.doc.InlineFragmentSelectionSet(selection.Ref); ok {
				w.set(inner, w.rules.narrow(on, w.doc.InlineFragmentTypeConditionNameString(selection.Ref)))
			}
		}
	}
}

// values are the object types that a field's value may have, on objects of types.
func (g *Rules) values(on []string, field string) (out []string) {
	for _, t := range on {
		ref, ok := g.types[coordinate{t, field}]
		if !ok {
			continue
		}
		for _, possible := range g.possible[g.schema.ResolveTypeNameString(ref)] {
			if !slices.Contains(out, possible) {
				out = append(out, possible)
			}
		}
	}
	return out
}

// narrow is what a fragment with this condition leaves of types.
func (g *Rules) narrow(on []string, condition string) []string {
	if condition == "" {
		return on
	}
	var out []string
	for _, t := range on {
		if slices.Contains(g.possible[condition], t) {
			out = append(out, t)
		}
	}
	return out
}
