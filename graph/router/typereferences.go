package router

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/datasource/introspection_datasource"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"
)

// typeSource is the engine's introspection with the types behind references: where a
// field's type, or one of those of an interface, is asked for more than its name, the
// engine alone would answer null.
type typeSource struct {
	resolve.DataSource
	shape resolve.Node
}

// maxReferences bounds how many references of one introspection are followed.
const maxReferences = 100_000

var errManyReferences = errors.New("an introspection follows too many references")

// attachTypes gives an introspection of a plan the types behind references, where it
// asks for any.
func attachTypes(item *resolve.FetchItem, op *operation) {
	fetch, ok := item.Fetch.(*resolve.SingleFetch)
	if !ok || len(fetch.PostProcessing.MergePath) != 1 {
		return
	}
	if _, ok = fetch.DataSource.(*introspection_datasource.Source); !ok {
		return
	}
	for _, f := range op.response.Data.Fields {
		if path := f.Value.NodePath(); slices.Equal(path, fetch.PostProcessing.MergePath) && followsReferences(f.Value) {
			fetch.DataSource = &typeSource{fetch.DataSource, f.Value}
			return
		}
	}
}

// inReferences are the fields of a type that a reference to it has.
var inReferences = []string{"kind", "name", "ofType", "__typename"}

// beyondReference is whether more of an object is asked for than a reference has.
func beyondReference(o *resolve.Object) bool {
	return slices.ContainsFunc(o.Fields, func(f *resolve.Field) bool {
		path := f.Value.NodePath()
		return len(path) == 1 && !slices.Contains(inReferences, path[0])
	})
}

// followsReferences is whether more of the types behind references is asked for than
// their names.
func followsReferences(node resolve.Node) bool {
	switch n := node.(type) {
	case *resolve.Array:
		return followsReferences(n.Item)
	case *resolve.Object:
		return slices.ContainsFunc(n.Fields, func(f *resolve.Field) bool {
			value := f.Value
			if list, ok := value.(*resolve.Array); ok {
				value = list.Item
			}
			path := f.Value.NodePath()
			inner, ok := value.(*resolve.Object)
			if ok && len(path) == 1 && slices.Contains([]string{"type", "ofType", "interfaces", "possibleTypes"}, path[0]) && beyondReference(inner) {
				return true
			}
			return followsReferences(f.Value)
		})
	}
	return false
}

// Load implements resolve.DataSource.
func (s *typeSource) Load(ctx context.Context, headers http.Header, input []byte) ([]byte, error) {
	data, err := s.DataSource.Load(ctx, headers, input)
	if err != nil {
		return nil, err
	}
	text, err := s.DataSource.Load(ctx, headers, []byte(`{"request_type":1}`)) // the whole schema
	if err != nil {
		return nil, err
	}
	found, err := astjson.ParseBytes(data)
	if err != nil {
		return nil, err
	}
	schema, err := astjson.ParseBytes(text)
	if err != nil {
		return nil, err
	}
	f := &referred{types: map[string]*astjson.Value{}}
	for _, t := range schema.GetArray("types") {
		f.types[string(t.GetStringBytes("name"))] = t
	}
	out := f.copied(found, s.shape)
	if f.count > maxReferences {
		return nil, errManyReferences
	}
	return out.MarshalTo(nil), nil
}

// referred copies what a plan asks for of an introspection.
type referred struct {
	types map[string]*astjson.Value
	count int
}

func (f *referred) copied(v *astjson.Value, node resolve.Node) *astjson.Value {
	if v == nil || v.Type() == astjson.TypeNull || f.count > maxReferences {
		return v
	}
	switch n := node.(type) {
	case *resolve.Array:
		out := astjson.ArrayValue(nil)
		for i, item := range v.GetArray() {
			out.SetArrayItem(nil, i, f.copied(item, n.Item))
		}
		return out
	case *resolve.Object:
		return f.object(v, n)
	}
	return v
}

func (f *referred) object(v *astjson.Value, n *resolve.Object) *astjson.Value {
	if whole := f.types[string(v.GetStringBytes("name"))]; whole != nil && v.Get("kind") != nil && v.Get("fields") == nil && beyondReference(n) {
		v = whole
		f.count++
	}
	out := astjson.ObjectValue(nil)
	for _, name := range []string{"__typename", "isDeprecated"} { // by these, the engine chooses
		if member := v.Get(name); member != nil {
			out.Set(nil, name, member)
		}
	}
	for _, field := range n.Fields {
		path := field.Value.NodePath()
		if len(path) != 1 || v.Get(path[0]) == nil {
			continue
		}
		member := f.copied(v.Get(path[0]), field.Value)
		if before := out.Get(path[0]); before != nil { // by another alias
			if merged, _, err := astjson.MergeValues(nil, before, member); err == nil {
				member = merged
			}
		}
		out.Set(nil, path[0], member)
	}
	return out
}
