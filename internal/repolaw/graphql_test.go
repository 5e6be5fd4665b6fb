package repolaw

import (
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// described wants a description on everything that an integrator meets in a
// subgraph's schema: types, fields, arguments, input fields and enum values.
func described(t *tree) ([]string, error) {
	files, err := t.glob("subgraphs/*/*.graphqls")
	if err != nil {
		return nil, err
	}
	var offences []string
	for _, file := range files {
		text, err := fs.ReadFile(t.fsys, file)
		if err != nil {
			return nil, err
		}
		document, err := parser.ParseSchema(&ast.Source{Name: file, Input: string(text)})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		missing := func(at *ast.Position, what, description string) {
			if description == "" {
				offences = append(offences, fmt.Sprintf("%s:%d: %s has no description", file, at.Line, what))
			}
		}
		for _, definition := range document.Definitions {
			// The roots are everyone's; their fields speak for themselves.
			if !slices.Contains([]string{"Query", "Mutation", "Subscription"}, definition.Name) {
				missing(definition.Position, definition.Name, definition.Description)
			}
		}
		for _, definition := range append(document.Definitions, document.Extensions...) {
			for _, field := range definition.Fields {
				name := definition.Name + "." + field.Name
				missing(field.Position, name, field.Description)
				for _, argument := range field.Arguments {
					missing(argument.Position, name+"("+argument.Name+")", argument.Description)
				}
			}
			for _, value := range definition.EnumValues {
				missing(value.Position, definition.Name+"."+value.Name, value.Description)
			}
		}
	}
	return offences, nil
}

func TestSchemasAreDescribed(t *testing.T) {
	t.Parallel()
	obeyed(t, described)
	catches(t, described, map[string]string{"subgraphs/user/user.graphqls": `
type Query { "Me." me(bare: Int, "Told." told: Int): User }
type User { "The id." id: ID! email: String! }
extend type Query { more: Kind }
"A kind." enum Kind { GOOD "Told." BAD }
"An input." input I { x: Int }
`},
		":2: Query.me(bare)", ":3: User has", ":3: User.email", ":4: Query.more", ":5: Kind.GOOD", ":6: I.x")
}
