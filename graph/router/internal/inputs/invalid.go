package inputs

import (
	"errors"
	"strings"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/variablesvalidation"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
)

// invalid is why variables do not fit, in the client's words: the plan's variables are
// made of literals, in which the client's are.
func (v *Variables) invalid(types *Types, check *variablesvalidation.VariablesValidator, client *astjson.Value, err error) error {
	for i := range v.declared.list {
		if own := v.declared.invalid(&v.declared.list[i], types, check, client); own != nil {
			return own
		}
	}
	var invalid *variablesvalidation.InvalidVariableError
	if !errors.As(err, &invalid) {
		return fault.InvalidInput("variables", "the variables do not fit the operation").Because(err)
	}
	_, rest, _ := strings.Cut(invalid.Message, `"$`)
	name, rest, ok := strings.Cut(rest, `"`)
	argument := v.argument(name)
	if !ok || argument == "" {
		return fault.InvalidInput("variables", "the variables do not fit the operation").Because(err)
	}
	return fault.InvalidInput(argument, `Argument "`+argument+`"`+strings.Replace(rest, ` at "`+name+`.`, ` at "`+argument+`.`, 1))
}

// invalid is why a variable of the client's does not fit its own type, nil if it does.
func (d *Declared) invalid(v *declaredVariable, types *Types, check *variablesvalidation.VariablesValidator, client *astjson.Value) error {
	var text strings.Builder
	text.WriteString("query($" + v.name + ": ")
	if err := d.doc.PrintType(v.typeRef, &text); err != nil {
		return fault.Internal(err)
	}
	text.WriteString(") {__typename}")
	doc, report := astparser.ParseGraphqlDocumentString(text.String())
	if report.HasErrors() {
		return fault.Internal(report)
	}
	value := []byte{'{'}
	if rendered, ok, err := v.render(nil, types, d.doc, client); err != nil {
		return err
	} else if ok {
		value = append(rawjson.AppendKey(value, v.key), rendered...)
	}
	var invalid *variablesvalidation.InvalidVariableError
	if err := check.Validate(&doc, types.schema, append(value, '}')); errors.As(err, &invalid) {
		return fault.InvalidInput("variables."+v.name, invalid.Message)
	}
	return nil
}

// argument names that which a variable of the plan stands for, "" for none.
func (v *Variables) argument(variable string) string {
	doc := v.definitions
	for i := range doc.Arguments {
		value := doc.Arguments[i].Value
		if value.Kind != ast.ValueKindVariable {
			continue
		}
		name := doc.VariableValueNameString(value.Ref)
		if from, ok := v.Remap[name]; ok {
			name = from
		}
		if name == variable {
			return doc.ArgumentNameString(i)
		}
	}
	return ""
}
