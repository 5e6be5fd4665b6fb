package monolith

import (
	"context"
	"encoding/json"
	"reflect"

	"github.com/99designs/gqlgen/graphql"

	"github.com/tradesage/tradesage/graph/graphtest"
)

// subscribed is a running subscription: its field, and what that is in each event.
type subscribed struct {
	field  *graphql.FieldContext
	values []any
}

type subscribedKey struct{}

// Subscribe runs a subscription and returns its events, or the one response that says
// why it does not run.
func (s *Server) Subscribe(ctx context.Context, query string, variables []byte) ([][]byte, error) {
	params := &graphql.RawParams{Query: query}
	if len(variables) > 0 {
		if err := decode(variables, &params.Variables); err != nil {
			return nil, err
		}
	}
	running := &subscribed{}
	next, ctx := s.begin(context.WithValue(ctx, subscribedKey{}, running), params)
	if running.field == nil {
		return [][]byte{encode(next(ctx))}, nil
	}
	var out [][]byte
	for _, value := range running.values {
		// gqlgen forgets the field when it renders an event: paths would begin below it.
		of := *running.field
		of.Result = value
		event := next(graphql.WithFieldContext(ctx, &of))
		// Nor does it look whether the field must not be null.
		if text, err := json.Marshal(of.Field.Alias); err == nil && of.Field.Definition.Type.NonNull && string(event.Data) == "{"+string(text)+":null}" {
			event.Data = json.RawMessage("null")
		}
		out = append(out, encode(event))
	}
	return out, nil
}

// events are those of a subscription's field, in a channel that is closed after them.
func (s *Server) events(ctx context.Context, field *graphql.FieldContext, kind reflect.Type, args map[string]any) (any, error) {
	running := ctx.Value(subscribedKey{}).(*subscribed)
	running.field = field
	out := reflect.MakeChan(reflect.ChanOf(reflect.BothDir, kind.Elem()), graphtest.Events)
	for number := range graphtest.Events {
		value, err := s.world.Answer(s.schema.Executable.Schema(), graphtest.Event(field.Object, number), field.Field.Definition, args)
		if err != nil {
			return nil, err
		}
		shaped := s.shape(kind.Elem(), value)
		running.values = append(running.values, shaped.Interface())
		out.Send(shaped)
	}
	out.Close()
	return out.Convert(kind).Interface(), nil
}
