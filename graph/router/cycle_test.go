package router_test

import (
	"net/http"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

// newLoop starts a router over two subgraphs whose fields require each other.
func newLoop(tb testing.TB) http.Handler {
	left, right := newSubgraph(tb, "loop", "left"), newSubgraph(tb, "loop", "right")
	return newRouter(tb, router.Options{
		Config: readConfig(tb, "loop"),
		Local:  map[string]router.LocalSubgraph{"left": left, "right": right},
	})
}

// Without the check before post-processing this ends the test process: the
// engine's stack overflow cannot be recovered.
func TestCyclicPlansAreRefused(t *testing.T) {
	t.Parallel()
	h := newLoop(t)
	for _, text := range []string{
		`{ thing(id: "1") { left } }`,
		`{ thing(id: "1") { right } }`,
		`{ thing(id: "1") { left right } }`,
		`{ thing(id: "1") { left: right right: left id: name } }`,
	} {
		wantError(t, query(h, text, ""), fault.CodeOperationTooComplex, "wait for each other")
	}
}
