package subgraph

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// present turns an error into what a client may see: a fault as it is, a document
// that does not fit the schema as INVALID_INPUT, and all else, logged with its
// cause, as INTERNAL with the request's id.
func (s *Server) present(ctx context.Context, err error) *gqlerror.Error {
	var wrapped *gqlerror.Error
	if !errors.As(err, &wrapped) {
		wrapped = &gqlerror.Error{}
	}
	out := &gqlerror.Error{Path: wrapped.Path, Locations: wrapped.Locations}
	if field := graphql.GetFieldContext(ctx); field != nil {
		// The path of an error in an argument goes on into the argument, where a
		// client would look for a field of the answer.
		if out.Path == nil || field.Args == nil && field.Result == nil {
			out.Path = field.Path()
		}
	}
	f, ok := fault.As(err)
	switch {
	case ok:
	case isDocumentError(wrapped):
		f = fault.InvalidInput("", wrapped.Message)
	case err.Error() == introspectionOff || wrapped.Message == introspectionOff:
		f = fault.Forbidden("introspection is switched off")
	default:
		f = fault.Internal(err)
	}
	if f.Code == fault.CodeInternal {
		s.log.ErrorContext(ctx, "resolver failed", "error", cause(f), "path", out.Path.String())
	}
	out.Message = f.Message
	out.Extensions = map[string]any{"code": string(f.Code)}
	if f.Field != "" {
		out.Extensions["field"] = f.Field
	}
	if f.RetryAfter > 0 {
		// Rounded up: a client that waits less comes too early.
		out.Extensions["retryAfter"] = int(math.Ceil(f.RetryAfter.Seconds()))
	}
	if f.MaxAge > 0 {
		out.Extensions["maxAge"] = int(f.MaxAge.Seconds())
	}
	if id := telemetry.RequestID(ctx); id != "" && (f.Code == fault.CodeInternal || f.Code == fault.CodeUnavailable) {
		out.Extensions["requestId"] = id
	}
	return out
}

// introspectionOff is the text of gqlgen's error, which has no type of its own.
const introspectionOff = "introspection disabled"

func isDocumentError(err *gqlerror.Error) bool {
	switch err.Extensions["code"] {
	case errcode.ParseFailed, errcode.ValidationFailed:
		return true
	}
	return false
}

func cause(f *fault.Error) error {
	if err := f.Unwrap(); err != nil {
		return err
	}
	return f
}

// recovered logs a resolver's panic; the client sees INTERNAL.
func (s *Server) recovered(ctx context.Context, p any) error {
	return fault.Internal(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
}
