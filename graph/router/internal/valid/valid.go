// Package valid validates clients' documents, the whole of them. The engine looks at
// the chosen operation alone, when it has written it anew: its words are not always
// the client's.
package valid

import (
	"slices"
	"strconv"

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

// New makes the rules of a schema.
func New(schema *ast.Schema) *Rules {
	return &Rules{
		schema: schema,
		plain: rules.NewRules(append(slices.Clone(common), rules.FieldsOnCorrectTypeRuleWithoutSuggestions,
			knownArguments(false), knownTypes(false), rules.ValuesOfCorrectTypeRuleWithoutSuggestions)...),
		helpful: rules.NewRules(append(slices.Clone(common), rules.FieldsOnCorrectTypeRule,
			knownArguments(true), knownTypes(true), rules.ValuesOfCorrectTypeRule)...),
	}
}

// Check refuses a document that is not valid, with INVALID_INPUT and the places of
// what is wrong. Where one of its names is unknown the error has the document with it,
// for Suggest.
func (r *Rules) Check(text string) error { return r.check(text, r.plain) }

// Suggest is Check, and tells names of the schema that are like unknown ones: it is for
// who may read the schema.
func (r *Rules) Suggest(text string) error { return r.check(text, r.helpful) }

func (r *Rules) check(text string, by *rules.Rules) error {
	doc, err := parser.ParseQuery(&ast.Source{Input: text})
	if err != nil {
		return refusal(gqlerror.List{gqlerror.WrapIfUnwrapped(err)})
	}
	errs := validator.ValidateWithRules(r.schema, doc, by)
	if len(errs) == 0 {
		return nil
	}
	out := refusal(errs)
	if len(errs) <= maxErrors && !tooLong(text) && slices.ContainsFunc(errs, func(e *gqlerror.Error) bool { return slices.Contains(suggesting, e.Rule) }) {
		out.Text = text
	}
	return out
}

// suggesting are the rules that know names to suggest.
var suggesting = []string{
	rules.FieldsOnCorrectTypeRuleWithoutSuggestions.Name, rules.ValuesOfCorrectTypeRuleWithoutSuggestions.Name,
	argumentNames, typeNames,
}

// maxName bounds the names that others are looked for, in bytes, and maxErrors the
// errors: what is alike takes the product of lengths to find.
const maxName = 100

func tooLong(text string) bool {
	run := 0
	for i := range len(text) {
		c := text[i]
		if run++; c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			run = 0
		}
		if run > maxName {
			return true
		}
	}
	return false
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

func refusal(errs gqlerror.List) *clienterr.DocumentError {
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
