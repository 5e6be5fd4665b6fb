package rights

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
)

// completion puts what was refused into the answer of a pruned operation: null
// and an error where a field was left out, with nulls in place of parents where
// the field is not nullable (GraphQL specification, "Handling Field Errors").
type completion struct {
	rules   *Rules
	doc     *ast.Document // the whole operation, with the client's names
	refused *Refusals
	voids   Voids
	path    []json.RawMessage
	errors  []clienterr.Error
}

// Complete returns the data of the whole operation, "null" included, and the
// errors of what is refused in it.
func (g *Rules) Complete(doc *ast.Document, refused *Refusals, data *astjson.Value, voids Voids) ([]byte, []clienterr.Error) {
	c := &completion{rules: g, doc: doc, refused: refused, voids: voids}
	for _, node := range doc.RootNodes {
		if node.Kind != ast.NodeKindOperationDefinition || !doc.OperationDefinitions[node.Ref].HasSelections {
			continue
		}
		operation := doc.OperationDefinitions[node.Ref]
		out, ok := c.object(nil, data, document.RootType(g.schema, operation.OperationType), []int{operation.SelectionSet})
		if ok {
			return out, c.errors
		}
	}
	return []byte("null"), c.errors
}

// selected is one response field of an object.
type selected struct {
	name  string // of the response
	field string // of the schema
	sets  []int  // what is selected on its value
	voids []int
}

// collect lists what is selected on an object of a type (GraphQL specification,
// CollectFields).
func (c *completion) collect(out []selected, typeName string, sets []int) []selected {
	for _, set := range sets {
		for _, ref := range c.doc.SelectionSets[set].SelectionRefs {
			selection := c.doc.Selections[ref]
			switch selection.Kind {
			case ast.SelectionKindField:
				name := c.doc.FieldAliasOrNameString(selection.Ref)
				if strings.HasPrefix(name, document.ReservedAlias) {
					continue // the engine's, in a selection that @skip has emptied
				}
				i := slices.IndexFunc(out, func(s selected) bool { return s.name == name })
				if i < 0 {
					i = len(out)
					out = append(out, selected{name: name, field: c.doc.FieldNameString(selection.Ref)})
				}
				out[i].voids = append(out[i].voids, c.voids[selection.Ref]...)
				if inner, ok := c.doc.FieldSelectionSet(selection.Ref); ok {
					out[i].sets = append(out[i].sets, inner)
				}
			case ast.SelectionKindInlineFragment:
				inner, ok := c.doc.InlineFragmentSelectionSet(selection.Ref)
				condition := c.doc.InlineFragmentTypeConditionNameString(selection.Ref)
				if ok && (condition == "" || slices.Contains(c.rules.possible[condition], typeName)) {
					out = c.collect(out, typeName, []int{inner})
				}
			}
		}
	}
	return out
}

// object completes an object of a type; it is false where a field that cannot be
// null is.
func (c *completion) object(out []byte, value *astjson.Value, typeName string, sets []int) ([]byte, bool) {
	begin := len(out)
	out = append(out, '{')
	for i, s := range c.collect(nil, typeName, sets) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(rawjson.AppendString(out, s.name), ':')
		member := value.Get(s.name)
		at := coordinate{typeName, s.field}
		declared, known := c.rules.types[at]
		reason := c.refused.reason(c.rules.fields[at])
		if reason == nil {
			reason = c.refused.reason(s.voids)
		}
		if reason == nil && (!known || strings.HasPrefix(s.field, "__")) {
			out = appendValue(out, member)
			continue
		}
		c.path = append(c.path, rawjson.AppendString(nil, s.name))
		ok := false
		if reason != nil {
			c.refuse(reason)
			out, ok = append(out, "null"...), !known || !c.rules.schema.TypeIsNonNull(declared)
		} else {
			out, ok = c.value(out, member, declared, s.sets)
		}
		c.path = c.path[:len(c.path)-1]
		if !ok {
			return out[:begin], false
		}
	}
	return append(out, '}'), true
}

// value completes a value of a type; it is false where that leaves null and the
// type does not allow it.
func (c *completion) value(out []byte, value *astjson.Value, typeRef int, sets []int) ([]byte, bool) {
	schema := c.rules.schema
	nullable := true
	if schema.Types[typeRef].TypeKind == ast.TypeKindNonNull {
		nullable, typeRef = false, schema.Types[typeRef].OfType
	}
	begin := len(out)
	ok := false
	if value != nil && value.Type() != astjson.TypeNull {
		if schema.Types[typeRef].TypeKind == ast.TypeKindList {
			out, ok = c.items(out, value, schema.Types[typeRef].OfType, sets)
		} else {
			out, ok = c.named(out, value, schema.TypeNameString(typeRef), sets)
		}
	}
	if !ok {
		out = append(out[:begin], "null"...)
	}
	return out, ok || nullable
}

func (c *completion) items(out []byte, value *astjson.Value, item int, sets []int) ([]byte, bool) {
	if value.Type() != astjson.TypeArray {
		return out, false
	}
	out = append(out, '[')
	for i, element := range value.GetArray() {
		if i > 0 {
			out = append(out, ',')
		}
		c.path = append(c.path, strconv.AppendInt(nil, int64(i), 10))
		var ok bool
		out, ok = c.value(out, element, item, sets)
		c.path = c.path[:len(c.path)-1]
		if !ok {
			return out, false
		}
	}
	return append(out, ']'), true
}

func (c *completion) named(out []byte, value *astjson.Value, typeName string, sets []int) ([]byte, bool) {
	if len(sets) == 0 {
		return appendValue(out, value), true
	}
	if value.Type() != astjson.TypeObject {
		return out, false
	}
	if !c.rules.isObject(typeName) {
		typeName = string(value.GetStringBytes(typeMarker))
		if reason := c.refused.reason(c.rules.objects[typeName]); reason != nil {
			c.refuse(reason)
			return out, false
		}
	}
	if typeName == "" { // who does not say what it is, is not shown
		c.refuse(fault.Internal(nil))
		return out, false
	}
	return c.object(out, value, typeName, sets)
}

func (c *completion) refuse(reason *fault.Error) {
	e := clienterr.FromFault(reason)
	e.Path = append(e.Path, '[')
	for i, element := range c.path {
		if i > 0 {
			e.Path = append(e.Path, ',')
		}
		e.Path = append(e.Path, element...)
	}
	e.Path = append(e.Path, ']')
	c.errors = append(c.errors, e)
}

func appendValue(out []byte, value *astjson.Value) []byte {
	if value == nil {
		return append(out, "null"...)
	}
	return value.MarshalTo(out)
}
