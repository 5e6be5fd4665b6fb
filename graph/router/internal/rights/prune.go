package rights

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"

	"github.com/tradesage/tradesage/graph/router/internal/document"
)

// typeMarker is the alias of a __typename that tells what an object of several
// possible types is. Clients cannot use it: its beginning is reserved.
const typeMarker = document.ReservedAlias + "_ts_type"

// pruning writes an operation without the fields that are refused.
type pruning struct {
	rules  *Rules
	doc    *ast.Document
	denied map[int]bool // requirements that are not fulfilled
	voids  Voids
	// events says that what is read may come from the whole operation: markers are
	// wherever any part of it may need one.
	events bool
	marked bool
	out    strings.Builder
}

// Prune returns the operation without what takes one of these requirements, and
// with a typeMarker wherever an object may be of several types or has nothing else
// left. The result is nil if nothing is left, and marked whether there are markers.
// Fields of an interface that are refused for some of its types only become
// fragments on the others.
func Prune(g *Rules, doc *ast.Document, ids []int, voids Voids) (_ *ast.Document, marked bool, _ error) {
	p := &pruning{rules: g, doc: doc, denied: make(map[int]bool, len(ids)), voids: voids}
	for _, id := range ids {
		p.denied[id] = true
	}
	fail := func(err error) (*ast.Document, bool, error) { return nil, false, err }
	left := false
	for _, node := range doc.RootNodes {
		if node.Kind != ast.NodeKindOperationDefinition || !doc.OperationDefinitions[node.Ref].HasSelections {
			continue
		}
		if err := document.WriteHead(&p.out, doc, node.Ref); err != nil {
			return fail(err)
		}
		operation := doc.OperationDefinitions[node.Ref]
		p.events = operation.OperationType == ast.OperationTypeSubscription
		body, err := p.set(operation.SelectionSet, g.possible[document.RootType(g.schema, operation.OperationType)])
		if err != nil {
			return fail(err)
		}
		if left = body != ""; left {
			p.out.WriteString("{" + body + "}")
		}
	}
	if !left {
		return fail(nil)
	}
	pruned, report := astparser.ParseGraphqlDocumentString(p.out.String())
	if report.HasErrors() {
		return fail(report)
	}
	return &pruned, p.marked, nil
}

func (p *pruning) refused(ids []int) bool {
	for _, id := range ids {
		if p.denied[id] {
			return true
		}
	}
	return false
}

// set returns what is left of a selection set on objects of these types.
func (p *pruning) set(set int, on []string) (string, error) {
	var out strings.Builder
	for _, ref := range p.doc.SelectionSets[set].SelectionRefs {
		selection := p.doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			if err := p.field(&out, selection.Ref, on); err != nil {
				return "", err
			}
		case ast.SelectionKindInlineFragment:
			inner, ok := p.doc.InlineFragmentSelectionSet(selection.Ref)
			if !ok {
				continue
			}
			condition := p.doc.InlineFragmentTypeConditionNameString(selection.Ref)
			body, err := p.set(inner, p.rules.narrow(on, condition))
			if err != nil {
				return "", err
			}
			if body == "" {
				continue
			}
			out.WriteString(" ...")
			if condition != "" {
				out.WriteString(" on " + condition)
			}
			out.WriteString(" {" + body + "}")
		case ast.SelectionKindFragmentSpread: // normalization leaves none
			return "", fmt.Errorf("fragment %s is not inlined", p.doc.FragmentSpreadNameString(selection.Ref))
		}
	}
	return out.String(), nil
}

func (p *pruning) field(out *strings.Builder, field int, on []string) error {
	if p.refused(p.voids[field]) {
		return nil
	}
	name := p.doc.FieldNameString(field)
	var open []string
	for _, t := range on {
		if !p.refused(p.rules.fields[coordinate{t, name}]) {
			open = append(open, t)
		}
	}
	if len(open) == len(on) {
		return p.write(out, field, on)
	}
	for _, t := range open {
		out.WriteString(" ... on " + t + " {")
		if err := p.write(out, field, []string{t}); err != nil {
			return err
		}
		out.WriteString("}")
	}
	return nil
}

// write writes a field that is not refused, and what is left below it.
func (p *pruning) write(out *strings.Builder, field int, on []string) error {
	if err := document.WriteCall(out, p.doc, field); err != nil {
		return err
	}
	set, ok := p.doc.FieldSelectionSet(field)
	if !ok {
		return nil
	}
	name := p.doc.FieldNameString(field)
	if strings.HasPrefix(name, "__") { // introspection takes no rights field by field
		return p.verbatim(out, set)
	}
	values := p.rules.values(on, name)
	body, err := p.set(set, values)
	if err != nil {
		return err
	}
	if body == "" || p.abstract(on, name) || p.events && p.emptiable(set, values) {
		p.marked = true
		body += " " + typeMarker + ": __typename"
	}
	out.WriteString(" {" + body + "}")
	return nil
}

// emptiable reports whether some caller may see nothing of a selection set.
func (p *pruning) emptiable(set int, on []string) bool {
	for _, ref := range p.doc.SelectionSets[set].SelectionRefs {
		selection := p.doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			name := p.doc.FieldNameString(selection.Ref)
			if slices.ContainsFunc(on, func(t string) bool { return len(p.rules.fields[coordinate{t, name}]) == 0 }) {
				return false
			}
		case ast.SelectionKindInlineFragment:
			inner, ok := p.doc.InlineFragmentSelectionSet(selection.Ref)
			if ok && !p.emptiable(inner, p.rules.narrow(on, p.doc.InlineFragmentTypeConditionNameString(selection.Ref))) {
				return false
			}
		}
	}
	return true
}

// abstract reports whether the field's value may be declared as an interface or
// union.
func (p *pruning) abstract(on []string, field string) bool {
	for _, t := range on {
		if ref, ok := p.rules.types[coordinate{t, field}]; ok {
			if name := p.rules.schema.ResolveTypeNameString(ref); !p.rules.isObject(name) {
				return true
			}
		}
	}
	return false
}

// isObject reports whether a name is of an object type.
func (g *Rules) isObject(name string) bool {
	possible := g.possible[name]
	return len(possible) == 1 && possible[0] == name
}

// verbatim writes a selection set as it is.
func (p *pruning) verbatim(out *strings.Builder, set int) error {
	out.WriteString(" {")
	for _, ref := range p.doc.SelectionSets[set].SelectionRefs {
		selection := p.doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			if err := document.WriteCall(out, p.doc, selection.Ref); err != nil {
				return err
			}
			if inner, ok := p.doc.FieldSelectionSet(selection.Ref); ok {
				if err := p.verbatim(out, inner); err != nil {
					return err
				}
			}
		case ast.SelectionKindInlineFragment:
			if inner, ok := p.doc.InlineFragmentSelectionSet(selection.Ref); ok {
				out.WriteString(" ...")
				if c := p.doc.InlineFragmentTypeConditionNameString(selection.Ref); c != "" {
					out.WriteString(" on " + c)
				}
				if err := p.verbatim(out, inner); err != nil {
					return err
				}
			}
		}
	}
	out.WriteString("}")
	return nil
}
