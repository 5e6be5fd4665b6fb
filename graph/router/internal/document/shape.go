package document

import (
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
)

// checkShapes compares the types of fields that share a response name, also where no
// object has both: a client reads them by one type (GraphQL specification,
// SameResponseShape).
func (c *mergeCheck) checkShapes(fields []scoped) error {
	if c.budget -= len(fields); c.budget < 0 {
		return errOverlapping
	}
	first := make(map[string]int, len(fields)) // types by response names
	inner := map[string][]scoped{}
	var names []string
	for _, f := range fields {
		name := c.doc.FieldAliasOrNameString(f.field)
		of, ok := c.typeOf(f)
		if !ok {
			continue // validation tells the client
		}
		before, known := first[name]
		switch {
		case !known:
			first[name] = of
		case !c.alike(before, of):
			return c.conflict(name, f.field, "they are of different types")
		}
		if c.doc.FieldHasSelections(f.field) {
			if inner[name] == nil {
				names = append(names, name)
			}
			inner[name] = c.below(inner[name], f)
		}
	}
	for _, name := range names {
		if err := c.checkShapes(inner[name]); err != nil {
			return err
		}
	}
	return nil
}

// stringType stands for the type of __typename, which no schema defines.
const stringType = -1

func (c *mergeCheck) typeOf(f scoped) (int, bool) {
	name := c.doc.FieldNameBytes(f.field)
	if string(name) == "__typename" {
		return stringType, true
	}
	node, ok := c.schema.NodeByNameStr(f.on)
	if !ok {
		return 0, false
	}
	definition, ok := c.schema.NodeFieldDefinitionByName(node, name)
	if !ok {
		return 0, false
	}
	return c.schema.FieldDefinitionType(definition), true
}

// alike is whether values of two types look alike to a client.
func (c *mergeCheck) alike(a, b int) bool {
	if a == stringType || b == stringType {
		return a == b || c.aString(max(a, b)) // the other one, as stringType is below all
	}
	left, right := c.schema.Types[a], c.schema.Types[b]
	if left.TypeKind != right.TypeKind {
		return false
	}
	if left.TypeKind != ast.TypeKindNamed {
		return c.alike(left.OfType, right.OfType)
	}
	one, other := c.schema.TypeNameString(a), c.schema.TypeNameString(b)
	return one == other || c.composite(one) && c.composite(other)
}

// aString is whether a type is String!, as that of __typename is.
func (c *mergeCheck) aString(ref int) bool {
	of := c.schema.Types[ref]
	return of.TypeKind == ast.TypeKindNonNull && c.schema.Types[of.OfType].TypeKind == ast.TypeKindNamed && c.schema.TypeNameString(of.OfType) == "String"
}

func (c *mergeCheck) composite(name string) bool {
	node, ok := c.schema.NodeByNameStr(name)
	return ok && (node.Kind == ast.NodeKindObjectTypeDefinition || node.Kind == ast.NodeKindInterfaceTypeDefinition || node.Kind == ast.NodeKindUnionTypeDefinition)
}
