package schemalaw

import (
	"regexp"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

var (
	pascal = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	camel  = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)
	upper  = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)
	// initials are capitals in a row, but for scalars of that name.
	initials = regexp.MustCompile(`[A-Z]{2}`)
)

var namingRules = []rule{
	{"type-names", func(s *schema, o *offences) {
		for _, d := range s.sorted() {
			if !pascal.MatchString(d.Name) || d.Kind != ast.Scalar && initials.MatchString(d.Name) {
				o.add(d.Name, "must be in PascalCase, initials too")
			}
		}
	}, map[string]string{"user_name": "type user_name { x: Int! }", "APIKey": "type APIKey { x: Int! }"}},

	{"field-names", func(s *schema, o *offences) {
		s.values(func(where, name string, _ *ast.Type) {
			if !camel.MatchString(name) || initials.MatchString(name) {
				o.add(where, "must be in camelCase, initials too")
			}
		})
	}, map[string]string{"T.a_b": "type T { a_b: Int! }", "T.x(Y)": "type T { x(Y: Int): Int! }", "I.userID": "input I { userID: ID! }"}},

	{"enum-values", func(s *schema, o *offences) {
		for _, d := range s.sorted() {
			for _, v := range d.EnumValues {
				if !upper.MatchString(v.Name) {
					o.add(d.Name+"."+v.Name, "must be in UPPER_CASE")
				}
			}
		}
	}, map[string]string{"E.good": "enum E { good }"}},

	{"query-nouns", func(s *schema, o *offences) {
		s.rootFields("Query", func(f *ast.FieldDefinition) {
			for _, verb := range []string{"get", "list", "fetch", "find", "load", "read", "all"} {
				if rest, ok := strings.CutPrefix(f.Name, verb); ok && rest != "" && rest[0] <= 'Z' {
					o.add("Query."+f.Name, "must be named by what it answers, without %q", verb)
				}
			}
		})
	}, map[string]string{"getUser": "type Query { getUser: Int! }"}},

	{"boolean-names", func(s *schema, o *offences) {
		s.values(func(where, name string, of *ast.Type) {
			if of.Name() == "Boolean" && len(name) > 2 && strings.HasPrefix(name, "is") && name[2] <= 'Z' {
				o.add(where, "must be named without \"is\"")
			}
		})
	}, map[string]string{"T.isActive": "type T { isActive: Boolean! }"}},

	{"id-names", func(s *schema, o *offences) {
		s.values(func(where, name string, of *ast.Type) {
			named := name == "id" || strings.HasSuffix(name, "Id") || strings.HasSuffix(name, "Ids") || name == "ids"
			if (of.Name() == "ID") != named && name != "requestId" { // which is whatever the client sent
				o.add(where, "must be named id or …Id if and only if it is an ID")
			}
		})
	}, map[string]string{"T.actor": "type T { actor: ID! }", "T.userId": "type T { userId: String! }", "T.x(id)": "type T { x(id: Int): Int! }"}},

	{"type-suffixes", func(s *schema, o *offences) {
		for _, d := range s.sorted() {
			isInput := d.Kind == ast.InputObject
			if strings.HasSuffix(d.Name, "Input") != isInput {
				o.add(d.Name, "must end in Input if and only if it is an input")
			}
			for _, suffix := range []string{"Type", "Enum", "Interface", "Union", "Object", "Response", "Result"} {
				if strings.HasSuffix(d.Name, suffix) && d.Name != suffix {
					o.add(d.Name, "must not say %q: it is one", suffix)
				}
			}
		}
	}, map[string]string{"CreateX": "input CreateX { x: Int! }", "YInput": "type YInput { x: Int! }", "KindEnum": "enum KindEnum { A }"}},

	{"reachable", func(s *schema, o *offences) {
		if !s.isComposed() && len(s.all) > 1 {
			return
		}
		reached := map[string]bool{}
		var reach func(name string)
		reach = func(name string) {
			d := s.types[name]
			if d == nil || reached[name] {
				return
			}
			reached[name] = true
			for _, f := range d.Fields {
				reach(f.Type.Name())
				for _, a := range f.Arguments {
					reach(a.Type.Name())
				}
			}
			for _, member := range slices.Concat(d.Types, d.Interfaces) {
				reach(member)
			}
		}
		for _, root := range roots {
			reach(root)
		}
		for _, d := range s.sorted() {
			if !reached[d.Name] {
				o.add(d.Name, "is reached from no operation")
			}
		}
	}, map[string]string{"Lost": "type Query { x: Int! } type Lost { x: Int! }"}},
}
