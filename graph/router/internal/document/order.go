package document

import (
	"maps"
	"slices"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
)

// Order is in which order an operation asks for fields, which is that of the answer
// (GraphQL specification, Serialized Map Ordering). On interfaces and unions the
// engine answers in the order of fragments that it has merged.
type Order struct {
	shapes *Shapes
	root   string
	asked  []*asking
	// copies is how many nodes of a plan may still be made.
	copies int
}

// asking is a field that is asked for, or a fragment, which has no name.
type asking struct {
	name, of string   // the response name of a field, and its type
	types    []string // those that a fragment applies to; nil for all
	inner    []*asking
}

// answered is a field of an object of one type, with all that is asked of it.
type answered struct {
	name, of string
	inner    [][]*asking
}

// maxOrderCopies bounds how much larger a plan may become for the sake of its order.
const maxOrderCopies = 2000

// Order reads the order of the chosen operation, whose fragments stand inline.
// letters are the values of its conditions. It is nil where no fragment can matter.
func (d *Document) Order(schema *ast.Document, shapes *Shapes, letters string) *Order {
	if len(d.AST.InlineFragments) == 0 {
		return nil
	}
	r := orderReader{doc: &d.AST, shapes: shapes, conditions: map[string]bool{}}
	for i, c := range d.Conditions {
		r.conditions[c.name] = letters[i] == 't'
	}
	root := RootType(schema, d.Kind)
	return &Order{shapes, root, r.set(d.AST.OperationDefinitions[d.Operation].SelectionSet, root), maxOrderCopies}
}

type orderReader struct {
	doc        *ast.Document
	shapes     *Shapes
	conditions map[string]bool
}

func (r *orderReader) set(set int, on string) (out []*asking) {
	for _, ref := range r.doc.SelectionSets[set].SelectionRefs {
		switch s := r.doc.Selections[ref]; s.Kind {
		case ast.SelectionKindField:
			if !r.included(r.doc.Fields[s.Ref].Directives.Refs) {
				continue
			}
			a := &asking{name: r.doc.FieldAliasOrNameString(s.Ref), of: r.shapes.fields[[2]string{on, r.doc.FieldNameString(s.Ref)}]}
			if inner, ok := r.doc.FieldSelectionSet(s.Ref); ok {
				a.inner = r.set(inner, a.of)
			}
			out = append(out, a)
		case ast.SelectionKindInlineFragment:
			inner, ok := r.doc.InlineFragmentSelectionSet(s.Ref)
			if !ok || !r.included(r.doc.InlineFragments[s.Ref].Directives.Refs) {
				continue
			}
			a, within := &asking{}, on
			if condition := r.doc.InlineFragmentTypeConditionNameString(s.Ref); condition != "" {
				a.types, within = r.shapes.possible[condition], condition
			}
			a.inner = r.set(inner, within)
			out = append(out, a)
		}
	}
	return out
}

// included is what @skip and @include decide.
func (r *orderReader) included(directives []int) bool {
	for _, ref := range directives {
		name := r.doc.DirectiveNameString(ref)
		value, ok := r.doc.DirectiveArgumentValueByName(ref, []byte("if"))
		if !ok || name != "skip" && name != "include" {
			continue
		}
		var condition bool
		if value.Kind == ast.ValueKindBoolean {
			condition = bool(r.doc.BooleanValue(value.Ref))
		} else {
			condition = r.conditions[r.doc.VariableValueNameString(value.Ref)]
		}
		if condition == (name == "skip") {
			return false
		}
	}
	return true
}

// Arrange puts the fields of a finished plan, which have their clients' names, into
// order. A nil order changes nothing.
func (o *Order) Arrange(data *resolve.Object) {
	if o != nil {
		o.object(data, [][]*asking{o.asked}, o.shapes.possible[o.root])
	}
}

func (o *Order) object(n *resolve.Object, asked [][]*asking, possible []string) {
	want := map[string][]*answered{}
	for _, t := range possible {
		want[t] = collect(asked, t, nil)
	}
	n.Fields = o.arranged(n.Fields, possible, want)
	for _, f := range n.Fields {
		inner, types := objectIn(f.Value), typesOf(f, possible)
		if inner == nil || len(types) == 0 {
			continue
		}
		first := answerTo(want[types[0]], string(f.Name))
		if first == nil || slices.ContainsFunc(types[1:], func(t string) bool {
			other := answerTo(want[t], string(f.Name))
			return other == nil || !same(first.inner, other.inner)
		}) { // the engine's own, or one object for different selections, which SetApart prevents
			continue
		}
		o.object(inner, first.inner, o.shapes.possible[first.of])
	}
}

// arranged are the fields of an object, in the order that each of its types wants.
func (o *Order) arranged(fields []*resolve.Field, possible []string, want map[string][]*answered) []*resolve.Field {
	named := map[[2]string]*resolve.Field{} // by type and name
	count := map[string]int{}
	for _, f := range fields {
		for _, t := range typesOf(f, possible) {
			named[[2]string{t, string(f.Name)}] = f
			count[t]++
		}
	}
	queues := map[string][]*resolve.Field{}
	for _, t := range possible {
		for _, a := range want[t] {
			if f := named[[2]string{t, a.name}]; f != nil {
				queues[t] = append(queues[t], f)
			}
		}
		if len(queues[t]) != count[t] { // fields that the engine has added, or has not merged
			return fields
		}
	}
	var out []*resolve.Field
	left := slices.Clone(fields)
	rest := maps.Clone(queues)
	for len(left) > 0 {
		next := slices.IndexFunc(left, func(f *resolve.Field) bool {
			return !slices.ContainsFunc(typesOf(f, possible), func(t string) bool { return rest[t][0] != f })
		})
		if next < 0 { // the types want different orders
			return o.apart(fields, possible, queues)
		}
		for _, t := range typesOf(left[next], possible) {
			rest[t] = rest[t][1:]
		}
		out = append(out, left[next])
		left = slices.Delete(left, next, next+1)
	}
	return out
}

// apart are fields of each type for itself.
func (o *Order) apart(fields []*resolve.Field, possible []string, queues map[string][]*resolve.Field) []*resolve.Field {
	var out []*resolve.Field
	for _, t := range possible {
		for _, f := range queues[t] {
			if o.copies < 0 {
				return fields
			}
			c := *f
			c.Value, c.OnTypeNames = o.copied(f.Value), [][]byte{[]byte(t)}
			out = append(out, &c)
		}
	}
	return out
}

func (o *Order) copied(node resolve.Node) resolve.Node {
	o.copies--
	switch n := node.(type) {
	case *resolve.Object:
		c := *n
		c.Fields = slices.Clone(n.Fields)
		for i, f := range c.Fields {
			inner := *f
			inner.Value = o.copied(f.Value)
			c.Fields[i] = &inner
		}
		return &c
	case *resolve.Array:
		c := *n
		c.Item = o.copied(n.Item)
		return &c
	}
	return node
}

// collect finds what selections ask of an object of a type, in order.
func collect(asked [][]*asking, t string, out []*answered) []*answered {
	for _, set := range asked {
		for _, a := range set {
			if a.name == "" {
				if a.types == nil || slices.Contains(a.types, t) {
					out = collect([][]*asking{a.inner}, t, out)
				}
				continue
			}
			known := answerTo(out, a.name)
			if known == nil {
				known = &answered{name: a.name, of: a.of}
				out = append(out, known)
			}
			known.inner = append(known.inner, a.inner)
		}
	}
	return out
}

func answerTo(list []*answered, name string) *answered {
	if i := slices.IndexFunc(list, func(a *answered) bool { return a.name == name }); i >= 0 {
		return list[i]
	}
	return nil
}

// same is whether two lists of selections are the same ones.
func same(a, b [][]*asking) bool {
	return slices.EqualFunc(a, b, func(a, b []*asking) bool { return len(a) == len(b) && (len(a) == 0 || a[0] == b[0]) })
}

// typesOf are the types of an object for which a field is there.
func typesOf(f *resolve.Field, possible []string) []string {
	if f.OnTypeNames == nil {
		return possible
	}
	var out []string
	for _, t := range f.OnTypeNames {
		if slices.Contains(possible, string(t)) {
			out = append(out, string(t))
		}
	}
	return out
}

// objectIn is the object that a value is, or a list of; nil if it is none.
func objectIn(node resolve.Node) *resolve.Object {
	switch n := node.(type) {
	case *resolve.Array:
		return objectIn(n.Item)
	case *resolve.Object:
		if len(n.Fields) == 1 && string(n.Fields[0].Name) == clienterr.Box {
			return objectIn(n.Fields[0].Value)
		}
		return n
	}
	return nil
}
