package document

import (
	"slices"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
)

// inliner rewrites a document for the engine, before it is normalised. Cycles and
// sizes are checked before.
type inliner struct {
	doc    *ast.Document
	shapes *Shapes
}

// Shapes are what an inliner knows of a schema.
type Shapes struct {
	// possible are the object types that each composite type can be.
	possible map[string][]string
	// fields are the named types of fields, by type and name.
	fields map[[2]string]string
	// varied are the fields that require others with arguments which differ from what
	// is required elsewhere.
	varied map[[2]string]bool
}

// Vary notes a field which requires another one with arguments that differ from those
// with which it is required elsewhere.
func (s *Shapes) Vary(typeName, field string) { s.varied[[2]string{typeName, field}] = true }

// InlineFragments puts what fragments select in the place of their spreads, in the
// chosen operation.
func (d *Document) InlineFragments(schema *ast.Document, shapes *Shapes) {
	root := RootType(schema, d.Kind)
	n, types := &inliner{doc: &d.AST, shapes: shapes}, shapes.possible[root]
	n.inline(d.AST.OperationDefinitions[d.Operation].SelectionSet, root, types, types)
}

// inline puts what fragments select in the place of their spreads, below a selection
// set, and narrows fragments that are wider than the one around them. The engine can
// do the first too, but takes some fragments on interfaces and unions that are used
// twice for cycles; and where a fragment on a union is inside one on an interface it
// forgets the interface. on is the type whose fields a set selects, within are the object types that there can
// be, and around those of the fragment or field around it in the client's text.
func (n *inliner) inline(set int, on string, within, around []string) {
	doc := n.doc
	for i := 0; i < len(doc.SelectionSets[set].SelectionRefs); i++ {
		selection := doc.Selections[doc.SelectionSets[set].SelectionRefs[i]]
		if selection.Kind == ast.SelectionKindFragmentSpread {
			spread := selection.Ref
			fragment, ok := doc.FragmentDefinitionRef(doc.FragmentSpreadNameBytes(spread))
			if !ok {
				continue // validation tells the client
			}
			definition := doc.FragmentDefinitions[fragment]
			doc.ReplaceFragmentSpreadWithInlineFragment(set, spread, definition.SelectionSet,
				definition.TypeCondition, doc.FragmentSpreads[spread].Directives)
			selection = doc.Selections[doc.SelectionSets[set].SelectionRefs[i]]
		}
		switch selection.Kind {
		case ast.SelectionKindField:
			if inner, ok := doc.FieldSelectionSet(selection.Ref); ok {
				of := n.shapes.fields[[2]string{on, doc.FieldNameString(selection.Ref)}]
				n.inline(inner, of, n.shapes.possible[of], n.shapes.possible[of])
			}
		case ast.SelectionKindInlineFragment:
			if inner, ok := doc.InlineFragmentSelectionSet(selection.Ref); ok {
				i += n.fragment(set, i, selection.Ref, inner, on, within, around) - 1
			}
		}
	}
}

// fragment goes on in an inline fragment, the i-th selection of a set, and returns
// how many selections it has become.
func (n *inliner) fragment(set, i, ref, inner int, on string, within, around []string) int {
	doc := n.doc
	condition := doc.InlineFragmentTypeConditionNameString(ref)
	types, known := n.shapes.possible[condition]
	if !known { // no condition, or one that validation refuses
		n.inline(inner, on, within, around)
		return 1
	}
	both := common(types, within)
	switch {
	case len(both) == len(types): // narrower already
		n.inline(inner, condition, both, types)
		return 1
	case len(both) > 0:
		return n.narrow(set, i, ref, condition, both, types)
	case len(common(types, around)) > 0: // legal, and never so
		n.skip(ref)
	}
	return 1 // else validation tells the client
}

// narrow has a fragment stand once for each of the types that it can be here.
func (n *inliner) narrow(set, i, ref int, condition string, both, types []string) int {
	doc := n.doc
	refs := doc.SelectionSets[set].SelectionRefs
	narrowed := slices.Clone(refs[:i])
	fragments := make([]int, len(both))
	for k, name := range both {
		fragments[k] = ref
		if k < len(both)-1 {
			fragments[k] = doc.CopyInlineFragment(ref)
		}
		doc.InlineFragments[fragments[k]].TypeCondition.Type = doc.AddNamedType([]byte(name))
		doc.Selections = append(doc.Selections, ast.Selection{Kind: ast.SelectionKindInlineFragment, Ref: fragments[k]})
		narrowed = append(narrowed, len(doc.Selections)-1)
	}
	doc.SelectionSets[set].SelectionRefs = append(narrowed, refs[i+1:]...)
	for k, name := range both {
		if inner, ok := doc.InlineFragmentSelectionSet(fragments[k]); ok {
			n.inline(inner, condition, []string{name}, types)
		}
	}
	return len(both)
}

// skip leaves a fragment out.
func (n *inliner) skip(ref int) {
	doc := n.doc
	always := doc.AddArgument(ast.Argument{
		Name: doc.Input.AppendInputString("if"), Value: ast.Value{Kind: ast.ValueKindBoolean, Ref: 1}, // true
	})
	directive := doc.AddDirective(ast.Directive{
		Name: doc.Input.AppendInputString("skip"), HasArguments: true, Arguments: ast.ArgumentList{Refs: []int{always}},
	})
	doc.InlineFragments[ref].HasDirectives = true
	directives := &doc.InlineFragments[ref].Directives
	directives.Refs = append(slices.Clone(directives.Refs), directive) // its own may be all that uses a variable
}

func common(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(t string) bool { return !slices.Contains(b, t) })
}

// NewShapes reads the shapes of a schema.
func NewShapes(schema *ast.Document) *Shapes {
	out := &Shapes{possible: map[string][]string{}, fields: map[[2]string]string{}, varied: map[[2]string]bool{}}
	fields := func(on string, refs []int) {
		for _, ref := range refs {
			out.fields[[2]string{on, schema.FieldDefinitionNameString(ref)}] = schema.FieldDefinitionTypeNameString(ref)
		}
	}
	for i := range schema.ObjectTypeDefinitions {
		name := schema.ObjectTypeDefinitionNameString(i)
		fields(name, schema.ObjectTypeDefinitions[i].FieldsDefinition.Refs)
		out.possible[name] = append(out.possible[name], name)
		for _, t := range schema.ObjectTypeDefinitions[i].ImplementsInterfaces.Refs {
			face := schema.TypeNameString(t)
			out.possible[face] = append(out.possible[face], name)
		}
	}
	for i := range schema.InterfaceTypeDefinitions {
		fields(schema.InterfaceTypeDefinitionNameString(i), schema.InterfaceTypeDefinitions[i].FieldsDefinition.Refs)
	}
	for i := range schema.UnionTypeDefinitions {
		name := schema.UnionTypeDefinitionNameString(i)
		for _, t := range schema.UnionTypeDefinitions[i].UnionMemberTypes.Refs {
			out.possible[name] = append(out.possible[name], schema.TypeNameString(t))
		}
	}
	return out
}
