// Package auth is the GraphQL face of internal/auth. Its resolvers translate and
// decide nothing.
package auth

import (
	"context"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/internal/identity"
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

// fromClient adds what the connection tells to what the client wrote.
func fromClient(ctx context.Context, input auth.LoginInput) auth.LoginInput {
	client := identity.ClientFrom(ctx)
	input.UserAgent, input.IP = client.UserAgent, client.IP
	return input
}

func loginPayload(result *auth.LoginResult) *model.LoginPayload {
	seconds := int(result.ExpiresIn / time.Second)
	return &model.LoginPayload{
		AccessToken: &result.AccessToken, RefreshToken: &result.RefreshToken, ExpiresIn: &seconds,
		User: &model.User{ID: result.UserID, Email: result.Email},
	}
}
