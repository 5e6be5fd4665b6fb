package introspect

import (
	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

// includes is whether a field's includeDeprecated is true.
func (w *writer) includes(f *field) bool {
	if f.deprecated.variable == "" {
		return f.deprecated.value
	}
	if w.counting {
		return true
	}
	v := w.variables.Get(f.deprecated.variable)
	return v != nil && v.Type() == astjson.TypeTrue
}

// named is what all types of introspection but __Schema tell.
type named struct{ typeName, name, description string }

// named writes an object that has a name, and others of its members.
func (w *writer) named(fields []field, n named, other func(*field)) {
	w.object(fields, func(f *field) {
		switch f.name {
		case "__typename":
			w.text(n.typeName)
		case "name":
			w.text(n.name)
		case "description":
			w.textOrNull(n.description)
		default:
			other(f)
		}
	})
}

// object writes an object of what is asked for.
func (w *writer) object(fields []field, member func(*field)) {
	for i := range fields {
		w.begin(i, &fields[i])
		member(&fields[i])
	}
	w.end(len(fields))
}

// begin writes the i-th key of an object.
func (w *writer) begin(i int, f *field) {
	c := byte(',')
	if i == 0 {
		c = '{'
	}
	w.out = append(append(w.out, c), f.key...)
}

// end ends an object of n members.
func (w *writer) end(n int) {
	if n == 0 {
		w.out = append(w.out, '{')
	}
	w.out = append(w.out, '}')
	if w.counting && len(w.out) > 1<<12 {
		w.counted += len(w.out)
		w.out = w.out[:0]
	}
}

// item begins the i-th item of a list; it is false where enough is counted.
func (w *writer) item(i int) bool {
	if w.counting && w.counted > w.most {
		return false
	}
	c := byte(',')
	if i == 0 {
		c = '['
	}
	w.out = append(w.out, c)
	return true
}

// endList ends a list of n items.
func (w *writer) endList(n int) {
	if n == 0 {
		w.out = append(w.out, '[')
	}
	w.out = append(w.out, ']')
}

func (w *writer) null() { w.out = append(w.out, "null"...) }

func (w *writer) text(s string) { w.out = rawjson.AppendString(w.out, s) }

func (w *writer) textOrNull(s string) {
	if s == "" {
		w.null()
		return
	}
	w.text(s)
}

func (w *writer) boolOrNull(known, is bool) {
	switch {
	case !known:
		w.null()
	case is:
		w.out = append(w.out, "true"...)
	default:
		w.out = append(w.out, "false"...)
	}
}
