// Package monolith answers operations about a made-up world as gqlgen does: one
// server of a whole client schema, for tests that compare the router with it.
//
// Below it, one folder a schema, is what gqlgen writes (graph/codegen). There are no
// resolvers: what a field is worth the world tells, by the field's own definition, so
// that a schema which grows needs nothing here.
package monolith

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/tradesage/tradesage/graph/graphtest"
)

// Schema is what gqlgen has made of a schema.
type Schema struct {
	Executable graphql.ExecutableSchema
	// Roots is the interface of all resolvers: there are the types of the roots' fields.
	Roots reflect.Type
	// Objects are the object types; each embeds a graphtest.Thing.
	Objects map[string]reflect.Type
}

// Server answers operations about a world by gqlgen's execution.
type Server struct {
	schema   Schema
	world    *graphtest.World
	executor *executor.Executor
	// OnMutation is called for each mutation, by its response name, before it runs.
	OnMutation func(name string)
}

// New returns the server of a schema and a world.
func New(schema Schema, world *graphtest.World) *Server {
	s := &Server{schema: schema, world: world, executor: executor.New(schema.Executable)}
	s.executor.AroundFields(s.resolve)
	s.executor.SetErrorPresenter(func(ctx context.Context, err error) *gqlerror.Error {
		out := graphql.DefaultErrorPresenter(ctx, err)
		if code := graphtest.Code(err); code != "" {
			out.Extensions = map[string]any{"code": code}
		}
		return out
	})
	return s
}

// Execute runs an operation and returns the response.
func (s *Server) Execute(ctx context.Context, query, operationName string, variables []byte) []byte {
	params := &graphql.RawParams{Query: query, OperationName: operationName}
	if len(variables) > 0 {
		if err := decode(variables, &params.Variables); err != nil {
			return encode(&graphql.Response{Errors: gqlerror.List{gqlerror.Wrap(err)}})
		}
	}
	next, ctx := s.begin(ctx, params)
	return encode(next(ctx))
}

// begin starts an operation, or says why not.
func (s *Server) begin(ctx context.Context, params *graphql.RawParams) (graphql.ResponseHandler, context.Context) {
	ctx = graphql.StartOperationTrace(ctx)
	operation, errs := s.executor.CreateOperationContext(ctx, params)
	if len(errs) > 0 {
		ctx = graphql.WithOperationContext(ctx, operation)
		return graphql.OneShot(s.executor.DispatchError(ctx, errs)), ctx
	}
	operation.DisableIntrospection = false
	leaveOut(operation.Doc, operation.Variables)
	return s.executor.DispatchOperation(ctx, operation)
}

// resolve is called in place of each field's resolver.
func (s *Server) resolve(ctx context.Context, next graphql.Resolver) (any, error) {
	field := graphql.GetFieldContext(ctx)
	if strings.HasPrefix(field.Object, "__") || strings.HasPrefix(field.Field.Name, "__") {
		return next(ctx)
	}
	if field.Object == "Mutation" && s.OnMutation != nil {
		s.OnMutation(field.Field.Alias)
	}
	args, err := arguments(ctx, field)
	if err != nil {
		return nil, err
	}
	owner, kind, err := s.owner(field)
	if err != nil {
		return nil, err
	}
	if kind.Kind() == reflect.Chan {
		return s.events(ctx, field, kind, args)
	}
	value, err := s.world.Answer(s.schema.Executable.Schema(), owner, field.Field.Definition, args)
	if err != nil || value == nil {
		return nil, err
	}
	return s.shape(kind, value).Interface(), nil
}

// arguments are those that gqlgen has coerced, without those that were left out.
func arguments(ctx context.Context, field *graphql.FieldContext) (map[string]any, error) {
	out := map[string]any{}
	for name := range field.Field.ArgumentMap(graphql.GetOperationContext(ctx).Variables) {
		text, err := json.Marshal(field.Args[name])
		if err != nil {
			return nil, err
		}
		var value any
		if err := decode(text, &value); err != nil {
			return nil, err
		}
		out[name] = value
	}
	return out, nil
}

// owner is the object that has a field, and the Go type of the field.
func (s *Server) owner(field *graphql.FieldContext) (graphtest.Thing, reflect.Type, error) {
	if root, ok := s.schema.Roots.MethodByName(field.Object); ok { // func() QueryResolver
		resolver, ok := member(root.Type.Out(0).NumMethod(), func(i int) string { return root.Type.Out(0).Method(i).Name }, field.Field.Name)
		if !ok {
			return graphtest.Thing{}, nil, fmt.Errorf("no resolver of %s.%s", field.Object, field.Field.Name)
		}
		return graphtest.Root(field.Object), root.Type.Out(0).Method(resolver).Type.Out(0), nil
	}
	for at := reflect.ValueOf(field.Parent.Result); at.IsValid(); at = at.Elem() {
		if at.Kind() != reflect.Pointer && at.Kind() != reflect.Interface {
			i, ok := member(at.NumField(), func(i int) string {
				name, _, _ := strings.Cut(at.Type().Field(i).Tag.Get("json"), ",")
				return name
			}, field.Field.Name)
			if !ok {
				break
			}
			return at.FieldByName("Thing").Interface().(graphtest.Thing), at.Field(i).Type(), nil
		}
	}
	return graphtest.Thing{}, nil, fmt.Errorf("%s.%s has no owner", field.Object, field.Field.Name)
}

// member finds a name among others, upper and lower case alike.
func member(count int, name func(int) string, want string) (int, bool) {
	for i := range count {
		if strings.EqualFold(name(i), want) {
			return i, true
		}
	}
	return 0, false
}

// shape makes a value of a Go type of what the world tells.
func (s *Server) shape(kind reflect.Type, value any) reflect.Value {
	switch v := value.(type) {
	case nil:
		return reflect.Zero(kind)
	case []any:
		out := reflect.MakeSlice(kind, len(v), len(v))
		for i := range v {
			out.Index(i).Set(s.shape(kind.Elem(), v[i]))
		}
		return out
	case graphtest.Thing:
		out := reflect.New(s.schema.Objects[v.Type()])
		out.Elem().FieldByName("Thing").Set(reflect.ValueOf(v))
		return out
	}
	if kind.Kind() == reflect.Pointer {
		out := reflect.New(kind.Elem())
		out.Elem().Set(s.shape(kind.Elem(), value))
		return out
	}
	return reflect.ValueOf(value).Convert(kind)
}

func decode(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// encode writes a response; the data stay as gqlgen has written them.
func encode(response *graphql.Response) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(response) // strings and what gqlgen has encoded
	return out.Bytes()
}
