package inputs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astimport"

	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
)

// null is a variable that may be null where a value must not be: it has a default, or
// the place has one. With null as its value the field fails, and not the request
// (GraphQL specification, CoerceArgumentValues).
type null struct {
	field    int // in the operation's document
	argument string
	variable string
	nested   bool // the variable is inside of a literal
	// byDefault is whether the place has a default, typeRef its type in the schema.
	byDefault bool
	typeRef   int
	// extracted is the variable that stands for the argument in the plan, or "" where it
	// is the client's own.
	extracted string
}

// Nulls are those of an operation.
type Nulls struct {
	schema, doc *ast.Document
	operation   int
	list        []null
}

// FindNulls looks for them in an operation that is normalized and has fragments no
// more, before its literals become variables too. It need not be valid.
func FindNulls(schema, doc *ast.Document) *Nulls {
	n := &nullSearch{schema: schema, doc: doc, nullable: map[string]bool{}}
	out := &Nulls{schema: schema, doc: doc}
	for _, node := range doc.RootNodes {
		if node.Kind != ast.NodeKindOperationDefinition || !doc.OperationDefinitions[node.Ref].HasSelections {
			continue
		}
		operation := doc.OperationDefinitions[node.Ref]
		out.operation = node.Ref
		for _, ref := range operation.VariableDefinitions.Refs {
			if !doc.TypeIsNonNull(doc.VariableDefinitions[ref].Type) {
				n.nullable[doc.VariableDefinitionNameString(ref)] = true
			}
		}
		if len(n.nullable) > 0 {
			n.set(operation.SelectionSet, document.RootType(schema, operation.OperationType))
		}
	}
	out.list = n.found
	return out
}

// definition is a variable's, and whether it has a default that is not null.
func (n *Nulls) definition(variable string) (ref int, hasDefault bool) {
	ref, ok := n.doc.VariableDefinitionByNameAndOperation(n.operation, []byte(variable))
	if !ok {
		return -1, false
	}
	return ref, n.doc.VariableDefinitionHasDefaultValue(ref) && n.doc.VariableDefinitionDefaultValue(ref).Kind != ast.ValueKindNull
}

// WhileLoose runs the engine's validation, which does not know that a default within
// an input object lets a variable be nullable: meanwhile those are not.
func (n *Nulls) WhileLoose(validate func()) {
	var changed [][2]int
	for _, at := range n.list {
		ref, hasDefault := n.definition(at.variable)
		if ref < 0 || !at.nested || !at.byDefault || hasDefault || n.doc.TypeIsNonNull(n.doc.VariableDefinitions[ref].Type) {
			continue
		}
		before := n.doc.VariableDefinitions[ref]
		changed = append(changed, [2]int{ref, before.Type})
		n.doc.VariableDefinitions[ref].Type = n.doc.AddNonNullType(before.Type)
		n.doc.VariableDefinitions[ref].DefaultValue.IsDefined = false
		defer func() { n.doc.VariableDefinitions[ref].DefaultValue = before.DefaultValue }()
	}
	validate()
	for _, c := range changed {
		n.doc.VariableDefinitions[c[0]].Type = c[1]
	}
}

// Part gives arguments that are such variables others of their own, where the place
// has no default: a subgraph wants them not to be nullable, and elsewhere they may be.
// values are those of the declared variables in the document, to which it adds. It
// must come after ReadDeclared: defaults are taken from the definitions, for which the
// engine would take the variables for never null.
func (n *Nulls) Part(values []byte) []byte {
	for i := range n.list {
		at := &n.list[i]
		definition, _ := n.definition(at.variable)
		if definition < 0 {
			continue
		}
		n.doc.VariableDefinitions[definition].DefaultValue.IsDefined = false
		ref, ok := n.doc.FieldArgument(at.field, []byte(at.argument))
		if !ok || at.nested || at.byDefault {
			continue
		}
		at.extracted = string(n.doc.GenerateUnusedVariableDefinitionName(n.operation))
		value := n.doc.AddVariableValue(ast.VariableValue{Name: n.doc.Input.AppendInputString(at.extracted)})
		n.doc.Arguments[ref].Value.Ref = value
		var importer astimport.Importer
		n.doc.VariableDefinitions = append(n.doc.VariableDefinitions, ast.VariableDefinition{
			VariableValue: ast.Value{Kind: ast.ValueKindVariable, Ref: value},
			Type:          importer.ImportType(at.typeRef, n.schema, n.doc),
		})
		list := &n.doc.OperationDefinitions[n.operation].VariableDefinitions
		list.Refs = append(list.Refs, len(n.doc.VariableDefinitions)-1)
		mark := hole(at.variable, n.doc.TypeNumberOfListWraps(n.doc.VariableDefinitions[definition].Type))
		values = append(rawjson.AppendKey(values[:len(values)-1], rawjson.Key(at.extracted)), mark...)
		values = append(values, '}')
	}
	return values
}

// Extracted is to be called when literals have become variables.
func (n *Nulls) Extracted() {
	for i := range n.list {
		at := &n.list[i]
		ref, ok := n.doc.FieldArgument(at.field, []byte(at.argument))
		if !ok || !at.nested {
			continue
		}
		if value := n.doc.ArgumentValue(ref); value.Kind == ast.ValueKindVariable {
			at.extracted = n.doc.VariableValueNameString(value.Ref)
		}
	}
}

// Fields lists, by fields of the document, the numbers of their nulls counted from
// first.
func (n *Nulls) Fields(first int) map[int][]int {
	if len(n.list) == 0 {
		return nil
	}
	out := map[int][]int{}
	for i, at := range n.list {
		out[at.field] = append(out[at.field], first+i)
	}
	return out
}

// nullSearch walks an operation.
type nullSearch struct {
	schema, doc *ast.Document
	nullable    map[string]bool // variables
	found       []null
	in          null // what is being looked at
}

func (n *nullSearch) set(set int, on string) {
	for _, ref := range n.doc.SelectionSets[set].SelectionRefs {
		switch selection := n.doc.Selections[ref]; selection.Kind {
		case ast.SelectionKindField:
			n.field(selection.Ref, on)
		case ast.SelectionKindInlineFragment:
			if inner, ok := n.doc.InlineFragmentSelectionSet(selection.Ref); ok {
				of := on
				if condition := n.doc.InlineFragmentTypeConditionNameString(selection.Ref); condition != "" {
					of = condition
				}
				n.set(inner, of)
			}
		}
	}
}

func (n *nullSearch) field(field int, on string) {
	name := n.doc.FieldNameBytes(field)
	node, ok := n.schema.NodeByNameStr(on)
	if !ok || strings.HasPrefix(string(name), "__") && string(name) != "__type" {
		return
	}
	definition, ok := n.schema.NodeFieldDefinitionByName(node, name)
	if !ok {
		return
	}
	for _, ref := range n.doc.FieldArguments(field) {
		at := n.schema.NodeFieldDefinitionArgumentDefinitionByName(node, name, n.doc.ArgumentNameBytes(ref))
		if at < 0 {
			continue
		}
		n.in = null{field: field, argument: n.doc.ArgumentNameString(ref)}
		n.value(n.doc.ArgumentValue(ref), n.schema.InputValueDefinitions[at].Type, n.schema.InputValueDefinitionHasDefaultValue(at))
	}
	if inner, ok := n.doc.FieldSelectionSet(field); ok {
		n.set(inner, n.schema.FieldDefinitionTypeNameString(definition))
	}
}

// value finds the variables of a value that must not be null in it.
func (n *nullSearch) value(value ast.Value, typeRef int, hasDefault bool) {
	declared, required := typeRef, n.schema.Types[typeRef].TypeKind == ast.TypeKindNonNull
	if required {
		typeRef = n.schema.Types[typeRef].OfType
	}
	switch value.Kind {
	case ast.ValueKindVariable:
		if name := n.doc.VariableValueNameString(value.Ref); required && n.nullable[name] {
			at := n.in
			at.variable, at.byDefault, at.typeRef = name, hasDefault, declared
			n.found = append(n.found, at)
		}
	case ast.ValueKindList:
		n.in.nested = true
		if n.schema.Types[typeRef].TypeKind == ast.TypeKindList {
			for _, ref := range n.doc.ListValues[value.Ref].Refs {
				n.value(n.doc.Values[ref], n.schema.Types[typeRef].OfType, false)
			}
		}
	case ast.ValueKindObject:
		n.in.nested = true
		node, ok := n.schema.NodeByNameStr(n.schema.ResolveTypeNameString(typeRef))
		if !ok || node.Kind != ast.NodeKindInputObjectTypeDefinition {
			return
		}
		for _, ref := range n.doc.ObjectValues[value.Ref].Refs {
			if field, ok := n.schema.NodeInputFieldDefinitionByName(node, n.doc.ObjectFieldNameBytes(ref)); ok {
				n.value(n.doc.ObjectFieldValue(ref), n.schema.InputValueDefinitions[field].Type, n.schema.InputValueDefinitionHasDefaultValue(field))
			}
		}
	}
}

// isNull is whether a variable's value is null.
func (d *Declared) isNull(name string, client *astjson.Value) bool {
	if value := client.Get(name); value != nil {
		return value.Type() == astjson.TypeNull
	}
	v := d.find(name)
	return v != nil && v.fallback == "null"
}

// voided are the literals that have no value, because a variable in them is null and
// must not be.
func (v *Variables) voided(client *astjson.Value) (names []string) {
	for _, at := range v.nulls {
		if at.extracted != "" && v.declared.isNull(at.variable, client) {
			names = append(names, at.extracted)
		}
	}
	return names
}

// Refused tells, by what Bind has returned, which of an operation's nulls are null: by
// their numbers, and why the field of each fails. It is nil where none is.
func (v *Variables) Refused(bound *astjson.Value) map[int]*fault.Error {
	var out map[int]*fault.Error
	for i, at := range v.nulls {
		value := bound.Get(at.variable)
		if at.extracted != "" {
			if bound.Get(at.extracted) != nil {
				continue
			}
		} else if value == nil || value.Type() != astjson.TypeNull {
			continue
		}
		if out == nil {
			out = map[int]*fault.Error{}
		}
		out[i] = fault.InvalidInput("variables."+at.variable,
			fmt.Sprintf("variable $%s is null where argument %q of the field must have a value", at.variable, at.argument))
	}
	return out
}

// without are the variable definitions without some. It shares the rest with them.
func (v *Variables) without(names []string) *ast.Document {
	out := *v.definitions
	out.OperationDefinitions = slices.Clone(out.OperationDefinitions)
	for i := range out.OperationDefinitions {
		list := &out.OperationDefinitions[i].VariableDefinitions
		list.Refs = slices.DeleteFunc(slices.Clone(list.Refs), func(ref int) bool {
			name := out.VariableDefinitionNameString(ref)
			if from, ok := v.Remap[name]; ok {
				name = from
			}
			return slices.Contains(names, name)
		})
	}
	return &out
}
