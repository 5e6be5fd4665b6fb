package router

import (
	"fmt"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astprinter"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/internal/fault"
)

// document is a client's text, parsed and within the limits.
type document struct {
	ast ast.Document
	// operation is the reference of the chosen operation, and name its name, which
	// is empty for an anonymous one.
	operation int
	name      string
	kind      ast.OperationType
	size      size
	// introspects says that it selects __schema or __type.
	introspects bool
	// conditions are the variables of @skip and @include: their values shape the
	// plan and are part of its key.
	conditions []condition
}

// condition is a Boolean variable that decides which fields are selected.
type condition struct {
	name string
	// fallback is the declared default: "true", "false" or "" for none.
	fallback string
}

// parse reads a document and picks the named operation, or the only one if name
// is empty. Errors are INVALID_INPUT and, beyond the limits, OPERATION_TOO_COMPLEX.
func parse(text, name string, limits *Limits) (*document, error) {
	tokens, err := checkTokens(text, limits.MaxTokens)
	if err != nil {
		return nil, err
	}
	parsed, report := astparser.ParseGraphqlDocumentString(text)
	if report.HasErrors() {
		return nil, reportError(report)
	}
	d := &document{ast: parsed}
	ref, err := d.chooseOperation(name)
	if err != nil {
		return nil, err
	}
	d.operation = ref
	operation := &d.ast.OperationDefinitions[ref]
	d.kind = operation.OperationType
	d.name = d.ast.OperationDefinitionNameString(ref)
	if !operation.HasSelections {
		return nil, fault.InvalidInput("query", "the operation selects nothing")
	}
	m := newMeasure(&d.ast, limits.Guarded)
	if d.size, err = m.selectionSet(operation.SelectionSet); err != nil {
		return nil, err
	}
	d.size.tokens = tokens
	d.size.directives = addSaturating(d.size.directives, len(operation.Directives.Refs))
	if !m.introspects {
		d.size.introspection = 0 // fields that only have such names
	}
	if err := limits.checkSize(d.size, d.kind); err != nil {
		return nil, err
	}
	d.introspects = m.introspects
	// Expanding a fragment that nobody measured would undo the limits.
	for i := range d.ast.FragmentDefinitions {
		if _, err := m.fragment(d.ast.FragmentDefinitionNameBytes(i)); err != nil {
			return nil, err
		}
	}
	if err := d.findConditions(ref); err != nil {
		return nil, err
	}
	return d, nil
}

// chooseOperation returns the operation to run (GraphQL specification,
// GetOperation) and refuses type definitions.
func (d *document) chooseOperation(name string) (int, error) {
	chosen, count := -1, 0
	for _, node := range d.ast.RootNodes {
		switch node.Kind {
		case ast.NodeKindOperationDefinition:
			count++
			if name == "" || d.ast.OperationDefinitionNameString(node.Ref) == name {
				chosen = node.Ref
			}
		case ast.NodeKindFragmentDefinition:
		default:
			return 0, fault.InvalidInput("query", "the document holds more than operations and fragments")
		}
	}
	switch {
	case count == 0:
		return 0, fault.InvalidInput("query", "the document holds no operation")
	case name == "" && count > 1:
		return 0, fault.InvalidInput("operationName", "the document holds several operations: name one")
	case chosen < 0:
		return 0, fault.InvalidInput("operationName", fmt.Sprintf("the document holds no operation %q", name))
	}
	return chosen, nil
}

// findConditions reads @skip and @include, which the engine does not validate.
func (d *document) findConditions(operation int) error {
	seen := map[string]bool{}
	for i := range d.ast.Directives {
		directive := d.ast.DirectiveNameString(i)
		if directive != "skip" && directive != "include" {
			continue
		}
		value, ok := d.ast.DirectiveArgumentValueByName(i, []byte("if"))
		if !ok || value.Kind != ast.ValueKindVariable && value.Kind != ast.ValueKindBoolean {
			return fault.InvalidInput("query", fmt.Sprintf("@%s needs the argument if: true, false or a variable", directive))
		}
		if value.Kind == ast.ValueKindBoolean {
			continue
		}
		name := d.ast.VariableValueNameString(value.Ref)
		definition, ok := d.ast.VariableDefinitionByNameAndOperation(operation, []byte(name))
		if !ok || seen[name] {
			continue // validation tells the client about an undeclared one
		}
		typeRef := d.ast.VariableDefinitions[definition].Type
		if d.ast.TypeIsList(typeRef) || d.ast.ResolveTypeNameString(typeRef) != "Boolean" {
			return fault.InvalidInput("query", fmt.Sprintf("variable $%s decides a @%s and must be a Boolean", name, directive))
		}
		seen[name] = true
		c := condition{name: name}
		if d.ast.VariableDefinitionHasDefaultValue(definition) {
			if v := d.ast.VariableDefinitionDefaultValue(definition); v.Kind == ast.ValueKindBoolean {
				c.fallback = fmt.Sprint(bool(d.ast.BooleanValue(v.Ref)))
			}
		}
		d.conditions = append(d.conditions, c)
	}
	return nil
}

// evaluate returns the conditions' values, one letter each, as a part of a plan's
// key. A value that is neither true nor false is INVALID_INPUT.
func evaluate(conditions []condition, variables *astjson.Value) (string, error) {
	letters := make([]byte, len(conditions))
	for i, c := range conditions {
		value := c.fallback
		if v := variables.Get(c.name); v != nil {
			value = ""
			switch v.Type() {
			case astjson.TypeTrue:
				value = "true"
			case astjson.TypeFalse:
				value = "false"
			}
		}
		if value == "" {
			return "", fault.InvalidInput("variables."+c.name, fmt.Sprintf("variable $%s decides a @skip or @include and must be true or false", c.name))
		}
		letters[i] = value[0]
	}
	return string(letters), nil
}

// conditionVariables renders the conditions and their letters as JSON for the
// normalizer, which resolves @skip and @include by them.
func conditionVariables(conditions []condition, letters string) []byte {
	out := []byte{'{'}
	for i, c := range conditions {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, "%q:%t", c.name, letters[i] == 't')
	}
	return append(out, '}')
}

// rootType names the schema's type of operations of a kind.
func rootType(schema *ast.Document, kind ast.OperationType) string {
	switch kind {
	case ast.OperationTypeMutation:
		return schema.Index.MutationTypeName.String()
	case ast.OperationTypeSubscription:
		return schema.Index.SubscriptionTypeName.String()
	}
	return schema.Index.QueryTypeName.String()
}

// duplicate prints and parses a document: a copy that shares nothing.
func duplicate(doc *ast.Document) (*ast.Document, error) {
	text, err := astprinter.PrintString(doc)
	if err != nil {
		return nil, err
	}
	out, report := astparser.ParseGraphqlDocumentString(text)
	if report.HasErrors() {
		return nil, report
	}
	return &out, nil
}
