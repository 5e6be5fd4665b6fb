package db

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// observer tells of each statement as it is sent. The switch into a tenant rides
// in the pipeline of its statement and is not told of.
type observer func(sql string)

// TraceQueryStart implements pgx.QueryTracer.
func (o observer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	o(data.SQL)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (observer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements pgx.BatchTracer.
func (o observer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, query := range data.Batch.QueuedQueries {
		if query.SQL != enterSQL {
			o(query.SQL)
		}
	}
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (observer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (observer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
