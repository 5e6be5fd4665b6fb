package conform

import (
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
)

// entities is the field of all subgraphs' entities, which no schema of clients has.
const entities = "_entities"

// maxDepth bounds how deep a query is looked into.
const maxDepth = 100

// Compile returns what the data of a query's answer may look like, nil for a query
// that cannot be read.
func Compile(schema *ast.Document, query string) *Shape {
	doc, report := astparser.ParseGraphqlDocumentString(query)
	if report.HasErrors() || len(doc.OperationDefinitions) != 1 || !doc.OperationDefinitions[0].HasSelections {
		return nil
	}
	operation := &doc.OperationDefinitions[0]
	root := schema.Index.QueryTypeName
	switch operation.OperationType {
	case ast.OperationTypeMutation:
		root = schema.Index.MutationTypeName
	case ast.OperationTypeSubscription:
		root = schema.Index.SubscriptionTypeName
	}
	c := &compiler{schema: schema, doc: &doc}
	out := &Shape{kind: object, fields: map[string][]*Shape{}}
	c.selections(out, operation.SelectionSet, string(root), maxDepth)
	out.response = &Shape{kind: object, fields: map[string][]*Shape{"data": {out}}}
	return out
}

type compiler struct{ schema, doc *ast.Document }

// selections adds what a selection set on a type brings.
func (c *compiler) selections(into *Shape, set int, typeName string, depth int) {
	if depth == 0 {
		return
	}
	for _, ref := range c.doc.SelectionSets[set].SelectionRefs {
		selection := c.doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			if found := c.field(selection.Ref, typeName, depth); found != nil {
				into.add(c.doc.FieldAliasOrNameString(selection.Ref), found)
			}
		case ast.SelectionKindInlineFragment:
			on := typeName
			if c.doc.InlineFragments[selection.Ref].TypeCondition.Type != -1 {
				on = c.doc.InlineFragmentTypeConditionNameString(selection.Ref)
			}
			if c.doc.InlineFragments[selection.Ref].HasSelections {
				c.selections(into, c.doc.InlineFragments[selection.Ref].SelectionSet, on, depth-1)
			}
		case ast.SelectionKindFragmentSpread:
			i, ok := c.doc.FragmentDefinitionRef(c.doc.FragmentSpreadNameBytes(selection.Ref))
			if ok && c.doc.FragmentDefinitions[i].HasSelections {
				c.selections(into, c.doc.FragmentDefinitions[i].SelectionSet, c.doc.FragmentDefinitionTypeNameString(i), depth-1)
			}
		}
	}
}

// field returns nil for a field of which nothing is known.
func (c *compiler) field(ref int, typeName string, depth int) *Shape {
	name := c.doc.FieldNameString(ref)
	switch name {
	case "__typename":
		return &Shape{kind: text}
	case entities:
		item := &Shape{kind: object, fields: map[string][]*Shape{}}
		c.selections(item, c.doc.Fields[ref].SelectionSet, "", depth-1)
		return &Shape{kind: list, item: item}
	}
	node, ok := c.schema.Index.FirstNodeByNameStr(typeName)
	if !ok {
		return nil
	}
	definition, ok := c.schema.NodeFieldDefinitionByName(node, c.doc.FieldNameBytes(ref))
	if !ok {
		return nil
	}
	return c.typed(c.schema.FieldDefinitionType(definition), ref, depth)
}

func (c *compiler) typed(ref, field, depth int) *Shape {
	switch c.schema.Types[ref].TypeKind {
	case ast.TypeKindNonNull:
		return c.typed(c.schema.Types[ref].OfType, field, depth)
	case ast.TypeKindList:
		item := c.typed(c.schema.Types[ref].OfType, field, depth)
		if item == nil {
			return nil
		}
		return &Shape{kind: list, item: item}
	}
	name := c.schema.TypeNameString(ref)
	if c.doc.Fields[field].HasSelections {
		out := &Shape{kind: object, fields: map[string][]*Shape{}}
		c.selections(out, c.doc.Fields[field].SelectionSet, name, depth-1)
		return out
	}
	switch name {
	case "String":
		return &Shape{kind: text}
	case "Int":
		return &Shape{kind: integer}
	case "Float":
		return &Shape{kind: number}
	case "Boolean":
		return &Shape{kind: boolean}
	case "ID":
		return &Shape{kind: identifier}
	}
	if node, ok := c.schema.Index.FirstNodeByNameStr(name); ok && node.Kind == ast.NodeKindEnumTypeDefinition {
		return &Shape{kind: text}
	}
	return &Shape{kind: anything}
}

// add notes another shape of a key; objects of the same depth become one.
func (s *Shape) add(key string, another *Shape) {
	for _, known := range s.fields[key] {
		if merge(known, another) {
			return
		}
	}
	s.fields[key] = append(s.fields[key], another)
}

// merge adds one shape to another that differs in the fields of objects alone.
func merge(into, another *Shape) bool {
	if into.kind != another.kind {
		return false
	}
	switch into.kind {
	case list:
		return merge(into.item, another.item)
	case object:
		for key, shapes := range another.fields {
			for _, shape := range shapes {
				into.add(key, shape)
			}
		}
	}
	return true
}
