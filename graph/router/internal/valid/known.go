package valid

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// The rules of names that are ours: those of the parser's own suggest nothing for most
// of them.
const argumentNames, typeNames = "KnownArgumentNames", "KnownTypeNames"

// knownArguments refuses arguments that a field or a directive does not have, at their
// own places.
func knownArguments(suggest bool) core.Rule {
	return core.Rule{Name: argumentNames, RuleFunc: func(on *core.Events, refuse core.AddErrFunc) {
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

// knownTypes refuses fragments on types, and variables of types, that there are none.
func knownTypes(suggest bool) core.Rule {
	return core.Rule{Name: typeNames, RuleFunc: func(on *core.Events, refuse core.AddErrFunc) {
		check := func(w *core.Walker, name string, at *ast.Position, alike func(*ast.Definition) bool) {
			if name == "" || w.Schema.Types[name] != nil {
				return
			}
			how := []core.ErrorOption{core.Message("Unknown type %q.", name), core.At(at)}
			if suggest {
				var names []string
				for _, d := range w.Schema.Types {
					if alike(d) {
						names = append(names, d.Name)
					}
				}
				slices.Sort(names)
				how = append(how, core.SuggestListQuoted("Did you mean", name, names))
			}
			refuse(how...)
		}
		on.OnVariable(func(w *core.Walker, v *ast.VariableDefinition) {
			check(w, v.Type.Name(), v.Position, (*ast.Definition).IsInputType)
		})
		on.OnInlineFragment(func(w *core.Walker, f *ast.InlineFragment) {
			check(w, f.TypeCondition, f.Position, (*ast.Definition).IsCompositeType)
		})
		on.OnFragment(func(w *core.Walker, f *ast.FragmentDefinition) {
			check(w, f.TypeCondition, f.Position, (*ast.Definition).IsCompositeType)
		})
	}}
}
