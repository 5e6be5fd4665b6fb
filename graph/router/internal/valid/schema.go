package valid

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
)

// Schema reads a client schema. It fails on one that is not complete. Directives that
// it uses and does not define say nothing to clients: they are left out, and named.
func Schema(sdl string) (_ *ast.Schema, undefined []string, _ error) {
	builtin, err := parser.ParseSchema(validator.Prelude)
	if err != nil {
		return nil, nil, err
	}
	doc, err := parser.ParseSchema(&ast.Source{Name: "client schema", Input: sdl})
	if err != nil {
		return nil, nil, gqlerror.WrapIfUnwrapped(err)
	}
	// Some print what every schema has.
	doc.Definitions = slices.DeleteFunc(doc.Definitions, func(d *ast.Definition) bool {
		return builtin.Definitions.ForName(d.Name) != nil
	})
	doc.Directives = slices.DeleteFunc(doc.Directives, func(d *ast.DirectiveDefinition) bool {
		return builtin.Directives.ForName(d.Name) != nil
	})
	doc.Merge(builtin)
	eachDirectives(doc, func(list *ast.DirectiveList) {
		*list = slices.DeleteFunc(*list, func(d *ast.Directive) bool {
			if doc.Directives.ForName(d.Name) != nil {
				return false
			}
			undefined = append(undefined, "@"+d.Name)
			return true
		})
	})
	schema, err := validator.ValidateSchemaDocument(doc)
	if err != nil {
		return nil, nil, gqlerror.WrapIfUnwrapped(err)
	}
	slices.Sort(undefined)
	return schema, slices.Compact(undefined), nil
}

// eachDirectives visits all places of a schema where directives are used.
func eachDirectives(doc *ast.SchemaDocument, visit func(*ast.DirectiveList)) {
	arguments := func(list ast.ArgumentDefinitionList) {
		for _, a := range list {
			visit(&a.Directives)
		}
	}
	for _, list := range []ast.SchemaDefinitionList{doc.Schema, doc.SchemaExtension} {
		for _, d := range list {
			visit(&d.Directives)
		}
	}
	for _, d := range doc.Directives {
		arguments(d.Arguments)
	}
	for _, list := range []ast.DefinitionList{doc.Definitions, doc.Extensions} {
		for _, d := range list {
			visit(&d.Directives)
			for _, f := range d.Fields {
				visit(&f.Directives)
				arguments(f.Arguments)
			}
			for _, v := range d.EnumValues {
				visit(&v.Directives)
			}
		}
	}
}
