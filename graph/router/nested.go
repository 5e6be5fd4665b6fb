package router

import (
	"bytes"
	"slices"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
)

// box is the one field of an object that stands for a list within a list.
//
// The engine does not find objects in lists of lists again when it has something to
// add to them. Where a plan does that, lists within lists are put into objects when
// a subgraph answers, and taken out of them again before the client or another
// subgraph sees them.
const box = clienterr.Box

// boxLists rewrites a plan that adds to objects in lists of lists. It must come
// before the plan is completed.
func boxLists(response *resolve.GraphQLResponse) {
	if !completesNested(response) {
		return
	}
	for _, item := range response.RawFetches {
		item.FetchPath = boxedPath(response.Data, item.FetchPath)
	}
	boxNode(response.Data)
}

// completesNested is whether a fetch adds to objects in lists of lists.
func completesNested(response *resolve.GraphQLResponse) bool {
	return slices.ContainsFunc(response.RawFetches, func(item *resolve.FetchItem) bool {
		return len(boxedPath(response.Data, item.FetchPath)) > len(item.FetchPath)
	})
}

// boxedPath leads to the same objects when lists are boxed.
func boxedPath(root resolve.Node, path []resolve.FetchItemPathElement) []resolve.FetchItemPathElement {
	var out []resolve.FetchItemPathElement
	at := []resolve.Node{root}
	for _, element := range path {
		out = append(out, element)
		for _, name := range element.Path {
			at = fieldsAt(at, name)
		}
		for lists := itemsOf(at); len(lists) > 0; lists = itemsOf(at) {
			if at = lists; len(itemsOf(at)) > 0 {
				out = append(out, resolve.FetchItemPathElement{Kind: resolve.FetchItemPathElementKindArray, Path: []string{box}})
			}
		}
	}
	return out
}

func itemsOf(at []resolve.Node) []resolve.Node {
	var out []resolve.Node
	for _, n := range at {
		if list, ok := n.(*resolve.Array); ok {
			out = append(out, list.Item)
		}
	}
	return out
}

// fieldsAt are the fields that are read from a name, for several types.
func fieldsAt(at []resolve.Node, name string) []resolve.Node {
	var out []resolve.Node
	for _, n := range at {
		object, ok := n.(*resolve.Object)
		if !ok {
			continue
		}
		for _, f := range object.Fields {
			if path := f.Value.NodePath(); len(path) == 1 && path[0] == name {
				out = append(out, f.Value)
			}
		}
	}
	return out
}

func boxNode(node resolve.Node) {
	switch n := node.(type) {
	case *resolve.Object:
		for _, f := range n.Fields {
			boxNode(f.Value)
		}
	case *resolve.Array:
		boxNode(n.Item)
		if inner, ok := n.Item.(*resolve.Array); ok {
			inner.Path = []string{box}
			n.Item = &resolve.Object{Nullable: inner.Nullable, Fields: []*resolve.Field{{Name: []byte(box), Value: inner}}}
		}
	}
}

// hasBoxes is whether a plan boxes lists.
func hasBoxes(node resolve.Node) bool {
	switch n := node.(type) {
	case *resolve.Object:
		return slices.ContainsFunc(n.Fields, func(f *resolve.Field) bool { return string(f.Name) == box || hasBoxes(f.Value) })
	case *resolve.Array:
		return hasBoxes(n.Item)
	}
	return false
}

// boxed puts lists within lists into objects; what is no JSON stays as it is.
func boxed(answer []byte) []byte {
	return rewritten(answer, func(data *astjson.Value) *astjson.Value { return boxValue(data, false) })
}

// unboxed takes them out, of what a plan answers and of what a subgraph is asked.
func unboxed(text []byte) []byte {
	if !bytes.Contains(text, []byte(`"`+box+`"`)) {
		return text
	}
	return rewritten(text, func(v *astjson.Value) *astjson.Value {
		for _, e := range v.GetArray("errors") {
			withoutBoxes(e)
		}
		return unboxValue(v)
	})
}

// withoutBoxes takes boxes out of an error's path.
func withoutBoxes(e *astjson.Value) {
	path := astjson.ArrayValue(nil)
	for _, element := range e.GetArray("path") {
		if element.Type() != astjson.TypeString || string(element.GetStringBytes()) != box {
			path.SetArrayItem(nil, len(path.GetArray()), element)
		}
	}
	if e.Get("path") != nil {
		e.Set(nil, "path", path)
	}
}

func rewritten(text []byte, rewrite func(*astjson.Value) *astjson.Value) []byte {
	parsed, err := astjson.ParseBytes(text)
	if err != nil {
		return text
	}
	return rewrite(parsed).MarshalTo(nil)
}

func boxValue(v *astjson.Value, within bool) *astjson.Value {
	switch v.Type() {
	case astjson.TypeArray:
		for i, item := range v.GetArray() {
			v.SetArrayItem(nil, i, boxValue(item, true))
		}
		if within {
			object := astjson.ObjectValue(nil)
			object.Set(nil, box, v)
			return object
		}
	case astjson.TypeObject:
		eachMember(v, func(value *astjson.Value) *astjson.Value { return boxValue(value, false) })
	}
	return v
}

func unboxValue(v *astjson.Value) *astjson.Value {
	switch v.Type() {
	case astjson.TypeArray:
		for i, item := range v.GetArray() {
			v.SetArrayItem(nil, i, unboxValue(item))
		}
	case astjson.TypeObject:
		if list := v.Get(box); list != nil {
			return unboxValue(list)
		}
		eachMember(v, unboxValue)
	}
	return v
}

func eachMember(v *astjson.Value, rewrite func(*astjson.Value) *astjson.Value) {
	var names []string
	v.GetObject().Visit(func(key []byte, _ *astjson.Value) { names = append(names, string(key)) })
	for _, name := range names {
		v.Set(nil, name, rewrite(v.Get(name)))
	}
}
