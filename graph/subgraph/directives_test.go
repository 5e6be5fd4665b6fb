package subgraph_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// A signed-in caller passes @authenticated, in-process and over HTTP alike.
func TestAuthenticated(t *testing.T) {
	t.Parallel()
	caller := &identity.Caller{Subject: uuid.New(), Session: uuid.New(), Tenant: dbtest.New(t).Tenant(t)}
	s := newServer(subgraph.Options{
		Logger: quiet(),
		Authenticate: func(r *http.Request) (*identity.Caller, error) {
			if r.Header.Get("Authorization") == "" {
				return nil, nil
			}
			return caller, nil
		},
	})
	ctx := identity.NewContext(t.Context(), caller)
	equalJSON(t, s.Execute(ctx, `{ secret }`, "", nil), `{"data":{"secret":"42"}}`)

	for token, want := range map[string]string{
		"Bearer x": `{"data":{"secret":"42"}}`,
		"": `{"data":{"secret":null},"errors":[{"message":"sign in first","path":["secret"],"locations":[{"line":1,"column":3}],
			"extensions":{"code":"UNAUTHENTICATED"}}]}`,
	} {
		req := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(`{"query":"{ secret }"}`))
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", token)
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		equalJSON(t, rec.Body.Bytes(), want)
	}
}
