// Package valid validates clients' documents, the whole of them. The engine looks at
// the chosen operation alone, when it has written it anew: its words are not always
// the client's.
package valid

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/fault"
)

// Rules are those of a schema.
type Rules struct {
	schema         *ast.Schema
	plain, helpful *rules.Rules
}

// maxErrors bounds how many errors of a document are told.
const maxErrors = 10

// maxMessage bounds a message in bytes: it repeats parts of the document.
const maxMessage = 500

// common are the rules that suggest nothing. Which fields can be merged is
// document.CheckMerging's matter, within bounds, and how deep an introspection may be
// that of the limits.
var common = []core.Rule{
	leafValues,
	rules.FragmentsOnCompositeTypesRule, rules.KnownDirectivesRule, rules.KnownFragmentNamesRule, rules.KnownRootTypeRule,
	rules.LoneAnonymousOperationRule, rules.NoFragmentCyclesRule, rules.NoUndefinedVariablesRule, rules.NoUnusedFragmentsRule,
	rules.NoUnusedVariablesRule, rules.PossibleFragmentSpreadsRule, rules.ProvidedRequiredArgumentsRule, rules.ScalarLeafsRule,
	rules.SingleFieldSubscriptionsRule, rules.UniqueArgumentNamesRule, rules.UniqueDirectivesPerLocationRule,
	rules.UniqueFragmentNamesRule, rules.UniqueInputFieldNamesRule, rules.UniqueOperationNamesRule, rules.UniqueVariableNamesRule,
	rules.VariablesAreInputTypesRule, rules.VariablesInAllowedPositionRule,
}

// Load reads a schema. It fails on one that is not complete, as one with directives
// that it does not define.
func Load(sdl string) (*Rules, error) {
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema", Input: sdl})
	if err != nil {
		return nil, err
	}
	return &Rules{
		schema: schema,
		plain: rules.NewRules(append(slices.Clone(common), rules.FieldsOnCorrectTypeRuleWithoutSuggestions,
			knownArguments(false), rules.KnownTypeNamesRuleWithoutSuggestions, rules.ValuesOfCorrectTypeRuleWithoutSuggestions)...),
		helpful: rules.NewRules(append(slices.Clone(common), rules.FieldsOnCorrectTypeRule,
			knownArguments(true), rules.KnownTypeNamesRule, rules.ValuesOfCorrectTypeRule)...),
	}, nil
}

// Check refuses a document that is not valid, with INVALID_INPUT and the places of
// what is wrong. suggest is whether names of the schema are told that are like unknown
// ones: it is for who may read the schema.
func (r *Rules) Check(text string, suggest bool) error {
	doc, err := parser.ParseQuery(&ast.Source{Input: text})
	if err != nil {
		return refusal(gqlerror.List{gqlerror.WrapIfUnwrapped(err)})
	}
	chosen := r.plain
	if suggest {
		chosen = r.helpful
	}
	if errs := validator.ValidateWithRules(r.schema, doc, chosen); len(errs) > 0 {
		return refusal(errs)
	}
	return nil
}

// leafValues refuses what ValuesOfCorrectType overlooks: objects in place of scalars
// and enums, and numbers beyond what an Int is.
var leafValues = core.Rule{Name: "LeafValues", RuleFunc: func(on *core.Events, refuse core.AddErrFunc) {
	on.OnValue(func(_ *core.Walker, value *ast.Value) {
		d := value.Definition
		if d == nil || d.Kind != ast.Scalar && d.Kind != ast.Enum {
			return
		}
		switch {
		case value.Kind == ast.ObjectValue && (d.BuiltIn || d.Kind == ast.Enum):
			refuse(core.Message("%s cannot represent an object: %s", d.Name, value), core.At(value.Position))
		case value.Kind == ast.IntValue && d.Name == "Int":
			if _, err := strconv.ParseInt(value.Raw, 10, 32); err != nil {
				refuse(core.Message("Int cannot represent non 32-bit signed integer value: %s", value.Raw), core.At(value.Position))
			}
		}
	})
}}

// knownArguments refuses arguments that a field or a directive does not have, at their
// own places.
func knownArguments(suggest bool) core.Rule {
	return core.Rule{Name: "KnownArgumentNames", RuleFunc: func(on *core.Events, refuse core.AddErrFunc) {
		check := func(given ast.ArgumentList, known ast.ArgumentDefinitionList, of string) {
			for _, argument := range given {
				if known.ForName(argument.Name) != nil {
					continue
				}
				how := []core.ErrorOption{core.Message("Unknown argument %q on %s.", argument.Name, of), core.At(argument.Position)}
				if suggest {
					var names []string
					for _, d := range known {
						names = append(names, d.Name)
					}
					how = append(how, core.SuggestListQuoted("Did you mean", argument.Name, names))
				}
				refuse(how...)
			}
		}
		on.OnField(func(_ *core.Walker, f *ast.Field) {
			if f.Definition != nil && f.ObjectDefinition != nil {
				check(f.Arguments, f.Definition.Arguments, fmt.Sprintf("field %q", f.ObjectDefinition.Name+"."+f.Name))
			}
		})
		on.OnDirective(func(_ *core.Walker, d *ast.Directive) {
			if d.Definition != nil {
				check(d.Arguments, d.Definition.Arguments, fmt.Sprintf("directive %q", "@"+d.Name))
			}
		})
	}}
}

func refusal(errs gqlerror.List) error {
	out := &clienterr.DocumentError{}
	told := map[string]bool{} // a fragment is looked at by itself and where it is spread
	for _, err := range errs {
		if told[err.Error()] {
			continue
		}
		if told[err.Error()] = true; len(told) > maxErrors {
			break
		}
		e := clienterr.Error{Message: clienterr.Clip(err.Message, maxMessage), Extensions: clienterr.Extensions{Code: fault.CodeInvalidInput}}
		for _, l := range err.Locations {
			if l.Line > 0 && l.Column > 0 {
				e.Locations = append(e.Locations, clienterr.Location{Line: uint32(l.Line), Column: uint32(l.Column)})
			}
		}
		out.Errors = append(out.Errors, e)
	}
	return out
}
