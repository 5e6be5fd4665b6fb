package router_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/tradesage/tradesage/internal/fault"
)

// Queries go on while mutations are not allowed, and no mutation reaches a subgraph.
func TestMutationsCanBeHeldBack(t *testing.T) {
	t.Parallel()
	var closed atomic.Bool
	closed.Store(true)
	s := newShop(t, func(s *shop) {
		s.options.AllowMutations = func() error {
			if closed.Load() {
				return fault.Unavailable("not now")
			}
			return nil
		}
	})
	refused := query(s.router, `mutation { touch }`, "")
	wantError(t, refused, fault.CodeUnavailable, "not now")
	if refused.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", refused.status)
	}
	wantError(t, query(s.router, `query A { me { id } } mutation B { touch }`, ""), fault.CodeInvalidInput, "")
	wantBody(t, query(s.router, `{ me { id } }`, ""), `{"data":{"me":{"id":"u1"}}}`)
	closed.Store(false)
	wantBody(t, query(s.router, `mutation { touch }`, ""), `{"data":{"touch":1}}`)
}
