package schemalaw

import (
	"regexp"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

var (
	moment   = regexp.MustCompile(`(?:At|^at|^from|^to|^before|^since|^until)$`)
	duration = regexp.MustCompile(`(?:In|Within|Seconds|Timeout|Lifetime|Duration)$`)
	unit     = regexp.MustCompile(`\b(seconds|minutes|hours|days)\b`)
	money    = regexp.MustCompile(`(?i)(amount|price|balance|fee|cost|notional|pnl)$`)
)

var valueRules = []rule{
	{"scalars", func(s *schema, o *offences) {
		known := []string{"ID", "String", "Int", "Boolean", "DateTime", "Decimal", "JSON"}
		for _, d := range s.sorted() {
			if d.Kind != ast.Scalar {
				continue
			}
			if !slices.Contains(known, d.Name) {
				o.add(d.Name, "is a new scalar: tell of it in the guide first")
			}
			if !s.isComposed() && d.Directives.ForName("specifiedBy") == nil { // which composition drops
				o.add(d.Name, "must name what specifies it with @specifiedBy")
			}
		}
	}, map[string]string{"Blob": `scalar Blob @specifiedBy(url: "x")`, "DateTime": "scalar DateTime"}},

	{"no-floats", func(s *schema, o *offences) {
		s.values(func(where, _ string, of *ast.Type) {
			if of.Name() == "Float" {
				o.add(where, "must not be a Float: they do not add up")
			}
		})
	}, map[string]string{"T.x": "type T { x: Float! }", "I.x": "input I { x: Float }"}},

	{"money", func(s *schema, o *offences) {
		s.values(func(where, name string, of *ast.Type) {
			if money.MatchString(name) && of.Name() != "Decimal" && of.Name() != "Money" {
				o.add(where, "must be a Decimal, with its currency beside it")
			}
		})
	}, map[string]string{"T.price": "type T { price: Int! }", "I.limitPrice": "input I { limitPrice: String }"}},

	{"moments", func(s *schema, o *offences) {
		s.values(func(where, name string, of *ast.Type) {
			if (of.Name() == "DateTime") != moment.MatchString(name) {
				o.add(where, "must end in At, or be from or to, if and only if it is a DateTime")
			}
		})
	}, map[string]string{"T.created": "type T { created: DateTime! }", "T.createdAt": "type T { createdAt: String! }"}},

	{"durations", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			if f.Type.Name() == "Int" && duration.MatchString(f.Name) && !unit.MatchString(f.Description) {
				o.add(d.Name+"."+f.Name, "must say its unit")
			}
		})
	}, map[string]string{"T.expiresIn": `type T { "When." expiresIn: Int! }`}},

	{"element-nulls", func(s *schema, o *offences) {
		s.values(func(where, _ string, of *ast.Type) {
			for t := of; t.Elem != nil; t = t.Elem {
				if !t.Elem.NonNull {
					o.add(where, "must have elements that are not null")
				}
			}
		})
	}, map[string]string{"T.x": "type T { x: [Int]! }", "I.x": "input I { x: [Int] }"}},

	{"boolean-nulls", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			if f.Type.NamedType == "Boolean" && !f.Type.NonNull {
				o.add(d.Name+"."+f.Name, "must not be null: a third answer has a name, as an enum")
			}
		})
	}, map[string]string{"T.x": "type T { x: Boolean }"}},

	{"identified", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			if f.Name == "id" && f.Type.String() != "ID!" {
				o.add(d.Name+".id", "must be an ID!")
			}
		})
	}, map[string]string{"T.id": "type T { id: ID }"}},

	{"events", func(s *schema, o *offences) {
		s.rootFields("Subscription", func(f *ast.FieldDefinition) {
			where := "Subscription." + f.Name
			event := s.types[f.Type.Name()]
			if !strings.HasSuffix(f.Type.String(), "Event!") || event == nil {
				o.add(where, "must answer an …Event!")
				return
			}
			for name, of := range map[string]string{"id": "ID!", "cursor": "String!", "at": "DateTime!", "kind": event.Name + "Kind!"} {
				if field := event.Fields.ForName(name); field == nil || field.Type.String() != of {
					o.add(where, "must answer events with %s: %s", name, of)
				}
			}
			if after := f.Arguments.ForName("after"); after == nil || after.Type.String() != "String" {
				o.add(where, "must be resumed with after: String")
			}
		})
	}, map[string]string{
		"…Event!": "type Subscription { x(after: String): Int! }",
		"resumed": "type Subscription { x: XEvent! } type XEvent { id: ID! cursor: String! at: DateTime! kind: XEventKind! } enum XEventKind { A }",
		"cursor":  "type Subscription { x(after: String): XEvent! } type XEvent { id: ID! at: DateTime! kind: XEventKind! } enum XEventKind { A }",
	}},
}
