// Package document reads a client's document: within the limits, free of conflicts,
// and rewritten where the engine would misunderstand it.
package document

import (
	"fmt"
	"strings"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astprinter"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/fault"
)

// Document is a client's text, parsed and within the limits.
type Document struct {
	AST ast.Document
	// Text is the client's, with escaped characters as themselves.
	Text string
	// Operation is the reference of the chosen operation, and Name its name, which
	// is empty for an anonymous one.
	Operation int
	Name      string
	Kind      ast.OperationType
	Size      Size
	// Introspects says that it selects __schema or __type.
	Introspects bool
	// Conditions are the variables of @skip and @include: their values shape the
	// plan and are part of its key.
	Conditions []Condition
}

// Condition is a Boolean variable that decides which fields are selected.
type Condition struct {
	name string
	// fallback is the declared default: "true", "false" or "" for none.
	fallback string
}

// Parse reads a document and picks the named operation, or the only one if name
// is empty. Errors are INVALID_INPUT and, beyond the limits, OPERATION_TOO_COMPLEX.
func Parse(text, name string, limits *Limits) (*Document, error) {
	text, err := plainEscapes(strings.TrimPrefix(text, byteOrderMark))
	if err != nil {
		return nil, err
	}
	tokens, err := checkTokens(text, limits.MaxTokens)
	if err != nil {
		return nil, err
	}
	if err := checkLexemes(text); err != nil {
		return nil, err
	}
	parsed, report := astparser.ParseGraphqlDocumentString(text)
	if report.HasErrors() {
		return nil, clienterr.FromReport(report)
	}
	d := &Document{AST: parsed, Text: text}
	ref, err := d.chooseOperation(name)
	if err != nil {
		return nil, err
	}
	d.Operation = ref
	operation := &d.AST.OperationDefinitions[ref]
	d.Kind = operation.OperationType
	d.Name = d.AST.OperationDefinitionNameString(ref)
	if !operation.HasSelections {
		return nil, fault.InvalidInput("query", "the operation selects nothing")
	}
	m := newMeasure(&d.AST, limits.Guarded)
	if d.Size, err = m.selectionSet(operation.SelectionSet); err != nil {
		return nil, err
	}
	d.Size.tokens = tokens
	d.Size.directives = addSaturating(d.Size.directives, len(operation.Directives.Refs))
	if !m.introspects {
		d.Size.introspection = 0 // fields that only have such names
	}
	if err := limits.Check(d.Size, d.Kind); err != nil {
		return nil, err
	}
	d.Introspects = m.introspects
	// Expanding a fragment that nobody measured would undo the limits.
	for i := range d.AST.FragmentDefinitions {
		if _, err := m.fragment(d.AST.FragmentDefinitionNameBytes(i)); err != nil {
			return nil, err
		}
	}
	if err := d.checkRules(); err != nil {
		return nil, err
	}
	if err := d.findConditions(ref); err != nil {
		return nil, err
	}
	return d, nil
}

// chooseOperation returns the operation to run (GraphQL specification,
// GetOperation) and refuses type definitions.
func (d *Document) chooseOperation(name string) (int, error) {
	chosen, count := -1, 0
	for _, node := range d.AST.RootNodes {
		switch node.Kind {
		case ast.NodeKindOperationDefinition:
			count++
			if name == "" || d.AST.OperationDefinitionNameString(node.Ref) == name {
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
		return 0, fault.InvalidInput("operationName", fmt.Sprintf("the document holds no operation %q", clip(name)))
	}
	return chosen, nil
}

// findConditions reads @skip and @include, which the engine does not validate.
func (d *Document) findConditions(operation int) error {
	seen := map[string]bool{}
	for i := range d.AST.Directives {
		directive := d.AST.DirectiveNameString(i)
		if directive != "skip" && directive != "include" {
			continue
		}
		value, ok := d.AST.DirectiveArgumentValueByName(i, []byte("if"))
		if !ok || value.Kind != ast.ValueKindVariable && value.Kind != ast.ValueKindBoolean {
			return fault.InvalidInput("query", fmt.Sprintf("@%s needs the argument if: true, false or a variable", directive))
		}
		if value.Kind == ast.ValueKindBoolean {
			continue
		}
		name := d.AST.VariableValueNameString(value.Ref)
		definition, ok := d.AST.VariableDefinitionByNameAndOperation(operation, []byte(name))
		if !ok || seen[name] {
			continue // validation tells the client about an undeclared one
		}
		typeRef := d.AST.VariableDefinitions[definition].Type
		if d.AST.TypeIsList(typeRef) || d.AST.ResolveTypeNameString(typeRef) != "Boolean" {
			return fault.InvalidInput("query", fmt.Sprintf("variable $%s decides a @%s and must be a Boolean", name, directive))
		}
		seen[name] = true
		c := Condition{name: name}
		if d.AST.VariableDefinitionHasDefaultValue(definition) {
			if v := d.AST.VariableDefinitionDefaultValue(definition); v.Kind == ast.ValueKindBoolean {
				c.fallback = fmt.Sprint(bool(d.AST.BooleanValue(v.Ref)))
			}
		}
		d.Conditions = append(d.Conditions, c)
	}
	return nil
}

// Evaluate returns the conditions' values, one letter each, as a part of a plan's
// key. A value that is neither true nor false is INVALID_INPUT.
func Evaluate(conditions []Condition, variables *astjson.Value) (string, error) {
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

// ConditionVariables renders the conditions and their letters as JSON for the
// normalizer, which resolves @skip and @include by them.
func ConditionVariables(conditions []Condition, letters string) []byte {
	out := []byte{'{'}
	for i, c := range conditions {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, "%q:%t", c.name, letters[i] == 't')
	}
	return append(out, '}')
}

// RootType names the schema's type of operations of a kind.
func RootType(schema *ast.Document, kind ast.OperationType) string {
	switch kind {
	case ast.OperationTypeMutation:
		return schema.Index.MutationTypeName.String()
	case ast.OperationTypeSubscription:
		return schema.Index.SubscriptionTypeName.String()
	}
	return schema.Index.QueryTypeName.String()
}

// Duplicate prints and parses a document: a copy that shares nothing.
func Duplicate(doc *ast.Document) (*ast.Document, error) {
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
