package router_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
)

// counted counts the calls of a subgraph with one answer.
type counted struct {
	answers
	calls atomic.Int64
}

func (c *counted) Execute(ctx context.Context, query, name string, variables []byte) []byte {
	c.calls.Add(1)
	return c.answers.Execute(ctx, query, name, variables)
}

// A field that is @authenticated is refused, whatever its subgraph would say; what
// else the operation selects is answered.
func TestAuthenticatedFields(t *testing.T) {
	t.Parallel()
	caller := &identity.Caller{Subject: uuid.New(), Tenant: dbtest.New(t).Tenant(t)}
	asked := &counted{answers: `{"data":{"hello":"hi","secret":"42","tsAlias_s":"42"}}`}
	r := newRouter(t, router.Options{
		Config: readConfig(t, "library"),
		Local:  map[string]router.LocalSubgraph{"library": asked},
		Logger: slog.New(slog.DiscardHandler),
		Authenticate: func(r *http.Request) (*identity.Caller, error) {
			if r.Header.Get("Authorization") == "" {
				return nil, nil
			}
			return caller, nil
		},
	})
	query(r, `{ secret }`, "")
	if n := asked.calls.Load(); n != 0 {
		t.Errorf("the subgraph was asked %d times for nothing but a refused field", n)
	}
	const refused = `{"message":"sign in first","path":["secret"],"extensions":{"code":"UNAUTHENTICATED"}}`
	wantBody(t, query(r, `{ hello secret }`, ""), `{"data":{"hello":"hi","secret":null},"errors":[`+refused+`]}`)
	wantBody(t, query(r, `{ secret }`, ""), `{"data":{"secret":null},"errors":[`+refused+`]}`)
	wantBody(t, query(r, `{ s: secret }`, ""), `{"data":{"s":null},"errors":[
		{"message":"sign in first","path":["s"],"extensions":{"code":"UNAUTHENTICATED"}}]}`)
	wantBody(t, query(r, `{ hello }`, ""), `{"data":{"hello":"hi"}}`)
	wantBody(t, post(r, `{"query":"{ hello secret }"}`, "Authorization", "Bearer x"), `{"data":{"hello":"hi","secret":"42"}}`)
}
