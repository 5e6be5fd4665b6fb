package router

import (
	"context"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/identity"
)

// automatic puts the text of an operation in its place that a client of the same
// tenant has sent before, by its hash.
func (r *Router) automatic(ctx context.Context, q *request) bool {
	if r.options.Automatic == nil || r.options.Trusted.Only || q.hash == "" {
		return false
	}
	text, ok := r.options.Automatic.Find(ctx, tenantOf(ctx), q.hash)
	q.query = text
	return ok
}

// register keeps the text of an operation that came with its hash and passed all
// limits.
func (r *Router) register(ctx context.Context, q *request) {
	if q.fresh && r.options.Automatic != nil && !r.options.Trusted.Only {
		r.options.Automatic.Register(ctx, tenantOf(ctx), q.query)
	}
}

// tenantOf is the tenant of the caller of ctx; nobody's for who is not signed in.
func tenantOf(ctx context.Context) uuid.UUID {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return uuid.Nil
	}
	return caller.Tenant.ID()
}
