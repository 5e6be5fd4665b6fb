package inputs

import (
	"fmt"
	"strconv"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
)

// Types renders variables by their types. It does what the engine's
// validator leaves out: wrapping single values where a list is expected and
// checking the range of numbers.
type Types struct {
	schema *ast.Document
	// deep names the input objects that hold a list or a number somewhere below;
	// all other values are rendered without a look inside.
	deep map[string]bool
}

// NewTypes reads the input types of a schema.
func NewTypes(schema *ast.Document) *Types {
	types := &Types{schema: schema, deep: map[string]bool{"Int": true, "Float": true}}
	// Input objects refer to each other: repeat until nothing is added.
	for changed := true; changed; {
		changed = false
		for i := range schema.InputObjectTypeDefinitions {
			name := schema.InputObjectTypeDefinitionNameString(i)
			if types.deep[name] {
				continue
			}
			for _, field := range schema.InputObjectTypeDefinitions[i].InputFieldsDefinition.Refs {
				if types.isDeep(schema, schema.InputValueDefinitions[field].Type) {
					types.deep[name], changed = true, true
					break
				}
			}
		}
	}
	return types
}

func (t *Types) isDeep(doc *ast.Document, typeRef int) bool {
	return doc.TypeIsList(typeRef) || t.deep[doc.ResolveTypeNameString(typeRef)]
}

// render appends value as JSON. Where its type is a list, a single value is
// wrapped (GraphQL specification, input coercion). A number out of range is
// INVALID_INPUT; what else does not fit is left for validation to refuse.
func (t *Types) render(out []byte, doc *ast.Document, typeRef int, value *astjson.Value) ([]byte, error) {
	if value.Type() == astjson.TypeNull || !t.isDeep(doc, typeRef) {
		return value.MarshalTo(out), nil
	}
	switch of := doc.Types[typeRef]; of.TypeKind {
	case ast.TypeKindNonNull:
		return t.render(out, doc, of.OfType, value)
	case ast.TypeKindList:
		return t.renderList(out, doc, of.OfType, value)
	}
	name := doc.TypeNameString(typeRef)
	switch value.Type() {
	case astjson.TypeNumber:
		start := len(out)
		out = value.MarshalTo(out)
		return out, checkNumber(name, string(out[start:]))
	case astjson.TypeObject:
		if node, ok := t.schema.NodeByNameStr(name); ok && node.Kind == ast.NodeKindInputObjectTypeDefinition {
			return t.renderObject(out, node, value)
		}
	}
	return value.MarshalTo(out), nil
}

func (t *Types) renderList(out []byte, doc *ast.Document, itemType int, value *astjson.Value) (_ []byte, err error) {
	out = append(out, '[')
	if value.Type() != astjson.TypeArray {
		if out, err = t.render(out, doc, itemType, value); err != nil {
			return out, err
		}
		return append(out, ']'), nil
	}
	for i, item := range value.GetArray() {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = t.render(out, doc, itemType, item); err != nil {
			return out, err
		}
	}
	return append(out, ']'), nil
}

func (t *Types) renderObject(out []byte, node ast.Node, value *astjson.Value) (_ []byte, err error) {
	out = append(out, '{')
	first := true
	value.GetObject().Visit(func(key []byte, member *astjson.Value) {
		if err != nil {
			return
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(rawjson.AppendString(out, string(key)), ':')
		if field, ok := t.schema.NodeInputFieldDefinitionByName(node, key); ok {
			out, err = t.render(out, t.schema, t.schema.InputValueDefinitions[field].Type, member)
		} else {
			out = member.MarshalTo(out)
		}
	})
	return append(out, '}'), err
}

func checkNumber(typeName, number string) error {
	switch typeName {
	case "Int":
		if _, err := strconv.ParseInt(number, 10, 32); err != nil {
			return fault.InvalidInput("variables", fmt.Sprintf("Int cannot represent the non 32-bit signed integer value %.40s", number))
		}
	case "Float":
		if _, err := strconv.ParseFloat(number, 64); err != nil {
			return fault.InvalidInput("variables", fmt.Sprintf("Float cannot represent the value %.40s", number))
		}
	}
	return nil
}
