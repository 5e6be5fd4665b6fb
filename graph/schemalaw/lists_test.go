package schemalaw

import (
	"regexp"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

const (
	firstText = "How many to return: 1 to 100, 20 if left out."
	afterText = "Return those after this cursor; from the start if left out."
)

var bound = regexp.MustCompile(`\b(at\s+most|less\s+than|fewer\s+than|up\s+to)\s+[0-9]`)

var listRules = []rule{
	{"bounded-lists", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			if f.Type.Elem == nil || strings.HasSuffix(d.Name, "Connection") {
				return
			}
			if !bound.MatchString(f.Description) {
				o.add(d.Name+"."+f.Name, "must be a connection, or say that it has at most so many elements")
			}
		})
	}, map[string]string{"T.x": `type T { "All x." x: [Int!]! }`}},

	{"sized", func(s *schema, o *offences) {
		if s.isComposed() { // which has no such directives
			return
		}
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			connection := strings.HasSuffix(f.Type.Name(), "Connection")
			if !connection && (f.Type.Elem == nil || strings.HasSuffix(d.Name, "Connection")) {
				return
			}
			sized := f.Directives.ForName("listSize")
			if sized == nil || sized.Arguments.ForName("assumedSize") == nil {
				o.add(d.Name+"."+f.Name, "must have @listSize with an assumedSize")
				return
			}
			if !connection {
				return
			}
			for name, want := range map[string]string{
				"assumedSize": "20", "slicingArguments": `["first"]`, "sizedFields": `["edges"]`, "requireOneSlicingArgument": "false",
			} {
				if a := sized.Arguments.ForName(name); a == nil || a.Value.String() != want {
					o.add(d.Name+"."+f.Name, "must have @listSize with %s: %s", name, want)
				}
			}
		})
	}, map[string]string{
		"T.x must": `type T { "At most 5." x: [Int!]! }`,
		"T.y must": `type T { "At most 5." y: [Int!]! @listSize }`,
		"sizedFields": `type T { x("` + firstText + `" first: Int "` + afterText + `" after: String): XConnection!
			@listSize(assumedSize: 20, slicingArguments: ["first"], requireOneSlicingArgument: false) }`,
	}},

	{"bounded-inputs", func(s *schema, o *offences) {
		s.inputs(func(where, _ string, of *ast.Type, description string) {
			if of.Elem != nil && !bound.MatchString(description) {
				o.add(where, "must say that it takes at most so many elements")
			}
		})
	}, map[string]string{"I.x": `input I { "All x." x: [Int!]! }`}},

	{"paged", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			if !strings.HasSuffix(f.Type.Name(), "Connection") {
				return
			}
			for name, want := range map[string]struct{ of, text string }{"first": {"Int", firstText}, "after": {"String", afterText}} {
				a := f.Arguments.ForName(name)
				if a == nil || a.Type.String() != want.of || a.DefaultValue != nil || a.Description != want.text {
					o.add(d.Name+"."+f.Name, "must take %s: %s, described as %q", name, want.of, want.text)
				}
			}
		})
	}, map[string]string{
		"first": `type T { x("` + afterText + `" after: String): XConnection! }`,
		"after": `type T { x("` + firstText + `" first: Int "Later." after: String): XConnection! }`,
	}},

	{"connections", func(s *schema, o *offences) {
		for _, d := range s.sorted() {
			item, is := strings.CutSuffix(d.Name, "Connection")
			if !is {
				continue
			}
			edge := s.types[item+"Edge"]
			if edge == nil {
				edge = &ast.Definition{}
			}
			for _, want := range []struct {
				of       *ast.Definition
				name, is string
			}{
				{d, "edges", "[" + item + "Edge!]!"}, {d, "pageInfo", "PageInfo!"}, {edge, "node", item + "!"}, {edge, "cursor", "String!"},
			} {
				if f := want.of.Fields.ForName(want.name); f == nil || f.Type.String() != want.is {
					o.add(d.Name, "must have %s: %s", want.name, want.is)
				}
			}
		}
	}, map[string]string{
		"edges": "type XConnection { edges: [XEdge] pageInfo: PageInfo! } type XEdge { node: X! cursor: String! }",
		"node":  "type XConnection { edges: [XEdge!]! pageInfo: PageInfo! } type XEdge { node: X cursor: String! }",
	}},

	{"filters", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			item, is := strings.CutSuffix(f.Type.Name(), "Connection")
			if !is {
				return
			}
			for _, a := range f.Arguments {
				ordered := strings.HasSuffix(a.Type.Name(), "Sort") && !a.Type.NonNull && a.DefaultValue != nil
				switch {
				case a.Name == "first" || a.Name == "after":
				case a.Name == "filter" && a.Type.String() == item+"FilterInput":
				case a.Name == "sort" && ordered && a.Type.Name() == item+"Sort":
				case a.Type.NamedType == "ID": // whose list it is
				default:
					o.add(d.Name+"."+f.Name+"("+a.Name+")", "must be filter: %sFilterInput, or sort: %sSort with a default", item, item)
				}
			}
		})
		for _, d := range s.sorted() {
			if !strings.HasSuffix(d.Name, "FilterInput") {
				continue
			}
			for _, f := range d.Fields {
				if f.Type.NonNull {
					o.add(d.Name+"."+f.Name, "must be one that may be left out")
				}
			}
		}
	}, map[string]string{
		"x(state)": "type T { x(first: Int, after: String, state: String): XConnection! }",
		"x(sort)":  "type T { x(sort: XSort): XConnection! }",
		"f must":   "input XFilterInput { f: Int! }",
	}},

	{"orders", func(s *schema, o *offences) {
		for _, d := range s.sorted() {
			if d.Kind != ast.Enum || !strings.HasSuffix(d.Name, "Sort") {
				continue
			}
			for _, v := range d.EnumValues {
				if !strings.HasSuffix(v.Name, "_ASC") && !strings.HasSuffix(v.Name, "_DESC") {
					o.add(d.Name+"."+v.Name, "must end in _ASC or _DESC")
				}
			}
		}
	}, map[string]string{"XSort.NEWEST": "enum XSort { NEWEST }"}},
}
