package supergraph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
)

// requiredFields are the fields that a @requires selects, on each type that they can
// be of.
type requiredFields struct {
	doc    *ast.Document
	fields []requiredField
}

// requiredField is one of them: a field of the selection on one type.
type requiredField struct {
	fieldPlace
	ref int
}

// selectedBy reads the selection of a @requires.
func selectedBy(schema *ast.Document, r federatedField) (*requiredFields, error) {
	doc, report := astparser.ParseGraphqlDocumentString("{" + r.SelectionSet + "}")
	if report.HasErrors() || len(doc.OperationDefinitions) != 1 {
		return nil, fmt.Errorf("%s.%s requires %q, which cannot be read", r.TypeName, r.FieldName, r.SelectionSet)
	}
	out := &requiredFields{doc: &doc}
	var walk func(set int, on string)
	walk = func(set int, on string) {
		for _, ref := range doc.SelectionSets[set].SelectionRefs {
			switch selection := doc.Selections[ref]; selection.Kind {
			case ast.SelectionKindField:
				name := doc.FieldNameString(selection.Ref)
				for _, t := range append(implementing(schema, on), on) {
					out.fields = append(out.fields, requiredField{fieldPlace{t, name}, selection.Ref})
				}
				if inner, ok := doc.FieldSelectionSet(selection.Ref); ok {
					walk(inner, typeOf(schema, fieldPlace{on, name}))
				}
			case ast.SelectionKindInlineFragment:
				if inner, ok := doc.InlineFragmentSelectionSet(selection.Ref); ok {
					of := on
					if condition := doc.InlineFragmentTypeConditionNameString(selection.Ref); condition != "" {
						of = condition
					}
					walk(inner, of)
				}
			}
		}
	}
	walk(doc.OperationDefinitions[0].SelectionSet, r.TypeName)
	return out, nil
}

// arguments are those of a field as they are written.
func (r *requiredFields) arguments(field int) map[string]string {
	out := map[string]string{}
	for _, ref := range r.doc.FieldArguments(field) {
		out[r.doc.ArgumentNameString(ref)] = printed(r.doc, r.doc.ArgumentValue(ref))
	}
	return out
}

// text is the selection again, with the arguments of some fields replaced.
func (r *requiredFields) text(arguments map[int]string) string {
	var out strings.Builder
	var walk func(set int)
	walk = func(set int) {
		for _, ref := range r.doc.SelectionSets[set].SelectionRefs {
			inner, ok := -1, false
			switch selection := r.doc.Selections[ref]; selection.Kind {
			case ast.SelectionKindField:
				out.WriteString(" " + r.doc.FieldNameString(selection.Ref))
				if given, replaced := arguments[selection.Ref]; replaced {
					out.WriteString(given)
				} else if r.doc.FieldHasArguments(selection.Ref) {
					_ = r.doc.PrintArguments(r.doc.FieldArguments(selection.Ref), &out) // a Builder takes everything
				}
				inner, ok = r.doc.FieldSelectionSet(selection.Ref)
			case ast.SelectionKindInlineFragment:
				out.WriteString(" ...")
				if condition := r.doc.InlineFragmentTypeConditionNameString(selection.Ref); condition != "" {
					out.WriteString(" on " + condition)
				}
				inner, ok = r.doc.InlineFragmentSelectionSet(selection.Ref)
			}
			if ok {
				out.WriteString(" {")
				walk(inner)
				out.WriteString(" }")
			}
		}
	}
	walk(r.doc.OperationDefinitions[0].SelectionSet)
	return strings.TrimSpace(out.String())
}

// tellApart makes fields that @requires select with different arguments ones that the
// planner can tell apart.
//
// It takes a field without arguments for the same as one with them, and compares
// only arguments that both have. So where there are several variants of a field, all
// of them are written with all arguments. It returns the fields that require such a
// one, and the names of fields with arguments that any @requires selects: those must
// not meet the client's own of that name.
func tellApart(schema *ast.Document, sources []dataSourceConfig) (varied map[fieldPlace]bool, taking map[string]bool, _ error) {
	variants := map[fieldPlace]map[string]map[string]string{} // arguments by themselves, written out
	var all []*requiredFields
	for i := range sources {
		for _, r := range sources[i].Requires {
			selected, err := selectedBy(schema, r)
			if err != nil {
				return nil, nil, err
			}
			all = append(all, selected)
			for _, f := range selected.fields {
				given := selected.arguments(f.ref)
				if variants[f.fieldPlace] == nil {
					variants[f.fieldPlace] = map[string]map[string]string{}
				}
				variants[f.fieldPlace][written(given)] = given
			}
		}
	}
	varied, taking = map[fieldPlace]bool{}, map[string]bool{}
	for f := range variants {
		if d, ok := definitionOf(schema, f); ok && schema.FieldDefinitionHasArgumentsDefinitions(d) {
			taking[f.FieldName] = true
		}
	}
	next := 0
	for i := range sources {
		requires := slices.Clone(sources[i].Requires)
		for k := range requires {
			selected, replaced := all[next], map[int]string{}
			next++
			for _, f := range selected.fields {
				if len(variants[f.fieldPlace]) > 1 {
					replaced[f.ref] = written(withAll(schema, f.fieldPlace, selected.arguments(f.ref), variants[f.fieldPlace]))
				}
			}
			if len(replaced) > 0 {
				varied[fieldPlace{requires[k].TypeName, requires[k].FieldName}] = true
				requires[k].SelectionSet = selected.text(replaced)
			}
		}
		sources[i].Requires = requires
	}
	return varied, taking, nil
}

// withAll adds to a field's arguments those that it has by default, and as null those
// that another variant gives.
func withAll(schema *ast.Document, f fieldPlace, given map[string]string, variants map[string]map[string]string) map[string]string {
	out := map[string]string{}
	if d, ok := definitionOf(schema, f); ok {
		for _, ref := range schema.FieldDefinitionArgumentsDefinitions(d) {
			if schema.InputValueDefinitionHasDefaultValue(ref) {
				out[schema.InputValueDefinitionNameString(ref)] = printed(schema, schema.InputValueDefinitionDefaultValue(ref))
				continue
			}
			name := schema.InputValueDefinitionNameString(ref)
			for _, v := range variants {
				if v[name] != "" {
					out[name] = "null"
				}
			}
		}
	}
	for name, value := range given {
		out[name] = value
	}
	return out
}

// written are arguments as a text has them, in a stable order.
func written(arguments map[string]string) string {
	if len(arguments) == 0 {
		return ""
	}
	list := make([]string, 0, len(arguments))
	for name, value := range arguments {
		list = append(list, name+": "+value)
	}
	slices.Sort(list)
	return "(" + strings.Join(list, ", ") + ")"
}

func printed(doc *ast.Document, value ast.Value) string {
	var out strings.Builder
	_ = doc.PrintValue(value, &out) // a Builder takes everything
	return out.String()
}

func definitionOf(schema *ast.Document, f fieldPlace) (int, bool) {
	node, ok := schema.NodeByNameStr(f.TypeName)
	if !ok {
		return 0, false
	}
	return schema.NodeFieldDefinitionByName(node, []byte(f.FieldName))
}

func typeOf(schema *ast.Document, f fieldPlace) string {
	definition, ok := definitionOf(schema, f)
	if !ok {
		return ""
	}
	return schema.FieldDefinitionTypeNameString(definition)
}

func implementing(schema *ast.Document, name string) []string {
	node, ok := schema.NodeByNameStr(name)
	if !ok || node.Kind != ast.NodeKindInterfaceTypeDefinition {
		return nil
	}
	names, _ := schema.InterfaceTypeDefinitionImplementedByObjectWithNames(node.Ref)
	return names
}
