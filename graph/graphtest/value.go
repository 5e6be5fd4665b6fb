package graphtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// errMishap is what fields fail with.
var errMishap = errors.New("a mishap")

// Code is what clients read of an error of the world.
func Code(err error) string {
	switch {
	case errors.Is(err, errMishap):
		return "NOT_FOUND"
	case errors.Is(err, errNull):
		return "INVALID_INPUT"
	}
	return "INTERNAL"
}

// Root is the object of a root type.
func Root(typeName string) Thing { return Thing{typeName: typeName} }

// Events is how many a subscription has.
const Events = 3

// Event is the object of the root type of subscriptions for one of the events, which
// never fail as a whole.
func Event(typeName string, number int) Thing {
	return Thing{typeName: typeName, id: strconv.Itoa(number)}
}

// Type names the type of a thing.
func (t Thing) Type() string { return t.typeName }

// Answer is what a field of a thing is worth to who knows everything: nil, a Thing, a
// []any of the like, or an int, float64, bool or string. The arguments are coerced.
func (w *World) Answer(schema *ast.Schema, t Thing, field *ast.FieldDefinition, args map[string]any) (any, error) {
	required, err := w.required(t, field.Name)
	if err != nil {
		return nil, err
	}
	return w.value(schema, t, field, args, required)
}

// value is what a field of a thing is worth. required is what the field requires.
func (w *World) value(schema *ast.Schema, t Thing, field *ast.FieldDefinition, args map[string]any, required string) (any, error) {
	at := t.typeName + "." + field.Name
	encoded, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	if w.within(t.typeName, field.Name) {
		return w.keyValue(schema, t, field), nil
	}
	if w.gaps && w.lacks(w.alone[at], t) {
		return nil, nil
	}
	h := w.hash(t.typeName, t.id, field.Name, string(encoded), required)
	if w.mishaps && h%29 == 3 && !w.sure[at] {
		return nil, errMishap
	}
	return w.made(schema, at, field.Type, h, w.sure[at]), nil
}

// keyValue shows the identity.
func (w *World) keyValue(schema *ast.Schema, t Thing, field *ast.FieldDefinition) any {
	name := field.Type.Name()
	if d := schema.Types[name]; d != nil && d.IsCompositeType() {
		return Thing{typeName: name, id: t.id}
	}
	if name == "Int" {
		n, _ := strconv.Atoi(t.id)
		return n
	}
	return field.Name + "~" + t.id
}

// made is a value of a type, made of a number.
func (w *World) made(schema *ast.Schema, at string, t *ast.Type, h uint64, sure bool) any {
	next := func(word string) uint64 { return w.hash(word, strconv.FormatUint(h, 10)) }
	if !t.NonNull && !sure && next("null")%7 == 1 {
		return nil
	}
	if t.Elem != nil {
		list := make([]any, next("length")%4)
		for i := range list {
			list[i] = w.made(schema, at, t.Elem, next(strconv.Itoa(i)), sure)
			if w.gaps && w.mishaps && !sure && next("mishap"+strconv.Itoa(i))%17 == 5 {
				list[i] = errMishap
			}
		}
		return list
	}
	switch t.NamedType {
	case "Int":
		return int(next("int")%2000) - 1000
	case "Float":
		return float64(next("float")%1000) + .5
	case "Boolean":
		return next("bool")%2 == 0
	}
	d := schema.Types[t.NamedType]
	switch d.Kind {
	case ast.Enum:
		values := w.values[d.Name]
		return values[next("enum")%uint64(len(values))]
	case ast.Object:
		return Thing{typeName: d.Name, id: strconv.Itoa(int(next("id") % 40))}
	case ast.Interface, ast.Union:
		types := w.possible[at]
		if len(types) == 0 {
			return nil
		}
		return Thing{typeName: types[next("type")%uint64(len(types))], id: strconv.Itoa(int(next("id") % 40))}
	}
	return fmt.Sprintf("%s-%x \"é", d.Name, next("text")%4096)
}

// required is what a field of a thing requires, told by the world itself: "" if
// nothing.
func (w *World) required(t Thing, field string) (string, error) {
	set := w.requires[t.typeName+"."+field]
	if set == nil {
		return "", nil
	}
	values, err := w.demanded(t, set)
	if err != nil {
		return "", err
	}
	encoded, err := json.Marshal(values)
	return string(encoded), err
}

// demanded is what a selection of @requires is worth.
func (w *World) demanded(t Thing, set ast.SelectionSet) (map[string]any, error) {
	out := map[string]any{}
	for _, s := range set {
		f, ok := s.(*ast.Field)
		if !ok {
			return nil, errors.New("fragments in @requires are not supported here")
		}
		schema, definition := w.definition(t.typeName, f.Name)
		if definition == nil {
			return nil, fmt.Errorf("nobody defines %s.%s", t.typeName, f.Name)
		}
		field := *f
		field.Definition = definition
		required, err := w.required(t, f.Name)
		if err != nil {
			return nil, err
		}
		value, err := w.value(schema, t, definition, normal(schema, definition.Arguments, field.ArgumentMap(nil)), required)
		if err != nil {
			return nil, err
		}
		if out[f.Name], err = w.told(value, f.SelectionSet); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (w *World) told(value any, set ast.SelectionSet) (any, error) {
	switch v := value.(type) {
	case Thing:
		return w.demanded(v, set)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = w.told(v[i], set); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return value, nil
}

// definition finds a field where it is resolved.
func (w *World) definition(typeName, field string) (*ast.Schema, *ast.FieldDefinition) {
	for _, name := range sorted(w.subgraphs) {
		if d := w.subgraphs[name].Types[typeName]; d != nil {
			if f := d.Fields.ForName(field); f != nil && f.Directives.ForName("external") == nil {
				return w.subgraphs[name], f
			}
		}
	}
	return nil, nil
}

// handedText is the part of a representation that a field requires, as required
// writes it.
func handedText(given any, set ast.SelectionSet) (string, error) {
	values, err := handed(given, set)
	if err != nil {
		return "", err
	}
	encoded, err := json.Marshal(values)
	return string(encoded), err
}

// handed is the part of a representation that a selection names.
func handed(given any, set ast.SelectionSet) (any, error) {
	switch v := given.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, s := range set {
			f, ok := s.(*ast.Field)
			if !ok {
				return nil, errors.New("fragments in @requires are not supported here")
			}
			value, present := v[f.Name]
			if !present {
				return nil, fmt.Errorf("the required %s is missing in a representation", f.Name)
			}
			var err error
			if out[f.Name], err = handed(value, f.SelectionSet); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = handed(v[i], set); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return given, nil
}
