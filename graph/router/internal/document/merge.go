package document

import (
	"fmt"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/fault"
)

// mergeCheck refuses fields that share a response name and cannot be merged
// (GraphQL specification, "Field Selection Merging"). The engine's own rule
// overlooks pairs of which one has a selection set, and its planner panics or plans
// in circles on them.
type mergeCheck struct {
	schema *ast.Document
	doc    *ast.Document
	// budget is how many more fields may be looked at: where fragments on several
	// types meet at each level, the pairs to compare double with the depth.
	budget int
}

// mergeBudget is far beyond what documents within the default limits need.
const mergeBudget = 200_000

// scoped is a field and the object type that it is selected on, or "" if it
// applies to more than one type.
type scoped struct {
	field int
	on    string
}

// CheckMerging checks an operation of a parsed document, whose fragments do not
// spread themselves. It must come before normalization, which drops one of two
// fields that it takes for equal.
func CheckMerging(schema, doc *ast.Document, operation int) error {
	c := &mergeCheck{schema: schema, doc: doc, budget: mergeBudget}
	return c.check(c.collect(nil, doc.OperationDefinitions[operation].SelectionSet, ""))
}

func (c *mergeCheck) collect(out []scoped, set int, on string) []scoped {
	for _, ref := range c.doc.SelectionSets[set].SelectionRefs {
		switch selection := c.doc.Selections[ref]; selection.Kind {
		case ast.SelectionKindField:
			out = append(out, scoped{selection.Ref, on})
		case ast.SelectionKindInlineFragment:
			if inner, ok := c.doc.InlineFragmentSelectionSet(selection.Ref); ok {
				out = c.collect(out, inner, c.scope(on, c.doc.InlineFragmentTypeConditionNameString(selection.Ref)))
			}
		case ast.SelectionKindFragmentSpread:
			fragment, ok := c.doc.FragmentDefinitionRef(c.doc.FragmentSpreadNameBytes(selection.Ref))
			if ok && c.doc.FragmentDefinitions[fragment].HasSelections {
				out = c.collect(out, c.doc.FragmentDefinitions[fragment].SelectionSet,
					c.scope(on, c.doc.FragmentDefinitionTypeNameString(fragment)))
			}
		}
	}
	return out
}

// scope returns the object type that a fragment narrows to, or the one around it.
func (c *mergeCheck) scope(on, typeName string) string {
	if node, ok := c.schema.NodeByNameStr(typeName); ok && node.Kind == ast.NodeKindObjectTypeDefinition {
		return typeName
	}
	return on
}

// check compares the fields of one response object, and then what they select.
func (c *mergeCheck) check(fields []scoped) error {
	if c.budget -= len(fields); c.budget < 0 {
		return fault.New(fault.CodeOperationTooComplex, "the operation has too many overlapping fragments")
	}
	groups := make(map[string][]scoped, len(fields))
	for _, f := range fields {
		name := c.doc.FieldAliasOrNameString(f.field)
		groups[name] = append(groups[name], f)
	}
	for _, f := range fields { // in the document's order, so that the answer is stable
		name := c.doc.FieldAliasOrNameString(f.field)
		group := groups[name]
		delete(groups, name)
		if len(group) == 0 {
			continue
		}
		if err := c.checkGroup(name, group); err != nil {
			return err
		}
	}
	return nil
}

func (c *mergeCheck) checkGroup(name string, group []scoped) error {
	scopes := map[string]bool{}
	for _, f := range group {
		scopes[f.on] = true
	}
	if len(scopes) > 1 {
		delete(scopes, "") // those are part of each of the others
	}
	for scope := range scopes {
		var nested []scoped
		first := -1
		for _, f := range group {
			if f.on != scope && f.on != "" {
				continue // of another object type: never in the same object
			}
			if first < 0 {
				first = f.field
			} else if !c.same(first, f.field) {
				return c.conflict(name, f.field)
			}
			if set, ok := c.doc.FieldSelectionSet(f.field); ok {
				nested = c.collect(nested, set, "")
			}
		}
		if err := c.check(nested); err != nil {
			return err
		}
	}
	return nil
}

// same reports whether two fields have the same name and arguments. Values are
// compared as they are written.
func (c *mergeCheck) same(a, b int) bool {
	if c.doc.FieldNameString(a) != c.doc.FieldNameString(b) {
		return false
	}
	left, right := c.doc.FieldArguments(a), c.doc.FieldArguments(b)
	if len(left) != len(right) {
		return false
	}
	for _, ref := range left {
		other, ok := c.doc.FieldArgument(b, c.doc.ArgumentNameBytes(ref))
		if !ok || c.value(ref) != c.value(other) {
			return false
		}
	}
	return true
}

func (c *mergeCheck) value(argument int) string {
	var out strings.Builder
	_ = c.doc.PrintValue(c.doc.ArgumentValue(argument), &out) // a Builder takes everything
	return out.String()
}

func (c *mergeCheck) conflict(name string, field int) error {
	position := c.doc.Fields[field].Position
	return &clienterr.DocumentError{Errors: []clienterr.Error{{
		Message:    fmt.Sprintf("fields %q conflict: they are different fields or have different arguments; use different aliases", name),
		Locations:  []clienterr.Location{{Line: position.LineStart, Column: position.CharStart}},
		Extensions: clienterr.Extensions{Code: fault.CodeInvalidInput},
	}}}
}
