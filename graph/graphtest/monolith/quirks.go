package monolith

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/tradesage/tradesage/graph/graphtest"
)

// Where gqlgen does otherwise than the specification says (September 2025), it is
// asked in words that it understands.

// leaveOut takes out of input objects the fields whose variable has no value. They
// are as if they were not written ("Input Objects", input coercion); gqlgen makes
// them null.
func leaveOut(doc *ast.QueryDocument, variables map[string]any) {
	var clean func(*ast.Value)
	clean = func(v *ast.Value) {
		if v.Kind == ast.ObjectValue {
			v.Children = slices.DeleteFunc(v.Children, func(child *ast.ChildValue) bool {
				_, given := variables[child.Value.Raw]
				return child.Value.Kind == ast.Variable && !given
			})
		}
		for _, child := range v.Children {
			clean(child.Value)
		}
	}
	graphtest.EachField(doc, func(f *ast.Field) {
		for _, a := range f.Arguments {
			clean(a.Value)
		}
	})
}
