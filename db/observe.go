package db

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// observer follows statements: each that is sent is told to a test, and makes a
// span in a request that is traced. The switch into a tenant rides in the pipeline
// of its statement and is not told of.
type observer struct {
	// told may be nil.
	told func(sql string)
}

func (o observer) tell(sql string) {
	if o.told != nil {
		o.told(withoutVariant(sql))
	}
}

// tracerName names who made a span.
const tracerName = "github.com/tradesage/tradesage/db"

// begin begins the span of a statement where there is one to be part of.
func (o observer) begin(ctx context.Context, sql string, statements int) context.Context {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsSampled() {
		return ctx
	}
	sql = withoutVariant(sql)
	name := statementName(sql)
	// Our statements are constants, their arguments are not in them.
	ctx, _ = parent.TracerProvider().Tracer(tracerName).Start(ctx, "SQL "+name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system.name", "postgresql"),
		attribute.String("db.operation.name", name),
		attribute.String("db.query.text", sql),
		attribute.Int("db.operation.batch.size", statements),
	))
	return context.WithValue(ctx, begunKey{}, true)
}

// begunKey marks a context whose span is a statement's, and not its caller's.
type begunKey struct{}

// end ends a span of begin. An error is told by its code: its text may hold values.
func (observer) end(ctx context.Context, err error) {
	if begun, _ := ctx.Value(begunKey{}).(bool); !begun {
		return
	}
	span := trace.SpanFromContext(ctx)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		span.SetStatus(codes.Error, "")
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			span.SetAttributes(attribute.String("db.response.status_code", refused.Code))
		}
	}
	span.End()
}

// statementName is the name of a statement of sqlc's, which begins with it, or the
// first word of another one.
func statementName(sql string) string {
	if rest, ok := strings.CutPrefix(sql, "-- name: "); ok {
		sql = rest
	}
	if i := strings.IndexAny(sql, " \n\t;("); i > 0 {
		return sql[:i]
	}
	return "statement"
}

// TraceQueryStart implements pgx.QueryTracer.
func (o observer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	o.tell(data.SQL)
	return o.begin(ctx, data.SQL, 1)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (o observer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	o.end(ctx, data.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (o observer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	main := ""
	for _, query := range data.Batch.QueuedQueries {
		if query.SQL == enterSQL {
			continue
		}
		o.tell(query.SQL)
		if main == "" {
			main = query.SQL
		}
	}
	return o.begin(ctx, main, len(data.Batch.QueuedQueries))
}

// TraceBatchQuery implements pgx.BatchTracer.
func (observer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (o observer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	o.end(ctx, data.Err)
}
