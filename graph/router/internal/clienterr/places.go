package clienterr

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

// EveryItem stands in the engine's paths for an item of a list: errors of entities
// that were fetched together do not say whose they are.
const EveryItem = "@"

// Box is the one field of an object of a plan that stands for a list within a list;
// it is in no path.
const Box = "__internal_ts_list"

var everyItemBytes = []byte(`"` + EveryItem + `"`)

// Placed gives errors of single entities their places in a response of a shape, as
// far as the data tell: an error is where a null is. voids are the places of fields
// that had no value and must have one. Where several places come into question, a
// path ends at the list.
func Placed(errs []Error, data []byte, shape *resolve.Object, voids []json.RawMessage) []Error {
	root, err := astjson.ParseBytes(data)
	if err != nil {
		return errs
	}
	p := &placing{root: root, errs: errs}
	for _, void := range voids {
		p.voids = append(p.voids, split(void))
	}
	groups := map[string][]int{}
	routes := map[string]*route{}
	for i := range errs {
		r := newRoute(shape, split(errs[i].Path))
		key := string(join(r.elements))
		if !bytes.Contains([]byte(key), everyItemBytes) {
			p.known = append(p.known, r.elements)
			continue
		}
		groups[key], routes[key] = append(groups[key], i), r
	}
	for key, members := range groups {
		p.place(routes[key], members)
	}
	return p.errs
}

// Unexplained are the places of fields without value, that must have one, of which no
// error tells the reason: none is in the same object, of which all fields of one
// service are null by it, or at a list around it.
func Unexplained(errs []Error, voids []json.RawMessage) []json.RawMessage {
	var out []json.RawMessage
	for _, void := range voids {
		elements := split(void)
		object := join(elements[:max(0, len(elements)-1)])
		if !slices.ContainsFunc(errs, func(e Error) bool { return within(void, e.Path) || within(e.Path, object) }) {
			out = append(out, void)
		}
	}
	return out
}

// within is whether a path is another one or leads further in from it.
func within(path, around json.RawMessage) bool {
	if len(around) < 2 || len(path) < len(around) {
		return false
	}
	open := around[:len(around)-1]
	return len(open) == 1 || bytes.HasPrefix(path, open) && (path[len(open)] == ',' || path[len(open)] == ']')
}

// route is where an error can be.
type route struct {
	elements []json.RawMessage
	// natural is how many elements lead to the null that an error there makes, entity
	// how many lead to the entity, at least.
	natural, entity int
}

// newRoute reads a path of the engine's, which goes through lists without saying so
// below fragments.
func newRoute(shape *resolve.Object, path []json.RawMessage) *route {
	r := &route{}
	var at []resolve.Node // fields of one name, for several types
	if shape != nil {
		at = []resolve.Node{shape}
	}
	step := func(element json.RawMessage, next []resolve.Node) {
		r.elements, at = append(r.elements, element), next
		if bytes.Equal(element, everyItemBytes) {
			r.entity = len(r.elements)
		}
		for _, n := range at {
			if n.NodeNullable() {
				r.natural = len(r.elements)
			}
		}
	}
	for _, element := range path {
		name, err := rawjson.DecodeString(element)
		if err != nil || name == EveryItem {
			step(element, items(at))
			continue
		}
		for inner := items(at); len(inner) > 0; inner = items(at) {
			step(everyItemBytes, inner)
		}
		step(element, named(at, name))
	}
	return r
}

func items(at []resolve.Node) []resolve.Node {
	var out []resolve.Node
	for _, n := range at {
		if object, ok := n.(*resolve.Object); ok && len(object.Fields) == 1 && string(object.Fields[0].Name) == Box {
			n = object.Fields[0].Value
		}
		if list, ok := n.(*resolve.Array); ok {
			out = append(out, list.Item)
		}
	}
	return out
}

func named(at []resolve.Node, name string) []resolve.Node {
	var out []resolve.Node
	for _, n := range at {
		if object, ok := n.(*resolve.Object); ok {
			for _, f := range object.Fields {
				if string(f.Name) == name {
					out = append(out, f.Value)
				}
			}
		}
	}
	return out
}

// placing gives the errors of one response their places.
type placing struct {
	root  *astjson.Value
	errs  []Error
	voids [][]json.RawMessage
	known [][]json.RawMessage // places of other errors
}

// null is a null on a route: the place to which the route leads by it, and how much
// of it there is.
type null struct {
	place []json.RawMessage
	depth int
}

// place gives errors of one route their places.
func (p *placing) place(r *route, members []int) {
	var nulls []null
	nullsAt(p.root, nil, r.elements, &nulls)
	var natural, other []null
	for _, n := range nulls {
		caused := p.caused(n.place[:n.depth])
		switch {
		case n.depth == r.natural && (caused || r.natural > r.entity):
			natural = append(natural, n)
		case n.depth != r.natural && caused: // may have swallowed it
			other = append(other, n)
		}
	}
	voids := p.matching(r.elements)
	for n, i := range members {
		switch {
		case len(natural) == len(members) && len(other) == 0 && !open(natural):
			p.errs[i].Path = join(natural[n].place)
		case len(voids) == len(members) || n < len(voids) && p.alike(members):
			p.errs[i].Path = r.from(voids[n])
		case len(natural) == 1 && len(other) == 0:
			p.errs[i].Path = untilList(natural[0].place)
		default:
			p.errs[i].Path = untilList(r.elements)
		}
	}
	if p.alike(members) { // an entity that is in several places is asked for once
		for n := len(members); n < len(voids); n++ {
			again := p.errs[members[0]]
			again.Path = r.from(voids[n])
			p.errs = append(p.errs, again)
		}
	}
}

// from is the end of a route whose beginning is known.
func (r *route) from(known []json.RawMessage) json.RawMessage {
	return join(append(known[:len(known):len(known)], r.elements[len(known):]...))
}

// open is whether a place still goes through lists whose item nobody knows.
func open(places []null) bool {
	for _, n := range places {
		if bytes.Contains(join(n.place), everyItemBytes) {
			return true
		}
	}
	return false
}

// caused is whether a null may follow from another error, or a field without value.
func (p *placing) caused(place []json.RawMessage) bool {
	for _, paths := range [][][]json.RawMessage{p.voids, p.known} {
		for _, path := range paths {
			if len(path) >= len(place) && matches(path[:len(place)], place) {
				return true
			}
		}
	}
	return false
}

// matching are the fields without value that lie on a route.
func (p *placing) matching(elements []json.RawMessage) [][]json.RawMessage {
	var out [][]json.RawMessage
	for _, void := range p.voids {
		if len(void) <= len(elements) && matches(void, elements[:len(void)]) && !bytes.Contains(join(elements[len(void):]), everyItemBytes) {
			out = append(out, void)
		}
	}
	return out
}

// matches is whether a path is on a route of the same length.
func matches(path, route []json.RawMessage) bool {
	for i := range path {
		item := bytes.Equal(route[i], everyItemBytes) && path[i][0] != '"'
		if !item && !bytes.Equal(path[i], route[i]) {
			return false
		}
	}
	return true
}

// alike is whether errors say the same, so that nobody can tell them apart.
func (p *placing) alike(members []int) bool {
	for _, i := range members[1:] {
		if a, b := p.errs[i], p.errs[members[0]]; a.Message != b.Message || a.Extensions != b.Extensions {
			return false
		}
	}
	return true
}

// nullsAt collects the nulls on a route.
func nullsAt(v *astjson.Value, before, rest []json.RawMessage, nulls *[]null) {
	here := before[:len(before):len(before)]
	switch {
	case v == nil: // not selected there
		return
	case v.Type() == astjson.TypeNull:
		*nulls = append(*nulls, null{append(here, rest...), len(before)})
		return
	case len(rest) == 0:
		return
	case v.Type() == astjson.TypeArray:
		list := v.GetArray()
		if n, err := strconv.Atoi(string(rest[0])); err == nil && n >= 0 && n < len(list) {
			nullsAt(list[n], append(here, rest[0]), rest[1:], nulls)
		}
		if !bytes.Equal(rest[0], everyItemBytes) {
			return
		}
		for i, item := range list {
			nullsAt(item, append(here, strconv.AppendInt(nil, int64(i), 10)), rest[1:], nulls)
		}
		return
	case v.Type() != astjson.TypeObject:
		return
	}
	name, err := rawjson.DecodeString(rest[0])
	if err != nil {
		return
	}
	nullsAt(v.Get(name), append(here, rest[0]), rest[1:], nulls)
}

// untilList renders a path up to the first list whose item nobody knows.
func untilList(elements []json.RawMessage) json.RawMessage {
	for i := range elements {
		if bytes.Equal(elements[i], everyItemBytes) {
			return join(elements[:i])
		}
	}
	return join(elements)
}

// split reads a path; none for what is no path.
func split(path json.RawMessage) []json.RawMessage {
	var elements []json.RawMessage
	if err := json.Unmarshal(path, &elements); err != nil {
		return nil
	}
	return elements
}

func join(elements []json.RawMessage) json.RawMessage {
	out := []byte{'['}
	for i, element := range elements {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, element...)
	}
	return append(out, ']')
}
