package subgraph_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// What asks for a recent sign-in runs for nobody else.
func TestStepUp(t *testing.T) {
	t.Parallel()
	tenant := dbtest.New(t).Tenant(t)
	for age, want := range map[time.Duration]fault.Code{time.Second: "", 59 * time.Second: "", 61 * time.Second: fault.CodeStepUpRequired} {
		ran := false
		ctx := identity.NewContext(t.Context(), &identity.Caller{Subject: uuid.New(), Tenant: tenant, AuthTime: time.Now().Add(-age)})
		_, err := subgraph.StepUp(ctx, nil, func(context.Context) (any, error) { ran = true; return nil, nil }, 60)
		f, _ := fault.As(err)
		if want == "" && (err != nil || !ran) || want != "" && (f == nil || f.Code != want || f.MaxAge != time.Minute || ran) {
			t.Errorf("after %s: %v, ran %v", age, err, ran)
		}
	}
	_, err := subgraph.StepUp(t.Context(), nil, func(context.Context) (any, error) { t.Error("it ran for nobody"); return nil, nil }, 60)
	if !fault.Is(err, fault.CodeUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}
}

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
