package telemetry

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"github.com/tradesage/tradesage/internal/identity"
)

// Handler adds request_id, trace_id where the request is traced, and tenant_id and
// user_id where the caller is signed in, to each record that is logged with a
// request's context.
type Handler struct{ next slog.Handler }

// NewHandler wraps next.
func NewHandler(next slog.Handler) *Handler { return &Handler{next: next} }

// Enabled reports whether next handles the level.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle adds the context's attributes and passes the record on.
func (h *Handler) Handle(ctx context.Context, record slog.Record) error {
	if id := RequestID(ctx); id != "" {
		record.AddAttrs(slog.String("request_id", id))
	}
	if span := trace.SpanContextFromContext(ctx); span.IsSampled() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	if caller, err := identity.FromContext(ctx); err == nil {
		record.AddAttrs(
			slog.String("tenant_id", caller.Tenant.ID().String()),
			slog.String("user_id", caller.Subject.String()),
		)
	}
	return h.next.Handle(ctx, record)
}

// WithAttrs returns a Handler over next's.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{next: h.next.WithAttrs(attrs)}
}

// WithGroup returns a Handler over next's. The context's attributes land inside
// an open group: slog offers no way around it.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name)}
}
