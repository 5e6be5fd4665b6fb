package router_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/tradesage/tradesage/internal/fault"
)

// subgraph is a small GraphQL executor for tests. It validates what the router
// sends against the subgraph's own schema, evaluates entities, coerces variables
// and propagates nulls; it remembers each request.
type subgraph struct {
	name     string
	schema   *ast.Schema
	fields   map[string]resolver
	entities map[string]func(representation object) (any, error)

	feed feed

	mu    sync.Mutex
	calls []call
}

type (
	object   = map[string]any
	resolver func(ctx context.Context, parent object, args object) (any, error)
	call     struct {
		Query     string
		Variables object
	}
)

const federationPrelude = `
scalar _Any
scalar FieldSet
scalar LinkImport
directive @link(url: String!, import: [LinkImport]) repeatable on SCHEMA
directive @key(fields: FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE
directive @requires(fields: FieldSet!) on FIELD_DEFINITION
directive @external on OBJECT | FIELD_DEFINITION
directive @shareable repeatable on OBJECT | FIELD_DEFINITION
directive @inaccessible on FIELD_DEFINITION | OBJECT
directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
directive @requiresScopes(scopes: [[String!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
`

func newSubgraph(tb testing.TB, fixture, name string) *subgraph {
	tb.Helper()
	sdl, err := os.ReadFile(filepath.Join("testdata", fixture, name, "schema.graphqls"))
	if err != nil {
		tb.Fatal(err)
	}
	text := federationPrelude + string(sdl)
	var members []string
	for line := range strings.Lines(string(sdl)) {
		if rest, ok := strings.CutPrefix(line, "type "); ok && strings.Contains(rest, "@key") {
			members = append(members, strings.Fields(rest)[0])
		}
	}
	text += "\nunion _Entity = " + strings.Join(members, " | ") + "\n"
	query := "type"
	if strings.Contains(text, "type Query") {
		query = "extend type"
	}
	text += query + " Query { _entities(representations: [_Any!]!): [_Entity]! }\n"
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: name, Input: text})
	if err != nil {
		tb.Fatal(err)
	}
	return &subgraph{name: name, schema: schema, fields: map[string]resolver{}, entities: map[string]func(object) (any, error){}}
}

// Calls returns the requests so far.
func (s *subgraph) Calls() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]call(nil), s.calls...)
}

func (s *subgraph) Execute(ctx context.Context, query, operationName string, variables []byte) []byte {
	var vars object
	if len(variables) > 0 {
		decoder := json.NewDecoder(strings.NewReader(string(variables)))
		decoder.UseNumber()
		if err := decoder.Decode(&vars); err != nil {
			return failed(gqlerror.List{gqlerror.Errorf("variables: %v", err)})
		}
	}
	s.mu.Lock()
	s.calls = append(s.calls, call{Query: query, Variables: vars})
	s.mu.Unlock()
	doc, errs := gqlparser.LoadQueryWithRules(s.schema, query, rules.NewDefaultRules())
	if len(errs) > 0 {
		return failed(errs)
	}
	operation := doc.Operations.ForName(operationName)
	coerced, err := validator.VariableValues(s.schema, operation, vars)
	if err != nil {
		return failed(gqlerror.List{gqlerror.Wrap(err)})
	}
	run := &execution{subgraph: s, doc: doc, vars: coerced}
	root := s.schema.Query
	switch operation.Operation {
	case ast.Mutation:
		root = s.schema.Mutation
	case ast.Subscription:
		root = s.schema.Subscription
	}
	data, ok := run.object(ctx, root, object{}, operation.SelectionSet, nil)
	response := object{"data": data}
	if !ok {
		response["data"] = nil
	}
	if len(run.errors) > 0 {
		response["errors"] = run.errors
	}
	out, err := json.Marshal(response)
	if err != nil {
		return failed(gqlerror.List{gqlerror.Wrap(err)})
	}
	return out
}

func failed(errs gqlerror.List) []byte {
	out, err := json.Marshal(object{"data": nil, "errors": errs})
	if err != nil {
		panic(err)
	}
	return out
}

type execution struct {
	subgraph *subgraph
	doc      *ast.QueryDocument
	vars     object
	errors   []object
}

// object evaluates a selection set; the second result is false if a non-null
// field inside has no value.
func (e *execution) object(ctx context.Context, def *ast.Definition, parent object, set ast.SelectionSet, path []any) (any, bool) {
	out := object{}
	for _, field := range e.collect(def, set, nil) {
		at := append(append([]any(nil), path...), field.Alias)
		if field.Name == "__typename" {
			out[field.Alias] = def.Name
			continue
		}
		value, err := e.resolve(ctx, def, parent, field)
		if err != nil {
			e.fail(err, at)
		}
		completed, ok := e.complete(ctx, field.Definition.Type, value, field.SelectionSet, at)
		if !ok {
			return nil, false
		}
		out[field.Alias] = completed
	}
	return out, true
}

func (e *execution) resolve(ctx context.Context, def *ast.Definition, parent object, field *ast.Field) (any, error) {
	args := field.ArgumentMap(e.vars)
	if field.Name == "_entities" {
		var out []any
		for _, r := range args["representations"].([]any) {
			representation := r.(object)
			name := representation["__typename"].(string)
			entity, err := e.subgraph.entities[name](representation)
			if err != nil {
				return nil, err
			}
			if o, ok := entity.(object); ok {
				o["__typename"] = name
			}
			out = append(out, entity)
		}
		return out, nil
	}
	if resolve, ok := e.subgraph.fields[def.Name+"."+field.Name]; ok {
		return resolve(ctx, parent, args)
	}
	return parent[field.Name], nil
}

func (e *execution) complete(ctx context.Context, t *ast.Type, value any, set ast.SelectionSet, path []any) (any, bool) {
	if value == nil {
		return nil, !t.NonNull
	}
	if t.Elem != nil {
		out := []any{}
		for i, item := range value.([]any) {
			completed, ok := e.complete(ctx, t.Elem, item, set, append(append([]any(nil), path...), i))
			if !ok {
				return nil, !t.NonNull
			}
			out = append(out, completed)
		}
		return out, true
	}
	def := e.subgraph.schema.Types[t.NamedType]
	if def.IsLeafType() {
		return value, true
	}
	o := value.(object)
	if def.IsAbstractType() {
		def = e.subgraph.schema.Types[o["__typename"].(string)]
	}
	completed, ok := e.object(ctx, def, o, set, path)
	if !ok {
		return nil, !t.NonNull
	}
	return completed, true
}

func (e *execution) collect(def *ast.Definition, set ast.SelectionSet, out []*ast.Field) []*ast.Field {
	applies := func(condition string) bool {
		if condition == "" || condition == def.Name {
			return true
		}
		for _, possible := range e.subgraph.schema.GetPossibleTypes(e.subgraph.schema.Types[condition]) {
			if possible.Name == def.Name {
				return true
			}
		}
		return false
	}
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			out = append(out, s)
		case *ast.InlineFragment:
			if applies(s.TypeCondition) {
				out = e.collect(def, s.SelectionSet, out)
			}
		case *ast.FragmentSpread:
			if fragment := e.doc.Fragments.ForName(s.Name); applies(fragment.TypeCondition) {
				out = e.collect(def, fragment.SelectionSet, out)
			}
		}
	}
	return out
}

func (e *execution) fail(err error, path []any) {
	out := object{"message": err.Error(), "path": path}
	if f, ok := fault.As(err); ok {
		out["message"] = f.Message
		extensions := object{"code": f.Code, "secret": "stack trace"}
		if f.Field != "" {
			extensions["field"] = f.Field
		}
		if f.RetryAfter > 0 {
			extensions["retryAfter"] = f.RetryAfter.Seconds()
		}
		out["extensions"] = extensions
	}
	e.errors = append(e.errors, out)
}

func list[T any](items ...T) []any {
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = item
	}
	return out
}

func notFound(kind string, id any) error { return fault.NotFound(fmt.Sprintf("no %s %v", kind, id)) }
