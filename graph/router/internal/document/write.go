package document

import (
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
)

// WriteHead writes what comes before the operation's selection set.
func WriteHead(out *strings.Builder, doc *ast.Document, operation int) error {
	o := doc.OperationDefinitions[operation]
	switch o.OperationType {
	case ast.OperationTypeMutation:
		out.WriteString("mutation ")
	case ast.OperationTypeSubscription:
		out.WriteString("subscription ")
	default:
		out.WriteString("query ")
	}
	out.WriteString(doc.OperationDefinitionNameString(operation))
	if o.HasVariableDefinitions {
		out.WriteString("(")
		for _, ref := range o.VariableDefinitions.Refs {
			out.WriteString("$" + doc.VariableDefinitionNameString(ref) + ": ")
			if err := doc.PrintType(doc.VariableDefinitionType(ref), out); err != nil {
				return err
			}
			if doc.VariableDefinitionHasDefaultValue(ref) {
				out.WriteString(" = ")
				if err := doc.PrintValue(doc.VariableDefinitionDefaultValue(ref), out); err != nil {
					return err
				}
			}
			out.WriteString(" ")
		}
		out.WriteString(")")
	}
	return nil
}

// WriteCall writes a field without what is selected on it.
func WriteCall(out *strings.Builder, doc *ast.Document, field int) error {
	out.WriteByte(' ')
	if doc.FieldAliasIsDefined(field) {
		out.WriteString(doc.FieldAliasString(field) + ": ")
	}
	out.WriteString(doc.FieldNameString(field))
	if doc.FieldHasArguments(field) {
		if err := doc.PrintArguments(doc.FieldArguments(field), out); err != nil {
			return err
		}
	}
	for _, ref := range doc.FieldDirectives(field) {
		out.WriteByte(' ')
		if err := doc.PrintDirective(ref, out); err != nil {
			return err
		}
	}
	return nil
}
