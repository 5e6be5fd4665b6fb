package schemalaw

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

func capital(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

var mutationRules = []rule{
	{"payloads", func(s *schema, o *offences) {
		s.rootFields("Mutation", func(f *ast.FieldDefinition) {
			if want := capital(f.Name) + "Payload!"; f.Type.String() != want {
				o.add("Mutation."+f.Name, "must answer %s", want)
			}
		})
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			if strings.HasSuffix(f.Type.Name(), "Payload") && d.Name != "Mutation" {
				o.add(d.Name+"."+f.Name, "must not be a payload: those are for mutations")
			}
		})
	}, map[string]string{
		"XPayload!": "type Mutation { x: Int! }", "YPayload!": "type Mutation { y: YPayload } type YPayload { x: Int! }",
		"T.x": "type T { x: XPayload! } type XPayload { x: Int! }",
	}},

	{"one-input", func(s *schema, o *offences) {
		s.rootFields("Mutation", func(f *ast.FieldDefinition) {
			if len(f.Arguments) == 0 {
				return
			}
			a := f.Arguments[0]
			whole := a.Name == "input" && a.Type.String() == capital(f.Name)+"Input!"
			if len(f.Arguments) > 1 || !whole && a.Type.String() != "ID!" {
				o.add("Mutation."+f.Name, "must take one argument: input: %sInput!, or the id of a thing", capital(f.Name))
			}
		})
	}, map[string]string{
		"x must": "type Mutation { x(a: ID!, b: ID!): Int! }", "y must": "type Mutation { y(name: String!): Int! }", "z must": "type Mutation { z(input: YInput!): Int! }",
	}},

	{"errors-aside", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			aside := []string{"error", "errors", "success", "ok", "code", "userErrors", "message"}
			if strings.HasSuffix(d.Name, "Payload") && slices.Contains(aside, f.Name) {
				o.add(d.Name+"."+f.Name, "must not tell of failures: errors do")
			}
		})
	}, map[string]string{"XPayload.success": "type XPayload { success: Boolean! }"}},

	{"repeatable", func(s *schema, o *offences) {
		s.inputs(func(where, name string, of *ast.Type, _ string) {
			if name == "idempotencyKey" && of.String() != "String" {
				o.add(where, "must be a String that may be left out")
			}
		})
	}, map[string]string{"I.idempotencyKey": "input I { idempotencyKey: String! }"}},
}
