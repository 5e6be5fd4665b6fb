package subgraph

import (
	"context"
	"reflect"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// members are the object types behind an interface or union, with what each demands.
type members map[string][]graphql.FieldMiddleware

// membersOf are those of an abstract type; nil if none of them demands anything.
func membersOf(schema *ast.Schema, d *ast.Definition, types map[string][]graphql.FieldMiddleware) members {
	out, demanding := members{}, false
	for _, member := range schema.PossibleTypes[d.Name] {
		out[member.Name] = types[member.Name]
		demanding = demanding || len(types[member.Name]) > 0
	}
	if !demanding {
		return nil
	}
	return out
}

// shown is the value of a field without the objects that its caller may not see: each
// is null, with its error. Which type an object is of shows in __typename, for which
// no field of it needs to be asked.
type shown struct {
	members members
	// refused are the answers so far, by the types' names.
	refused map[string]error
}

// of returns a resolver's value as it may be shown. It fails where that is the value
// itself.
func (s *shown) of(ctx context.Context, value reflect.Value) (any, error) {
	for value.Kind() == reflect.Interface {
		value = value.Elem()
	}
	switch value.Kind() {
	case reflect.Invalid:
		return nil, nil //nolint:nilnil // there is no object
	case reflect.Slice:
		return s.list(ctx, value)
	}
	at := value
	for at.Kind() == reflect.Pointer || at.Kind() == reflect.Interface {
		if at.IsNil() {
			return value.Interface(), nil
		}
		at = at.Elem()
	}
	return value.Interface(), s.check(ctx, at.Type().Name())
}

func (s *shown) list(ctx context.Context, value reflect.Value) (any, error) {
	var out reflect.Value // a copy, once there is anything to leave out: the domain may keep its own
	for i := range value.Len() {
		within := graphql.WithFieldContext(ctx, &graphql.FieldContext{Index: &i, Result: value.Interface()}) // for an error's path
		element, err := s.of(within, value.Index(i))
		unchanged := err == nil && value.Index(i).Kind() != reflect.Slice
		if unchanged {
			continue
		}
		if !out.IsValid() {
			out = reflect.MakeSlice(value.Type(), value.Len(), value.Len())
			reflect.Copy(out, value)
		}
		switch kind := out.Index(i).Kind(); {
		case err == nil && element != nil:
			out.Index(i).Set(reflect.ValueOf(element))
		case err == nil:
		case kind == reflect.Interface || kind == reflect.Pointer || kind == reflect.Slice:
			graphql.AddError(within, err)
			out.Index(i).SetZero()
		default: // there is no way to leave one out
			return nil, err
		}
	}
	if !out.IsValid() {
		return value.Interface(), nil
	}
	return out.Interface(), nil
}

// check asks what the type behind a Go type demands. Generated code tells them apart
// by Go types, whose names are the schema's where nothing else is configured; one with
// another name, and a stream, of which nobody knows what will come, are taken for all
// of them.
func (s *shown) check(ctx context.Context, name string) error {
	if err, known := s.refused[name]; known {
		return err
	}
	var err error
	if checks, known := s.members[name]; known {
		err = fulfil(ctx, checks)
	} else {
		for _, checks := range s.members {
			if err = fulfil(ctx, checks); err != nil {
				break
			}
		}
	}
	s.refused[name] = err
	return err
}

func fulfil(ctx context.Context, checks []graphql.FieldMiddleware) error {
	for _, check := range checks {
		if _, err := check(ctx, granted); err != nil {
			return err
		}
	}
	return nil
}
