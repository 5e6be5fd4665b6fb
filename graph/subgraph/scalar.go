package subgraph

import (
	"encoding/json"
	"io"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/fault"
)

const idRule = "an id is a UUID as 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"

// MarshalID writes an id in its canonical form.
func MarshalID(id uuid.UUID) graphql.Marshaler { return graphql.MarshalString(id.String()) }

// UnmarshalID accepts an id in the canonical form of RFC 9562 only: one id has
// one spelling, so that comparing ids as text is sound. Fault INVALID_INPUT.
func UnmarshalID(v any) (uuid.UUID, error) {
	text, ok := v.(string)
	if !ok {
		return uuid.Nil, fault.InvalidInput("id", idRule)
	}
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text {
		return uuid.Nil, fault.InvalidInput("id", idRule)
	}
	return id, nil
}

// MarshalDateTime writes a moment in UTC (RFC 3339).
func MarshalDateTime(t time.Time) graphql.Marshaler {
	return graphql.MarshalString(t.UTC().Format(time.RFC3339Nano))
}

// UnmarshalDateTime accepts a moment of any offset (RFC 3339). Fault INVALID_INPUT.
func UnmarshalDateTime(v any) (time.Time, error) {
	text, _ := v.(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fault.InvalidInput("", "a moment is written as 2026-01-31T23:59:59Z (RFC 3339)")
	}
	return t.UTC(), nil
}

// MarshalJSON writes a JSON value as it is; none as null.
func MarshalJSON(v json.RawMessage) graphql.Marshaler {
	if len(v) == 0 {
		return graphql.Null
	}
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(v) })
}

// UnmarshalJSON refuses: no input is free-form. Fault INVALID_INPUT.
func UnmarshalJSON(any) (json.RawMessage, error) {
	return nil, fault.InvalidInput("", "a JSON value is for answers only")
}

// MarshalRepresentation writes an entity's key, as federation's _Any.
func MarshalRepresentation(v map[string]any) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { _ = json.NewEncoder(w).Encode(v) })
}

// UnmarshalRepresentation accepts federation's _Any: an object with a
// __typename and a well-formed id, the key of every entity here. Without this,
// a malformed key would show as an internal error. Fault INVALID_INPUT.
func UnmarshalRepresentation(v any) (map[string]any, error) {
	key, _ := v.(map[string]any)
	if name, ok := key["__typename"].(string); !ok || name == "" {
		return nil, fault.InvalidInput("representations", "a representation needs a __typename and an id")
	}
	if _, err := UnmarshalID(key["id"]); err != nil {
		return nil, fault.InvalidInput("representations", idRule)
	}
	return key, nil
}
