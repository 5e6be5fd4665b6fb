package schemalaw

import (
	"regexp"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// texts calls visit with everything that needs a description.
func (s *schema) texts(visit func(where, description string)) {
	for _, d := range s.sorted() {
		if !slices.Contains(roots, d.Name) { // their fields speak for themselves
			visit(d.Name, d.Description)
		}
		for _, v := range d.EnumValues {
			visit(d.Name+"."+v.Name, v.Description)
		}
		if d.Kind == ast.Object || d.Kind == ast.Interface {
			for _, f := range d.Fields {
				visit(d.Name+"."+f.Name, f.Description)
			}
		}
	}
	s.inputs(func(where, _ string, _ *ast.Type, description string) { visit(where, description) })
}

var (
	sentence   = regexp.MustCompile(`(?s)^["“'\x60]?[A-Z0-9].*[.?]$`)
	someNull   = regexp.MustCompile(`(?i)\bnull\b|absent`)
	deprecated = regexp.MustCompile(`(?i)\buse \S+`)
)

var textRules = []rule{
	{"described", func(s *schema, o *offences) {
		s.texts(func(where, description string) {
			if description == "" {
				o.add(where, "has no description")
			}
		})
	}, map[string]string{
		"T has": `type T { "The x." x: Int! }`, "T.x has": `"A thing." type T { x: Int! }`, "T.x(y)": `"A thing." type T { "The x." x(y: Int): Int! }`,
		"E.A": `"A kind." enum E { A }`, "I.x": `"An input." input I { x: Int! }`,
	}},

	{"sentences", func(s *schema, o *offences) {
		s.texts(func(where, description string) {
			if description != "" && !sentence.MatchString(strings.TrimSpace(description)) {
				o.add(where, "must be described in sentences: a capital first, a full stop last: %q", description)
			}
		})
	}, map[string]string{"the x": `"A thing." type T { "the x." x: Int! }`, "The x": `"A thing." type T { "The x" x: Int! }`}},

	{"null-told", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			if !f.Type.NonNull && !someNull.MatchString(f.Description) && !someNull.MatchString(d.Description) {
				o.add(d.Name+"."+f.Name, "must say what null means")
			}
		})
	}, map[string]string{"T.x": `"A thing." type T { "The x." x: Int }`}},

	{"one-description", func(s *schema, o *offences) {
		for _, other := range s.all {
			if s.isComposed() || other.isComposed() || s.name >= other.name {
				continue
			}
			for _, d := range s.sorted() {
				twin := other.types[d.Name]
				if twin == nil || slices.Contains(roots, d.Name) {
					continue
				}
				if twin.Description != d.Description {
					o.add(d.Name, "is described otherwise in %s", other.name)
				}
				for _, f := range d.Fields {
					if same := twin.Fields.ForName(f.Name); same != nil && same.Description != f.Description {
						o.add(d.Name+"."+f.Name, "is described otherwise in %s", other.name)
					}
				}
			}
		}
	}, map[string]string{
		"T is":   `"A thing." type T { "The x." x: Int! } --- "Another." type T { "The x." x: Int! }`,
		"T.x is": `"A thing." type T { "The x." x: Int! } --- "A thing." type T { "An x." x: Int! }`,
	}},

	{"deprecations", func(s *schema, o *offences) {
		check := func(where string, directives ast.DirectiveList) {
			d := directives.ForName("deprecated")
			if d == nil {
				return
			}
			if reason := d.Arguments.ForName("reason"); reason == nil || !deprecated.MatchString(reason.Value.Raw) {
				o.add(where, "must say what to use in its place: \"Use …\"")
			}
		}
		for _, d := range s.sorted() {
			for _, f := range d.Fields {
				check(d.Name+"."+f.Name, f.Directives)
				for _, a := range f.Arguments {
					check(d.Name+"."+f.Name+"("+a.Name+")", a.Directives)
				}
			}
			for _, v := range d.EnumValues {
				check(d.Name+"."+v.Name, v.Directives)
			}
		}
	}, map[string]string{"T.x": "type T { x: Int! @deprecated }", "T.y": `type T { y: Int! @deprecated(reason: "old") }`}},
}
