package subgraph

import (
	"context"
	"reflect"
	"slices"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/tradesage/tradesage/internal/fault"
)

// demands are what a schema demands of callers beyond the directives of its fields,
// which generated code checks: @authenticated, @requiresScopes and @stepUp of types,
// of interfaces and their fields, and of the type of a field's value. Nearly all
// schemas have none, and pay nothing.
//
// An object that an interface or union stands for is null then, as one of a field of
// its own type is.
type demands struct {
	fields map[string]map[string][]graphql.FieldMiddleware // by type and field
	types  map[string][]graphql.FieldMiddleware
	behind map[string]members // by the interface or union
}

// newDemands reads a schema. lacks is what RequiresScopes asks; nil is a subgraph
// whose callers hold no scope.
func newDemands(schema *ast.Schema, lacks func(context.Context, [][]string) (string, error)) *demands {
	out := &demands{
		fields: map[string]map[string][]graphql.FieldMiddleware{}, types: map[string][]graphql.FieldMiddleware{}, behind: map[string]members{},
	}
	own := map[string][]graphql.FieldMiddleware{}
	for name, d := range schema.Types {
		if !d.BuiltIn {
			own[name] = demanded(d.Directives, lacks)
		}
	}
	for name, d := range schema.Types {
		all := slices.Clone(own[name])
		for _, of := range d.Interfaces {
			all = append(all, own[of]...)
		}
		if len(all) > 0 {
			out.types[name] = all
		}
	}
	for name, d := range schema.Types {
		if d.IsAbstractType() {
			if found := membersOf(schema, d, out.types); found != nil {
				out.behind[name] = found
			}
		}
		if d.Kind != ast.Object || d.BuiltIn {
			continue
		}
		for _, f := range d.Fields {
			all := slices.Concat(out.types[name], out.types[f.Type.Name()])
			for _, of := range d.Interfaces {
				if i := schema.Types[of]; i != nil {
					if declared := i.Fields.ForName(f.Name); declared != nil {
						all = append(all, demanded(declared.Directives, lacks)...)
					}
				}
			}
			if len(all) == 0 {
				continue
			}
			if out.fields[name] == nil {
				out.fields[name] = map[string][]graphql.FieldMiddleware{}
			}
			out.fields[name][f.Name] = all
		}
	}
	if len(out.fields) == 0 && len(out.types) == 0 {
		return nil
	}
	return out
}

// demanded turns directives into what checks them.
func demanded(list ast.DirectiveList, lacks func(context.Context, [][]string) (string, error)) []graphql.FieldMiddleware {
	var out []graphql.FieldMiddleware
	if list.ForName("authenticated") != nil {
		out = append(out, func(ctx context.Context, next graphql.Resolver) (any, error) { return Authenticated(ctx, nil, next) })
	}
	for _, d := range list.ForNames("requiresScopes") {
		scopes := scopesOf(d)
		out = append(out, func(ctx context.Context, next graphql.Resolver) (any, error) {
			return requireScopes(ctx, next, lacks, scopes)
		})
	}
	if d := list.ForName("stepUp"); d != nil {
		seconds := 0 // what cannot be read is fulfilled by nobody
		if a := d.Arguments.ForName("maxAge"); a != nil {
			if n, err := strconv.Atoi(a.Value.Raw); err == nil {
				seconds = n
			}
		}
		out = append(out, func(ctx context.Context, next graphql.Resolver) (any, error) { return StepUp(ctx, nil, next, seconds) })
	}
	return out
}

// scopesOf are the lists of a directive; one value stands for a list of one.
func scopesOf(d *ast.Directive) [][]string {
	a := d.Arguments.ForName("scopes")
	if a == nil {
		return nil
	}
	listed := func(v *ast.Value) []*ast.Value {
		if v.Kind != ast.ListValue {
			return []*ast.Value{v}
		}
		var out []*ast.Value
		for _, child := range v.Children {
			out = append(out, child.Value)
		}
		return out
	}
	var out [][]string
	for _, all := range listed(a.Value) {
		var names []string
		for _, name := range listed(all) {
			names = append(names, name.Raw)
		}
		out = append(out, names)
	}
	return out
}

// around refuses fields whose demands the caller does not fulfil; they are not
// resolved.
func (d *demands) around(ctx context.Context, next graphql.Resolver) (any, error) {
	field := graphql.GetFieldContext(ctx)
	if field == nil || field.Field.Field == nil {
		return next(ctx)
	}
	if err := fulfil(ctx, d.fields[field.Object][field.Field.Name]); err != nil {
		return nil, err
	}
	value, err := next(ctx)
	if err != nil || field.Field.Definition == nil {
		return value, err
	}
	members := d.behind[field.Field.Definition.Type.Name()]
	if members == nil {
		return value, nil
	}
	visible := shown{members, map[string]error{}}
	if value, err = visible.of(ctx, reflect.ValueOf(value)); err != nil {
		return nil, err
	}
	return value, nil
}

func granted(context.Context) (any, error) { return nil, nil } //nolint:nilnil // nothing is resolved here

// entities refuses an operation that asks by key for entities of a type that the
// caller may not see, before any of them is looked for: even whether there is one
// must not show.
func (d *demands) entities(ctx context.Context, operation *graphql.OperationContext) error {
	count := counter{variables: operation.Variables, asked: map[string]bool{}}
	count.entities(operation.Operation.SelectionSet)
	for name := range count.asked {
		if err := fulfil(ctx, d.types[name]); err != nil {
			return err
		}
	}
	return nil
}

// errNoScopes answers where no scope can be held.
var errNoScopes = fault.Forbidden("nobody may ask for this")
