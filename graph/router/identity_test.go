package router_test

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// The caller that Authenticate finds is the one that local subgraphs see, for
// each request its own: nothing is shared between equal operations.
func TestIdentityTravelsToLocalSubgraphs(t *testing.T) {
	t.Parallel()
	tenant := dbtest.New(t).Tenant(t)
	callers := map[string]*identity.Caller{}
	for _, token := range []string{"Bearer a", "Bearer b"} {
		callers[token] = &identity.Caller{
			Subject: uuid.New(), Session: uuid.New(), Tenant: tenant, Expires: time.Now().Add(time.Minute),
		}
	}
	s := newShop(t, func(s *shop) {
		s.options.Authenticate = func(r *http.Request) (*identity.Caller, error) {
			return callers[r.Header.Get("Authorization")], nil
		}
	})
	const body = `{"query":"{ whoami again: whoami }"}`
	for range 3 {
		for token, caller := range callers {
			var got struct {
				Data struct{ Whoami, Again string }
			}
			answer := post(s.router, body, "Authorization", token)
			if err := json.Unmarshal([]byte(answer.body), &got); err != nil {
				t.Fatal(err)
			}
			if want := caller.Subject.String(); got.Data.Whoami != want || got.Data.Again != want {
				t.Errorf("%s is %s", token, answer.body)
			}
		}
		wantError(t, post(s.router, body), fault.CodeUnauthenticated, "sign in first")
	}
}

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }
