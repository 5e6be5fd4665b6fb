// Package telemetry ties what a process writes about a request together: the
// request's id in the context, a slog handler that adds it and the caller to
// each line, the HTTP middleware that begins and ends a request's log, and traces.
//
// Metrics live beside what they measure, not here.
package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/tradesage/tradesage/internal/identity"
)

// HeaderRequestID carries a request's id between a client, the router and the
// subgraphs.
const HeaderRequestID = "X-Request-Id"

// maxRequestID bounds an id that comes from outside, in characters.
const maxRequestID = 64

// Request is what a request's last line of log tells, beside its status. What
// serves the request fills it in; its methods may be called at the same time.
type Request struct {
	id string

	mu        sync.Mutex
	operation Operation
	caller    *identity.Caller
	fetches   Fetches
}

// Operation is the GraphQL operation of a request.
type Operation struct {
	// Name is the client's name for it, Kind is query, mutation or subscription, and
	// Hash tells operations of equal text. All are empty for none.
	Name, Kind, Hash string
	// Outcome is a word for how it ended.
	Outcome string
}

// Fetches sums up what a request asked of subgraphs.
type Fetches struct {
	Count int
	// Slowest is the subgraph that took longest for one of them, and Longest how long.
	Slowest string
	Longest time.Duration
}

type requestKey struct{}

// WithRequestID returns a context of a request with this id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, &Request{id: id})
}

// RequestFrom returns the context's request, or nil.
func RequestFrom(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// Outliving returns a context with ctx's request and span and nothing else of it, for
// what goes on for long after the request: of the request's own context it would keep
// the whole chain, and with it net/http's connection.
func Outliving(ctx context.Context) context.Context {
	kept := context.Background()
	if r := RequestFrom(ctx); r != nil {
		kept = context.WithValue(kept, requestKey{}, r)
	}
	if span := trace.SpanFromContext(ctx); span.SpanContext().IsValid() {
		kept = trace.ContextWithSpan(kept, span)
	}
	return kept
}

// RequestID returns the context's request id, or "" if it has none.
func RequestID(ctx context.Context) string {
	if r := RequestFrom(ctx); r != nil {
		return r.id
	}
	return ""
}

// Ran notes the operation of a request and who asked, nil for nobody signed in.
func (r *Request) Ran(o Operation, caller *identity.Caller) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operation, r.caller = o, caller
}

// Fetched notes a fetch from a subgraph.
func (r *Request) Fetched(subgraph string, took time.Duration) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetches.Count++
	if took >= r.fetches.Longest {
		r.fetches.Slowest, r.fetches.Longest = subgraph, took
	}
}

// Fetches returns what was noted so far.
func (r *Request) Fetches() Fetches {
	if r == nil {
		return Fetches{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fetches
}

// attributes are what the request's last line holds of it.
func (r *Request) attributes(to []slog.Attr) []slog.Attr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.operation; o.Outcome != "" {
		to = append(to, slog.String("operation", o.Name), slog.String("kind", o.Kind),
			slog.String("hash", o.Hash), slog.String("outcome", o.Outcome), slog.Int("fetches", r.fetches.Count))
	}
	if c := r.caller; c != nil {
		to = append(to, slog.String("tenant_id", c.Tenant.ID().String()), slog.String("user_id", c.Subject.String()))
	}
	return to
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
