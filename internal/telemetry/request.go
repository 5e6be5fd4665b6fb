// Package telemetry ties what a process writes about a request together: the
// request's id in the context, a slog handler that adds it and the caller to
// each line, and the HTTP middleware that begins and ends a request's log.
//
// Metrics live beside what they measure, not here.
package telemetry

import (
	"context"

	"github.com/google/uuid"
)

// HeaderRequestID carries a request's id between a client, the router and the
// subgraphs.
const HeaderRequestID = "X-Request-Id"

// maxRequestID bounds an id that comes from outside, in characters.
const maxRequestID = 64

type requestIDKey struct{}

// WithRequestID returns a context that carries the id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the context's request id, or "" if it has none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// EnsureRequestID returns ctx with a request id, a new one if it had none, and
// the id.
func EnsureRequestID(ctx context.Context) (context.Context, string) {
	if id := RequestID(ctx); id != "" {
		return ctx, id
	}
	id := NewRequestID()
	return WithRequestID(ctx, id), id
}

// NewRequestID makes an id, a UUIDv7, so that ids sort by time.
func NewRequestID() string {
	id, err := uuid.NewV7()
	if err != nil {
		// The system's random source failed; an id is not worth an outage.
		return uuid.Nil.String()
	}
	return id.String()
}

// ValidRequestID reports whether an id from outside may be taken over: 1 to 64
// characters of [A-Za-z0-9_-], so that it can neither forge log lines nor grow.
func ValidRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
