package auth_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	authgraph "github.com/tradesage/tradesage/subgraphs/auth"
)

// Nothing here may reach the domain: it is nil.
func TestRefusedWithoutACaller(t *testing.T) {
	t.Parallel()
	server := subgraph.New("auth", authgraph.New(nil), subgraph.Options{Logger: slog.New(slog.DiscardHandler)})
	for name, query := range map[string]string{
		"logout":   "mutation { logout { revoked } }",
		"entities": `{ _entities(representations: [{__typename: "User", id: "` + uuid.NewString() + `"}]) { ... on User { email } } }`,
	} {
		if code := codeOf(t.Context(), t, server, query); code != "UNAUTHENTICATED" {
			t.Errorf("%s: %q, want UNAUTHENTICATED", name, code)
		}
	}
	if code := codeOf(t.Context(), t, server, `{ _entities(representations: [{__typename: "User", id: "x"}]) { ... on User { email } } }`); code != "INVALID_INPUT" {
		t.Errorf("malformed key: %q, want INVALID_INPUT", code)
	}
}

func codeOf(ctx context.Context, t *testing.T, server *subgraph.Server, query string) string {
	t.Helper()
	var r struct {
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err := json.Unmarshal(server.Execute(ctx, query, "", nil), &r); err != nil || len(r.Errors) != 1 {
		t.Fatalf("%v, %+v", err, r)
	}
	return r.Errors[0].Extensions.Code
}
