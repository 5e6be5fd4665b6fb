// Package introspect answers __schema and __type from a schema in memory. It takes
// them out of an operation before that is planned, and puts their answers beside those
// of the rest. (gqlgen's package of this name has empty lists where the specification
// has null, and knows no deprecated arguments of directives.)
package introspect

import (
	"cmp"
	"maps"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

// Source is a schema that is told.
type Source struct {
	schema     *ast.Schema
	types      []*ast.Definition // by name
	directives []*ast.DirectiveDefinition
}

// New makes a source of a valid schema. @defer is not told: it is understood, and
// nothing is deferred.
func New(schema *ast.Schema) *Source {
	s := &Source{schema: schema}
	s.types = slices.SortedFunc(maps.Values(schema.Types), func(a, b *ast.Definition) int { return cmp.Compare(a.Name, b.Name) })
	for _, name := range slices.Sorted(maps.Keys(schema.Directives)) {
		if name != "defer" {
			s.directives = append(s.directives, schema.Directives[name])
		}
	}
	return s
}

// Part is what an operation asks of the schema.
type Part struct {
	source *Source
	roots  []root
	// Alone is whether the operation asks for nothing else.
	Alone bool
	// Size is how many bytes the answer has at most, whatever the variables are.
	Size int
}

// root is a field of the operation, in the client's order.
type root struct {
	field
	// elsewhere is whether the rest of the operation answers it.
	elsewhere bool
	typeName  text
}

// field is one that an introspection asks for.
type field struct {
	response, name string // in the answer and in the schema
	key            string // the first as a JSON key
	deprecated     flag
	inner          []field
}

// flag and text are arguments: a variable, or a value.
type (
	flag struct {
		variable string
		value    bool
	}
	text struct{ variable, value string }
)

// Join adds the part's answer to that of the rest, {"data":{…}} perhaps with errors
// before data. It copies both. Where the rest has no data, nobody reads it.
func (p *Part) Join(answer []byte, variables *astjson.Value) []byte {
	var errs, data []byte
	rawjson.EachMember(answer, func(key string, value []byte) {
		switch key {
		case "errors":
			errs = value
		case "data":
			data = value
		}
	})
	if len(data) == 0 || data[0] != '{' {
		return answer
	}
	type member struct {
		key   string
		value []byte
	}
	var rest []member
	rawjson.EachMember(data, func(key string, value []byte) { rest = append(rest, member{key, value}) })
	const head = `{"data":`
	w := &writer{Source: p.source, variables: variables, out: make([]byte, 0, len(head)+p.Size+len(data)+2)}
	if errs == nil {
		w.out = append(w.out, head...)
	}
	w.out = append(w.out, '{')
	put := func(m member) { w.out = append(rawjson.AppendKey(w.out, rawjson.Key(m.key)), m.value...) }
	for i := range p.roots {
		r := &p.roots[i]
		if !r.elsewhere {
			w.out = rawjson.AppendKey(w.out, r.key)
			w.root(r)
			continue
		}
		at := slices.IndexFunc(rest, func(m member) bool { return m.key == r.response })
		if at >= 0 {
			put(rest[at])
			rest = slices.Delete(rest, at, at+1)
		}
	}
	for _, m := range rest { // what is not the client's
		put(m)
	}
	w.out = append(w.out, '}')
	if errs != nil {
		return clienterr.Joined(errs, w.out)
	}
	return append(w.out, '}')
}

// measure returns how many bytes the answer has at most; beyond most it stops.
func (p *Part) measure(most int) int {
	w := &writer{Source: p.source, counting: true, most: most}
	for i := range p.roots {
		if r := &p.roots[i]; !r.elsewhere {
			w.counted += len(r.key) + 1
			w.widest(r)
		}
	}
	return w.counted + len(w.out)
}
