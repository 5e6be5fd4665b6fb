package schemalaw

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// change is one that can break a client: where, as a schema coordinate (GraphQL
// specification, September 2025, section 3.14), and what.
type change struct{ at, what string }

// line is how the change log tells of it.
func (c change) line() string { return fmt.Sprintf("- Breaking: `%s` %s", c.at, c.what) }

// comparison collects the changes from one schema to the next.
type comparison struct{ changes []change }

func (c *comparison) add(at, format string, arguments ...any) {
	c.changes = append(c.changes, change{at, fmt.Sprintf(format, arguments...)})
}

// breaking returns what a client of the old schema may stumble over in the new
// one, ordered by place.
func breaking(before, after string) ([]change, error) {
	old, err := parser.ParseSchema(&ast.Source{Name: "before", Input: before})
	if err != nil {
		return nil, err
	}
	next, err := parser.ParseSchema(&ast.Source{Name: "after", Input: after})
	if err != nil {
		return nil, err
	}
	c := &comparison{}
	for _, d := range old.Definitions {
		c.definition(d, next.Definitions.ForName(d.Name))
	}
	for _, d := range old.Directives {
		c.directive(d, next.Directives.ForName(d.Name))
	}
	c.operations(old, next)
	slices.SortFunc(c.changes, func(a, b change) int { return strings.Compare(a.at+a.what, b.at+b.what) })
	return c.changes, nil
}

func (c *comparison) definition(old, next *ast.Definition) {
	if next == nil {
		c.add(old.Name, "was removed")
		return
	}
	if old.Kind != next.Kind {
		c.add(old.Name, "was %s and is %s", strings.ToLower(string(old.Kind)), strings.ToLower(string(next.Kind)))
		return
	}
	c.access(old.Name, old.Directives, next.Directives)
	for _, name := range old.Interfaces {
		if !slices.Contains(next.Interfaces, name) {
			c.add(old.Name, "no longer implements %s", name)
		}
	}
	for _, name := range old.Types {
		if !slices.Contains(next.Types, name) {
			c.add(old.Name, "no longer has the member %s", name)
		}
	}
	for _, v := range old.EnumValues {
		if next.EnumValues.ForName(v.Name) == nil {
			c.add(old.Name+"."+v.Name, "was removed")
		}
	}
	if old.Kind == ast.InputObject {
		c.inputFields(old, next)
		return
	}
	for _, f := range old.Fields {
		c.field(old.Name+"."+f.Name, f, next.Fields.ForName(f.Name))
	}
}

func (c *comparison) field(at string, old, next *ast.FieldDefinition) {
	if next == nil {
		c.add(at, "was removed")
		return
	}
	if !fitsOut(old.Type, next.Type) {
		c.add(at, "was %s and is %s", old.Type, next.Type)
	}
	c.access(at, old.Directives, next.Directives)
	c.arguments(at, old.Arguments, next.Arguments)
}

func (c *comparison) arguments(of string, old, next ast.ArgumentDefinitionList) {
	at := func(name string) string { return of + "(" + name + ":)" }
	for _, a := range old {
		now := next.ForName(a.Name)
		if now == nil {
			c.add(at(a.Name), "was removed")
			continue
		}
		c.input(at(a.Name), given{a.Type, a.DefaultValue}, given{now.Type, now.DefaultValue})
	}
	for _, a := range next {
		if old.ForName(a.Name) == nil && a.Type.NonNull && a.DefaultValue == nil {
			c.add(at(a.Name), "is new and required")
		}
	}
}

func (c *comparison) inputFields(old, next *ast.Definition) {
	for _, f := range old.Fields {
		now := next.Fields.ForName(f.Name)
		if now == nil {
			c.add(old.Name+"."+f.Name, "was removed")
			continue
		}
		c.input(old.Name+"."+f.Name, given{f.Type, f.DefaultValue}, given{now.Type, now.DefaultValue})
	}
	for _, f := range next.Fields {
		if old.Fields.ForName(f.Name) == nil && f.Type.NonNull && f.DefaultValue == nil {
			c.add(old.Name+"."+f.Name, "is new and required")
		}
	}
}

// given is what a client may give: a type, and what is taken if it gives nothing.
type given struct {
	of       *ast.Type
	fallback *ast.Value
}

func (c *comparison) input(at string, old, next given) {
	required := next.of.NonNull && !old.of.NonNull && next.fallback != nil
	switch {
	case fitsOut(next.of, old.of): // what was taken is taken
	case required && fitsOut(&ast.Type{NamedType: next.of.NamedType, Elem: next.of.Elem}, old.of):
		c.add(at, "was %s and is %s, which null is not", old.of, next.of)
	default:
		c.add(at, "was %s and is %s", old.of, next.of)
	}
	if text(old.fallback) != text(next.fallback) {
		c.add(at, "was %s if left out and is %s", text(old.fallback), text(next.fallback))
	}
}

func text(v *ast.Value) string {
	if v == nil {
		return "nothing"
	}
	return v.String()
}

// fitsOut reports whether who reads values of the old type can read those of the
// next: the same, but null less often.
func fitsOut(old, next *ast.Type) bool {
	if old.NonNull && !next.NonNull {
		return false
	}
	if old.Elem == nil || next.Elem == nil {
		return old.Elem == nil && next.Elem == nil && old.NamedType == next.NamedType
	}
	return fitsOut(old.Elem, next.Elem)
}

// access compares who may ask.
func (c *comparison) access(at string, old, next ast.DirectiveList) {
	if old.ForName("authenticated") == nil && next.ForName("authenticated") != nil {
		c.add(at, "now needs a token")
	}
	was, is := alternatives(old), alternatives(next)
	if is == nil {
		return
	}
	if was == nil {
		was = [][]string{nil}
	}
	for _, held := range was {
		enough := slices.ContainsFunc(is, func(needed []string) bool {
			return !slices.ContainsFunc(needed, func(name string) bool { return !slices.Contains(held, name) })
		})
		if !enough {
			c.add(at, "now needs other permissions")
			return
		}
	}
}

// alternatives are the lists of permissions of which one is needed; nil if none is.
func alternatives(directives ast.DirectiveList) [][]string {
	d := directives.ForName("requiresScopes")
	if d == nil || d.Arguments.ForName("scopes") == nil {
		return nil
	}
	var out [][]string
	for _, all := range d.Arguments.ForName("scopes").Value.Children {
		var names []string
		for _, name := range all.Value.Children {
			names = append(names, name.Value.Raw)
		}
		out = append(out, names)
	}
	return out
}

func (c *comparison) directive(old, next *ast.DirectiveDefinition) {
	at := "@" + old.Name
	if next == nil {
		c.add(at, "was removed")
		return
	}
	for _, location := range old.Locations {
		if !slices.Contains(next.Locations, location) {
			c.add(at, "can no longer be on %s", location)
		}
	}
	if old.IsRepeatable && !next.IsRepeatable {
		c.add(at, "can no longer be repeated")
	}
	c.arguments(at, old.Arguments, next.Arguments)
}

// operations compares which types are the roots.
func (c *comparison) operations(old, next *ast.SchemaDocument) {
	was, is := rootTypes(old), rootTypes(next)
	for _, operation := range slices.Sorted(maps.Keys(was)) {
		if was[operation] != is[operation] {
			c.add("schema", "had %s as its %s", was[operation], operation)
		}
	}
}

func rootTypes(document *ast.SchemaDocument) map[string]string {
	out := map[string]string{}
	for _, d := range document.Schema {
		for _, o := range d.OperationTypes {
			out[string(o.Operation)] = o.Type
		}
	}
	return out
}
