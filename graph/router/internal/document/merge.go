package document

import (
	"fmt"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/fault"
)

// mergeCheck refuses fields that share a response name and cannot be merged
// (GraphQL specification, "Field Selection Merging"). The engine's own rule, which
// is not used, overlooks pairs of which one has a selection set, and its planner
// panics or plans in circles on them; and it refuses fields below fragments on
// different types, which never meet.
type mergeCheck struct {
	schema *ast.Document
	doc    *ast.Document
	// budget is how many more fields may be looked at: where fragments on several
	// types meet at each level, the pairs to compare double with the depth.
	budget int
}

// errOverlapping answers an operation that would take too much.
var errOverlapping = fault.New(fault.CodeOperationTooComplex, "the operation has too many overlapping fragments: "+
	"select an object's fields in one place, not on an interface and again on its types, or ask in several operations").
	Because(&BeyondLimit{"overlap"})

// mergeBudget is far beyond what documents within the default limits need.
const mergeBudget = 200_000

// scoped is a field, the type that it is selected on, and the object type that this
// is or is within, or "" if it applies to more than one type.
type scoped struct {
	field  int
	on     string
	object string
}

// CheckMerging checks an operation of a parsed document, whose fragments do not
// spread themselves. It must come before normalization, which drops one of two
// fields that it takes for equal.
func CheckMerging(schema, doc *ast.Document, operation int) error {
	c := &mergeCheck{schema: schema, doc: doc, budget: mergeBudget}
	definition := doc.OperationDefinitions[operation]
	fields := c.collect(nil, definition.SelectionSet, RootType(schema, definition.OperationType), "")
	if err := c.checkShapes(fields); err != nil {
		return err
	}
	return c.check(fields)
}

// collect finds the fields of a selection set on a type, fragments included. object
// is the object type around it in the same response object, if there is one.
func (c *mergeCheck) collect(out []scoped, set int, on, object string) []scoped {
	object = c.scope(object, on)
	for _, ref := range c.doc.SelectionSets[set].SelectionRefs {
		switch selection := c.doc.Selections[ref]; selection.Kind {
		case ast.SelectionKindField:
			out = append(out, scoped{selection.Ref, on, object})
		case ast.SelectionKindInlineFragment:
			inner, ok := c.doc.InlineFragmentSelectionSet(selection.Ref)
			if !ok {
				continue
			}
			of := on
			if condition := c.doc.InlineFragmentTypeConditionNameString(selection.Ref); condition != "" {
				of = condition
			}
			out = c.collect(out, inner, of, object)
		case ast.SelectionKindFragmentSpread:
			fragment, ok := c.doc.FragmentDefinitionRef(c.doc.FragmentSpreadNameBytes(selection.Ref))
			if ok && c.doc.FragmentDefinitions[fragment].HasSelections {
				out = c.collect(out, c.doc.FragmentDefinitions[fragment].SelectionSet, c.doc.FragmentDefinitionTypeNameString(fragment), object)
			}
		}
	}
	return out
}

// below collects what a field selects.
func (c *mergeCheck) below(out []scoped, f scoped) []scoped {
	set, ok := c.doc.FieldSelectionSet(f.field)
	if !ok {
		return out
	}
	of := ""
	if ref, ok := c.typeOf(f); ok && ref != stringType {
		of = c.schema.ResolveTypeNameString(ref)
	}
	return c.collect(out, set, of, "")
}

// scope returns an object type, or else the one around it.
func (c *mergeCheck) scope(around, typeName string) string {
	if node, ok := c.schema.NodeByNameStr(typeName); ok && node.Kind == ast.NodeKindObjectTypeDefinition {
		return typeName
	}
	return around
}

// check compares the fields of one response object, and then what they select.
func (c *mergeCheck) check(fields []scoped) error {
	if c.budget -= len(fields); c.budget < 0 {
		return errOverlapping
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
		scopes[f.object] = true
	}
	if len(scopes) > 1 {
		delete(scopes, "") // those are part of each of the others
	}
	for scope := range scopes {
		var nested []scoped
		first := -1
		for _, f := range group {
			if f.object != scope && f.object != "" {
				continue // of another object type: never in the same object
			}
			if first < 0 {
				first = f.field
			} else if !c.same(first, f.field) {
				return c.conflict(name, f.field, "they are different fields or have different arguments")
			}
			nested = c.below(nested, f)
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

func (c *mergeCheck) conflict(name string, field int, why string) error {
	position := c.doc.Fields[field].Position
	return &clienterr.DocumentError{Errors: []clienterr.Error{{
		Message:    fmt.Sprintf("fields %q conflict: %s; use different aliases", name, why),
		Locations:  []clienterr.Location{{Line: position.LineStart, Column: position.CharStart}},
		Extensions: clienterr.Extensions{Code: fault.CodeInvalidInput},
	}}}
}
