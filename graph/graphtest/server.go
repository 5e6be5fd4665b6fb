package graphtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Server answers operations about a world. It implements router.LocalSubgraph, and
// http.Handler for those who ask from afar.
type Server struct {
	world  *World
	schema *ast.Schema
	// name is the subgraph's.
	name string
	// whole is whether it knows everything by itself.
	whole bool
}

// Subgraph is the server of one subgraph.
func (w *World) Subgraph(name string) *Server {
	return &Server{world: w, schema: w.subgraphs[name], name: name}
}

// Whole is a server that has all types of a client's schema.
func (w *World) Whole(sdl string) (*Server, error) {
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "whole", Input: sdl})
	if err != nil {
		return nil, err
	}
	return &Server{world: w, schema: schema, whole: true}, nil
}

// Schema is what the server validates against.
func (s *Server) Schema() *ast.Schema { return s.schema }

// ServeHTTP answers POST of a request as JSON.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Query         string
		OperationName string
		Variables     json.RawMessage
	}
	text, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.Execute(r.Context(), body.Query, body.OperationName, body.Variables))
}

// Execute runs an operation and returns the response.
func (s *Server) Execute(_ context.Context, query, operationName string, variables []byte) []byte {
	return s.execute(query, operationName, variables, 0)
}

// Subscribe delivers the events of a subscription.
func (s *Server) Subscribe(_ context.Context, query, operationName string, variables []byte, deliver func([]byte) error) error {
	for number := range Events {
		if err := deliver(s.execute(query, operationName, variables, number)); err != nil {
			return err
		}
	}
	return nil
}

// execute runs an operation; event is which one a subscription's is.
func (s *Server) execute(query, operationName string, variables []byte, event int) []byte {
	doc, errs := gqlparser.LoadQueryWithRules(s.schema, query, rules.NewDefaultRules())
	if len(errs) > 0 {
		return refusal(fmt.Errorf("%w in %s", errs, query))
	}
	operation := doc.Operations.ForName(operationName)
	given := map[string]any{}
	if len(variables) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(variables))
		decoder.UseNumber()
		if err := decoder.Decode(&given); err != nil {
			return refusal(err)
		}
	}
	coerced, err := validator.VariableValues(s.schema, operation, given)
	if err != nil {
		return refusal(err)
	}
	root, thing := s.schema.Query, Root(s.schema.Query.Name)
	switch operation.Operation {
	case ast.Mutation:
		root, thing = s.schema.Mutation, Root(s.schema.Mutation.Name)
	case ast.Subscription:
		root, thing = s.schema.Subscription, Event(s.schema.Subscription.Name, event)
	}
	run := &run{server: s, doc: doc, variables: coerced}
	data, ok := run.object(root, thing, []ast.SelectionSet{operation.SelectionSet}, nil)
	if !ok {
		data = []byte("null")
	}
	var out bytes.Buffer
	out.WriteByte('{')
	if len(run.errors) > 0 {
		encoded, err := json.Marshal(run.errors)
		if err != nil {
			return refusal(err)
		}
		fmt.Fprintf(&out, `"errors":%s,`, encoded)
	}
	fmt.Fprintf(&out, `"data":%s}`, data)
	return out.Bytes()
}

func refusal(err error) []byte {
	out, _ := json.Marshal(map[string]any{"errors": gqlerror.List{gqlerror.Wrap(err)}, "data": nil}) // strings encode
	return out
}

// run is one running operation.
type run struct {
	server    *Server
	doc       *ast.QueryDocument
	variables map[string]any
	errors    []map[string]any
}

// collected is what a response name asks for.
type collected struct {
	name   string
	fields []*ast.Field
}

// object renders an object; false if a field inside has no value and must have one.
func (r *run) object(d *ast.Definition, t Thing, sets []ast.SelectionSet, path []any) ([]byte, bool) {
	var found []*collected
	for _, set := range sets {
		found = r.collect(d, set, found)
	}
	out := []byte{'{'}
	whole := true
	for i, c := range found {
		if i > 0 {
			out = append(out, ',')
		}
		name, _ := json.Marshal(c.name)
		out = append(append(out, name...), ':')
		at := append(slices.Clone(path), any(c.name))
		if c.fields[0].Name == "__typename" {
			out = fmt.Appendf(out, "%q", d.Name)
			continue
		}
		value, err := r.resolve(t, c.fields[0])
		if err != nil {
			r.fail(err, at)
		}
		var inner []ast.SelectionSet
		for _, f := range c.fields {
			inner = append(inner, f.SelectionSet)
		}
		text, ok := r.complete(c.fields[0].Definition.Type, value, inner, at, err != nil)
		whole = whole && ok
		out = append(out, text...)
	}
	return append(out, '}'), whole
}

func (r *run) fail(err error, path []any) {
	r.errors = append(r.errors, map[string]any{"message": err.Error(), "path": path, "extensions": map[string]any{"code": Code(err)}})
}

func (r *run) resolve(t Thing, field *ast.Field) (any, error) {
	args, w := r.arguments(field), r.server.world
	for _, d := range field.Definition.Arguments {
		if value, ok := args[d.Name]; ok && !r.fits(value, d.Type) {
			return nil, errNull
		}
	}
	if field.Name == "_entities" {
		var out []any
		for _, given := range args["representations"].([]any) {
			representation := given.(map[string]any)
			id, ok := w.identify(representation)
			if !ok {
				return nil, fmt.Errorf("no identity in %v", representation)
			}
			entity := Thing{typeName: representation["__typename"].(string), id: id, given: representation}
			if w.gaps && r.server.lacking(entity) {
				out = append(out, nil)
				continue
			}
			out = append(out, entity)
		}
		return out, nil
	}
	args = normal(r.server.schema, field.Definition.Arguments, args)
	if r.server.whole {
		return w.Answer(r.server.schema, t, field.Definition, args)
	}
	required := ""
	if set := w.requires[t.typeName+"."+field.Name]; set != nil {
		var err error
		if required, err = handedText(t.given, set); err != nil {
			return nil, err
		}
	}
	return w.value(r.server.schema, t, field.Definition, args, required)
}

// complete renders a value of a type. failed says that its error is told already.
func (r *run) complete(t *ast.Type, value any, sets []ast.SelectionSet, path []any, failed bool) ([]byte, bool) {
	if err, is := value.(error); is {
		r.fail(err, path)
		value, failed = nil, true
	}
	text, ok := r.nullable(t, value, sets, path)
	if !ok {
		return []byte("null"), !t.NonNull // the reason is told further in
	}
	if text == nil {
		if t.NonNull && !failed {
			r.fail(errVoid, path)
		}
		return []byte("null"), !t.NonNull
	}
	return text, true
}

// nullable renders a value: nil for null, false for one whose inside must not be null.
func (r *run) nullable(t *ast.Type, value any, sets []ast.SelectionSet, path []any) ([]byte, bool) {
	switch v := value.(type) {
	case nil:
		return nil, true
	case []any:
		out, whole := []byte{'['}, true
		for i, item := range v {
			if i > 0 {
				out = append(out, ',')
			}
			text, ok := r.complete(t.Elem, item, sets, append(slices.Clone(path), any(i)), false)
			whole = whole && ok
			out = append(out, text...)
		}
		return append(out, ']'), whole
	case Thing:
		return r.object(r.server.schema.Types[v.typeName], v, sets, path)
	}
	text, err := json.Marshal(value)
	return text, err == nil
}

// lacking is whether a subgraph does not know an entity.
func (s *Server) lacking(t Thing) bool {
	for _, f := range s.schema.Types[t.typeName].Fields {
		if s.world.alone[t.typeName+"."+f.Name] == s.name {
			return s.world.lacks(s.name, t)
		}
	}
	return false
}

func (r *run) collect(d *ast.Definition, set ast.SelectionSet, out []*collected) []*collected {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if r.skipped(s.Directives) {
				continue
			}
			at := slices.IndexFunc(out, func(c *collected) bool { return c.name == s.Alias })
			if at < 0 {
				out = append(out, &collected{name: s.Alias})
				at = len(out) - 1
			}
			out[at].fields = append(out[at].fields, s)
		case *ast.InlineFragment:
			if !r.skipped(s.Directives) && r.applies(s.TypeCondition, d) {
				out = r.collect(d, s.SelectionSet, out)
			}
		case *ast.FragmentSpread:
			if f := r.doc.Fragments.ForName(s.Name); !r.skipped(s.Directives) && r.applies(f.TypeCondition, d) {
				out = r.collect(d, f.SelectionSet, out)
			}
		}
	}
	return out
}

func (r *run) skipped(directives ast.DirectiveList) bool {
	for _, d := range directives {
		condition, _ := d.ArgumentMap(r.variables)["if"].(bool)
		if d.Name == "skip" && condition || d.Name == "include" && !condition {
			return true
		}
	}
	return false
}

func (r *run) applies(condition string, d *ast.Definition) bool {
	return condition == "" || condition == d.Name ||
		slices.ContainsFunc(r.server.schema.GetPossibleTypes(r.server.schema.Types[condition]), func(p *ast.Definition) bool { return p.Name == d.Name })
}

// arguments are those of a field, as the specification coerces them: a variable
// without a value is as if it were not written, and null in a list.
func (r *run) arguments(field *ast.Field) map[string]any {
	out := map[string]any{}
	for _, d := range field.Definition.Arguments {
		if given := field.Arguments.ForName(d.Name); given != nil {
			if value, ok := r.evaluate(given.Value); ok {
				out[d.Name] = value
				continue
			}
		}
		if d.DefaultValue != nil {
			out[d.Name], _ = r.evaluate(d.DefaultValue)
		}
	}
	return out
}

// errNull is what a field fails with whose argument is null, or has null inside, where
// a variable may be null and the place not.
var errNull = errors.New("null where there must be a value")

// fits is whether a value has no null where a type does not allow it.
func (r *run) fits(value any, t *ast.Type) bool {
	if value == nil {
		return !t.NonNull
	}
	if t.Elem != nil {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		return !slices.ContainsFunc(list, func(item any) bool { return !r.fits(item, t.Elem) })
	}
	fields, ok := value.(map[string]any)
	d := r.server.schema.Types[t.NamedType]
	if !ok || d.Kind != ast.InputObject {
		return true
	}
	return !slices.ContainsFunc(d.Fields, func(f *ast.FieldDefinition) bool {
		given, present := fields[f.Name]
		return present && !r.fits(given, f.Type)
	})
}

func (r *run) evaluate(v *ast.Value) (any, bool) {
	switch v.Kind {
	case ast.Variable:
		value, ok := r.variables[v.Raw]
		return value, ok
	case ast.ListValue:
		out := make([]any, len(v.Children))
		for i, child := range v.Children {
			out[i], _ = r.evaluate(child.Value)
		}
		return out, true
	case ast.ObjectValue:
		out := map[string]any{}
		for _, child := range v.Children {
			if value, ok := r.evaluate(child.Value); ok {
				out[child.Name] = value
			}
		}
		return out, true
	}
	value, err := v.Value(nil)
	return value, err == nil
}

// normal brings arguments into the form that they have however they were written:
// with the defaults of input fields, and a single value as a list where one is due.
func normal(schema *ast.Schema, definitions ast.ArgumentDefinitionList, args map[string]any) map[string]any {
	out := map[string]any{}
	for _, d := range definitions {
		if value, ok := args[d.Name]; ok {
			out[d.Name] = normalValue(schema, d.Type, value)
		}
	}
	return out
}

func normalValue(schema *ast.Schema, t *ast.Type, value any) any {
	if value == nil {
		return nil
	}
	if t.Elem != nil {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		out := make([]any, len(list))
		for i := range list {
			out[i] = normalValue(schema, t.Elem, list[i])
		}
		return out
	}
	fields, ok := value.(map[string]any)
	d := schema.Types[t.NamedType]
	if !ok || d.Kind != ast.InputObject {
		return value
	}
	out := map[string]any{}
	for _, f := range d.Fields {
		given, present := fields[f.Name]
		switch {
		case present:
			out[f.Name] = normalValue(schema, f.Type, given)
		case f.DefaultValue != nil:
			if initial, err := f.DefaultValue.Value(nil); err == nil {
				out[f.Name] = normalValue(schema, f.Type, initial)
			}
		}
	}
	return out
}
