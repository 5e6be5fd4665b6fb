package router

import (
	"errors"
	"fmt"
	"strconv"

	gql "github.com/vektah/gqlparser/v2/ast"
	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/cost"
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/internal/fault"
)

// compileCost computes the cost of a normalized operation whose literals are still
// in their places.
func (r *generation) compileCost(doc *ast.Document) (*cost.Expression, error) {
	for _, node := range doc.RootNodes {
		if node.Kind != ast.NodeKindOperationDefinition {
			continue
		}
		of := &doc.OperationDefinitions[node.Ref]
		operation := &gql.OperationDefinition{
			Operation: gql.Operation(operationType(of.OperationType)), SelectionSet: priced(doc, of.SelectionSet),
		}
		for _, ref := range of.VariableDefinitions.Refs {
			d := &gql.VariableDefinition{Variable: doc.VariableDefinitionNameString(ref)}
			if doc.VariableDefinitionHasDefaultValue(ref) {
				d.DefaultValue = pricedValue(doc, doc.VariableDefinitionDefaultValue(ref))
			}
			operation.VariableDefinitions = append(operation.VariableDefinitions, d)
		}
		return r.graph.Costs.Compile(operation, nil)
	}
	return nil, fault.Internal(errors.New("a document without an operation was planned"))
}

// priced is what the cost of a selection set depends on. Fragments are inlined
// already.
func priced(doc *ast.Document, set int) gql.SelectionSet {
	var out gql.SelectionSet
	for _, ref := range doc.SelectionSets[set].SelectionRefs {
		selection := doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			field := &gql.Field{Name: doc.FieldNameString(selection.Ref)}
			for _, argument := range doc.FieldArguments(selection.Ref) {
				if value := pricedValue(doc, doc.ArgumentValue(argument)); value != nil {
					field.Arguments = append(field.Arguments, &gql.Argument{Name: doc.ArgumentNameString(argument), Value: value})
				}
			}
			if below, ok := doc.FieldSelectionSet(selection.Ref); ok {
				field.SelectionSet = priced(doc, below)
			}
			out = append(out, field)
		case ast.SelectionKindInlineFragment:
			if below, ok := doc.InlineFragmentSelectionSet(selection.Ref); ok {
				out = append(out, &gql.InlineFragment{
					TypeCondition: doc.InlineFragmentTypeConditionNameString(selection.Ref), SelectionSet: priced(doc, below),
				})
			}
		}
	}
	return out
}

func pricedValue(doc *ast.Document, value ast.Value) *gql.Value {
	switch value.Kind {
	case ast.ValueKindInteger:
		return &gql.Value{Kind: gql.IntValue, Raw: strconv.FormatInt(doc.IntValueAsInt(value.Ref), 10)}
	case ast.ValueKindVariable:
		return &gql.Value{Kind: gql.Variable, Raw: doc.VariableValueNameString(value.Ref)}
	case ast.ValueKindObject:
		out := &gql.Value{Kind: gql.ObjectValue}
		for _, ref := range doc.ObjectValues[value.Ref].Refs {
			out.Children = append(out.Children, &gql.ChildValue{Name: doc.ObjectFieldNameString(ref), Value: pricedValue(doc, doc.ObjectFieldValue(ref))})
		}
		return out
	case ast.ValueKindList:
		out := &gql.Value{Kind: gql.ListValue}
		for _, ref := range doc.ListValues[value.Ref].Refs {
			out.Children = append(out.Children, &gql.ChildValue{Value: pricedValue(doc, doc.Value(ref))})
		}
		return out
	case ast.ValueKindNull:
		return &gql.Value{Kind: gql.NullValue}
	default:
		return &gql.Value{Kind: gql.StringValue} // only that there is one counts
	}
}

// costVariables are a client's variables, an object or nil.
type costVariables astjson.Value

// Int implements cost.Variables.
func (v *costVariables) Int(name string) (value int64, number, given bool) {
	found := (*astjson.Value)(v).Get(name)
	if found == nil {
		return 0, false, false
	}
	if found.Type() != astjson.TypeNumber {
		return 0, false, true
	}
	value, err := found.Int64()
	return value, err == nil, true
}

// Input implements cost.Variables.
func (v *costVariables) Input(name string) (cost.Input, bool) {
	found := (*astjson.Value)(v).Get(name)
	if found == nil {
		return nil, false
	}
	return (*costInput)(found), true
}

// costInput is a value of a client's variables.
type costInput astjson.Value

// Fields implements cost.Input.
func (v *costInput) Fields(each func(string, cost.Input)) {
	if value := (*astjson.Value)(v); value.Type() == astjson.TypeObject {
		value.GetObject().Visit(func(key []byte, member *astjson.Value) { each(string(key), (*costInput)(member)) })
	}
}

// Items implements cost.Input.
func (v *costInput) Items(each func(cost.Input)) {
	if value := (*astjson.Value)(v); value.Type() == astjson.TypeArray {
		for _, item := range value.GetArray() {
			each((*costInput)(item))
		}
	}
}

// costError is the cause of a refusal because of an operation's cost.
type costError struct {
	document.BeyondLimit
	cost, limit int64
}

// Unwrap tells metrics the kind of limit.
func (e *costError) Unwrap() error { return &e.BeyondLimit }

// price is what an operation costs with a client's variables. More than the class
// may ask for at once is OPERATION_TOO_COMPLEX.
func (c *class) price(op *operation, variables *astjson.Value) (int64, error) {
	price := op.cost.Of((*costVariables)(variables))
	if price <= c.Limits.MaxCost {
		return price, nil
	}
	err := fault.New(fault.CodeOperationTooComplex,
		fmt.Sprintf("the operation costs %d, more than %d: ask for less, or for smaller pages", price, c.Limits.MaxCost)).
		Because(&costError{document.BeyondLimit{Kind: "cost"}, price, c.Limits.MaxCost})
	c.count(err)
	return price, err
}
