package schemalaw

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// schema is one subgraph's schema, or the composed one, as it is written: without
// what federation and GraphQL add.
type schema struct {
	name string
	// types are definitions with their extensions.
	types map[string]*ast.Definition
	// links are the @link directives of the schema.
	links []*ast.Directive
	// defined are the directives that the schema defines itself.
	defined []string
	// all are the schemas that belong together.
	all []*schema
}

const composed = "supergraph"

// isComposed reports whether this is what clients see.
func (s *schema) isComposed() bool { return s.name == composed }

// parse reads schemas by their names, each from its files' texts.
func parse(texts map[string]string) ([]*schema, error) {
	var all []*schema
	for name, text := range texts {
		document, err := parser.ParseSchema(&ast.Source{Name: name, Input: text})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s := &schema{name: name, types: map[string]*ast.Definition{}}
		for _, d := range append(document.Definitions, document.Extensions...) {
			known := s.types[d.Name]
			if known == nil {
				s.types[d.Name] = d
				continue
			}
			known.Fields = append(known.Fields, d.Fields...)
			known.Directives = append(known.Directives, d.Directives...)
			known.EnumValues = append(known.EnumValues, d.EnumValues...)
			known.Types = append(known.Types, d.Types...)
		}
		for _, d := range document.Directives {
			s.defined = append(s.defined, d.Name)
		}
		for _, d := range append(document.Schema, document.SchemaExtension...) {
			s.links = append(s.links, d.Directives.ForNames("link")...)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *schema) int { return strings.Compare(a.name, b.name) })
	for _, s := range all {
		s.all = all
	}
	return all, nil
}

// ours are the repository's schemas.
func ours(t *testing.T) []*schema {
	t.Helper()
	files, err := filepath.Glob("../../subgraphs/*/*.graphqls")
	if err != nil || len(files) == 0 {
		t.Fatal("no schemas", err)
	}
	texts := map[string]string{composed: read(t, "../supergraph.graphql")}
	for _, file := range files {
		texts[filepath.Base(filepath.Dir(file))] += read(t, file) + "\n"
	}
	all, err := parse(texts)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// roots are the types of operations.
var roots = []string{"Query", "Mutation", "Subscription"}

// engine are names that composition adds to the schema.
var engine = []string{"openfed__Scope"}

// sorted returns the types by name, but those of the engine.
func (s *schema) sorted() []*ast.Definition {
	var out []*ast.Definition
	for name, d := range s.types {
		if !slices.Contains(engine, name) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *ast.Definition) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// offences collects what a rule finds.
type offences struct {
	schema *schema
	found  []string
}

func (o *offences) add(where, format string, arguments ...any) {
	o.found = append(o.found, o.schema.name+": "+where+" "+fmt.Sprintf(format, arguments...))
}

// fields calls visit with each field of an object or interface type.
func (s *schema) fields(visit func(d *ast.Definition, f *ast.FieldDefinition)) {
	for _, d := range s.sorted() {
		if d.Kind == ast.Object || d.Kind == ast.Interface {
			for _, f := range d.Fields {
				visit(d, f)
			}
		}
	}
}

// rootFields calls visit with each field of one of the roots.
func (s *schema) rootFields(root string, visit func(f *ast.FieldDefinition)) {
	if d := s.types[root]; d != nil {
		for _, f := range d.Fields {
			visit(f)
		}
	}
}

// inputs calls visit with each field of an input type, and each argument, named
// as "Type.field(argument)".
func (s *schema) inputs(visit func(where, name string, of *ast.Type, description string)) {
	for _, d := range s.sorted() {
		for _, f := range d.Fields {
			if d.Kind == ast.InputObject {
				visit(d.Name+"."+f.Name, f.Name, f.Type, f.Description)
			}
			for _, a := range f.Arguments {
				visit(d.Name+"."+f.Name+"("+a.Name+")", a.Name, a.Type, a.Description)
			}
		}
	}
}

// values calls visit with each value that goes in or out.
func (s *schema) values(visit func(where, name string, of *ast.Type)) {
	s.fields(func(d *ast.Definition, f *ast.FieldDefinition) { visit(d.Name+"."+f.Name, f.Name, f.Type) })
	s.inputs(func(where, name string, of *ast.Type, _ string) { visit(where, name, of) })
}
