package subgraph

import (
	"context"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
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

// StepUp implements @stepUp: where the caller has proved who they are longer ago
// than maxAge seconds, the field is refused with STEP_UP_REQUIRED and not
// resolved, and with UNAUTHENTICATED without a caller.
func StepUp(ctx context.Context, _ any, next graphql.Resolver, maxAge int) (any, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if most := time.Duration(maxAge) * time.Second; time.Since(caller.AuthTime) > most {
		return nil, fault.StepUpRequired(most)
	}
	return next(ctx)
}

// RequiresScopes implements @requiresScopes: the caller must hold all permissions
// of at least one of the lists, or the field is refused with FORBIDDEN that names
// what is missing of the first and is not resolved. Without a caller it is
// refused with UNAUTHENTICATED.
func RequiresScopes(permissions *permission.Permissions) func(context.Context, any, graphql.Resolver, [][]string) (any, error) {
	return func(ctx context.Context, _ any, next graphql.Resolver, scopes [][]string) (any, error) {
		return requireScopes(ctx, next, permissions.Lacks, scopes)
	}
}

func requireScopes(
	ctx context.Context, next graphql.Resolver, lacks func(context.Context, [][]string) (string, error), scopes [][]string,
) (any, error) {
	if lacks == nil {
		return nil, errNoScopes
	}
	missing, err := lacks(ctx, scopes)
	switch {
	case err != nil:
		return nil, err
	case len(scopes) == 0:
		return nil, errNoScopes
	case missing != "":
		return nil, permission.Lacking(missing)
	}
	return next(ctx)
}
