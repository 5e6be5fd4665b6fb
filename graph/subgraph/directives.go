package subgraph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/tradesage/tradesage/internal/identity"
)

// Authenticated implements @authenticated: without a verified caller in the
// context the field is refused with UNAUTHENTICATED and not resolved. The router
// may refuse earlier; here the rule holds for every way into a subgraph.
func Authenticated(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
	if _, err := identity.FromContext(ctx); err != nil {
		return nil, err
	}
	return next(ctx)
}
