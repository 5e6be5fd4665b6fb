// Package auth is the GraphQL face of internal/auth. Its resolvers translate and
// decide nothing.
package auth

import (
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/subgraphs/auth/generated"
	"github.com/tradesage/tradesage/subgraphs/auth/model"
)

// Resolver holds what the resolvers need.
type Resolver struct{ auth *auth.Auth }

// New returns the subgraph's executable schema.
func New(service *auth.Auth) graphql.ExecutableSchema {
	return generated.NewExecutableSchema(generated.Config{
		Resolvers:  &Resolver{service},
		Directives: generated.DirectiveRoot{Authenticated: subgraph.Authenticated},
	})
}

func loginPayload(result *auth.LoginResult) *model.LoginPayload {
	if result.Choices != nil {
		return &model.LoginPayload{TenantChoices: result.Choices}
	}
	expires := seconds(result.ExpiresIn)
	return &model.LoginPayload{
		AccessToken: &result.AccessToken, RefreshToken: &result.RefreshToken, ExpiresIn: &expires, User: userOf(&result.Tokens),
	}
}

func refreshPayload(t *auth.Tokens) *model.RefreshSessionPayload {
	return &model.RefreshSessionPayload{
		AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, ExpiresIn: seconds(t.ExpiresIn), User: userOf(t),
	}
}

func switchPayload(t *auth.Tokens) *model.SwitchTenantPayload {
	return &model.SwitchTenantPayload{
		AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, ExpiresIn: seconds(t.ExpiresIn), User: userOf(t),
	}
}

func userOf(t *auth.Tokens) *model.User { return &model.User{ID: t.UserID, Email: t.Email} }

func seconds(d time.Duration) int { return int(d / time.Second) }
