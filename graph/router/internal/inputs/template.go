package inputs

import (
	"strings"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

// holeKey marks, in an extracted literal, the place of a variable that is used
// inside of it, as in `filter: {name: $name}`. The literal is extracted once,
// before any value is known, with {"$":"name"} in the variable's place. No GraphQL
// literal can hold such an object: names have no dollar sign.
const holeKey = "$"

// hole renders the mark for a variable whose type has so many list levels. It has
// as many brackets, so that nothing takes it for a single value to be wrapped.
func hole(name string, levels int) string {
	return strings.Repeat("[", levels) + `{"` + holeKey + `":"` + name + `"}` + strings.Repeat("]", levels)
}

// template is an extracted literal with its holes.
type template struct {
	json  string     // the whole text, if there is no hole inside
	hole  string     // the name of the variable that stands here
	list  []template // the items of a list
	keys  []string   // the keys of an object, rendered with their colons
	items []template // the members of that object
}

// newTemplate reads a literal; levels gives each variable's list levels.
func newTemplate(value *astjson.Value, levels map[string]int) template {
	if name, depth := findHole(value); name != "" && depth == levels[name] {
		return template{hole: name}
	}
	t := template{}
	constant := true
	switch value.Type() {
	case astjson.TypeArray:
		for _, item := range value.GetArray() {
			t.list = append(t.list, newTemplate(item, levels))
			constant = constant && t.list[len(t.list)-1].json != ""
		}
	case astjson.TypeObject:
		value.GetObject().Visit(func(key []byte, member *astjson.Value) {
			t.keys = append(t.keys, rawjson.Key(string(key)))
			t.items = append(t.items, newTemplate(member, levels))
			constant = constant && t.items[len(t.items)-1].json != ""
		})
	}
	if constant {
		return template{json: string(value.MarshalTo(nil))}
	}
	return t
}

// findHole returns the name in a mark and how many lists of one item surround it.
func findHole(value *astjson.Value) (name string, depth int) {
	for value.Type() == astjson.TypeArray {
		items := value.GetArray()
		if len(items) != 1 {
			return "", 0
		}
		value, depth = items[0], depth+1
	}
	if value.Type() != astjson.TypeObject {
		return "", 0
	}
	return string(value.GetStringBytes(holeKey)), depth
}

// render appends the literal with fill's values in its holes. A variable without
// a value is null in a list and absent in an object, as the specification has it;
// ok is false if the whole literal is such a variable.
func (t *template) render(out []byte, fill func(out []byte, name string) ([]byte, bool, error)) (_ []byte, ok bool, err error) {
	switch {
	case t.json != "":
		return append(out, t.json...), true, nil
	case t.hole != "":
		return fill(out, t.hole)
	case t.list != nil:
		out = append(out, '[')
		for i := range t.list {
			if i > 0 {
				out = append(out, ',')
			}
			if out, ok, err = t.list[i].render(out, fill); err != nil {
				return out, false, err
			} else if !ok {
				out = append(out, "null"...)
			}
		}
		return append(out, ']'), true, nil
	}
	out = append(out, '{')
	for i := range t.items {
		before := len(out)
		out = rawjson.AppendKey(out, t.keys[i])
		if out, ok, err = t.items[i].render(out, fill); err != nil {
			return out, false, err
		} else if !ok {
			out = out[:before]
		}
	}
	return append(out, '}'), true, nil
}
