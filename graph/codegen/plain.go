package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/99designs/gqlgen/codegen"
	"github.com/vektah/gqlparser/v2/ast"
)

// plain makes fields that are there already be rendered at once: a field of a
// struct, of a scalar that cannot fail, for which nobody has to be asked. gqlgen
// gives each of them a context, a chain of resolvers and a guard against panics,
// some eight allocations.
type plain struct {
	dir string
	// methods are those of the executor that render such a field.
	methods map[string]bool
}

// Name names the plugin.
func (*plain) Name() string { return "plain" }

// infallible are the marshalers that always write a value.
var infallible = map[string]bool{
	"github.com/99designs/gqlgen/graphql.MarshalString":             true,
	"github.com/99designs/gqlgen/graphql.MarshalBoolean":            true,
	"github.com/99designs/gqlgen/graphql.MarshalInt":                true,
	"github.com/tradesage/tradesage/graph/subgraph.MarshalID":       true,
	"github.com/tradesage/tradesage/graph/subgraph.MarshalDateTime": true,
}

// GenerateCode notes which fields are plain, once gqlgen has read the schema.
func (p *plain) GenerateCode(data *codegen.Data) error {
	p.dir, p.methods = data.Config.Exec.Dir(), map[string]bool{}
	for _, object := range data.Objects {
		for _, field := range object.Fields {
			if field.IsVariable() && !field.IsResolver && rendersItself(field) && !demanding(data.Schema, object.Definition, field.Name) {
				p.methods["_"+object.Name+"_"+field.Name] = true
			}
		}
	}
	return nil
}

// rendersItself is whether the field's value becomes JSON without an error: where
// the type has a null, the value is a pointer.
func rendersItself(field *codegen.Field) bool {
	to := field.TypeReference
	return to.Marshaler != nil && infallible[to.Marshaler.FullName()] && !to.IsSlice() && (!to.IsPtr() || !field.Type.NonNull)
}

// demanding is whether callers need anything for the field: it, its type, an
// interface of that or the interface's field has a directive.
func demanding(schema *ast.Schema, object *ast.Definition, name string) bool {
	has := func(d *ast.Definition) bool {
		if d == nil || len(d.Directives.ForNames("authenticated"))+len(d.Directives.ForNames("requiresScopes"))+len(d.Directives.ForNames("stepUp")) > 0 {
			return true
		}
		field := d.Fields.ForName(name)
		return field != nil && len(field.Directives) > 0
	}
	if has(object) {
		return true
	}
	for _, of := range object.Interfaces {
		if has(schema.Types[of]) {
			return true
		}
	}
	return false
}

// plainField is how gqlgen renders one: the method up to its body, its name, the
// value and the call that renders it.
var plainField = regexp.MustCompile(`(?m)^(func \(ec \*executionContext\) (_\w+)\(ctx context\.Context, field graphql\.CollectedField, obj \*[^\n)]+\) \(ret graphql\.Marshaler\) \{)
	return graphql\.ResolveField\(
		ctx,
		ec\.OperationContext,
		field,
		func\(ctx context\.Context, field graphql\.CollectedField\) \(\*graphql\.FieldContext, error\) \{
			return [^\n]*
		\},
		func\(ctx context\.Context\) \(any, error\) \{
			return (obj\.\w+), nil
		\},
		nil,
		func\(ctx context\.Context, selections ast\.SelectionSet, v [^\n]*\) graphql\.Marshaler \{
			return (ec\.marshal[^\s(]+)\(ctx, selections, v\)
		\},
		true,
		(?:true|false),
	\)
\}`)

// rewrite replaces the methods' bodies in the written files.
func (p *plain) rewrite() error {
	err := rewriteFiles(p.dir, func(text []byte) ([]byte, error) {
		return plainField.ReplaceAllFunc(text, func(method []byte) []byte {
			part := plainField.FindSubmatch(method)
			if !p.methods[string(part[2])] {
				return method
			}
			delete(p.methods, string(part[2]))
			return fmt.Appendf(nil, "%s\n\treturn %s(ctx, field.Selections, %s)\n}", part[1], part[4], part[3])
		}), nil
	})
	if err != nil {
		return err
	}
	if len(p.methods) > 0 {
		return fmt.Errorf("plain fields are rendered in a way that is not known here: %s", slices.Sorted(maps.Keys(p.methods)))
	}
	return nil
}
