package router_test

import (
	"context"
	"testing"

	"github.com/tradesage/tradesage/graph/graphtest"
)

func everyScope(context.Context, [][]string) (string, error) { return "", nil }

// Random operations over the product's own supergraph are answered as one server
// with all types would answer them.
func TestOwnSupergraphIsOneGraph(t *testing.T) {
	t.Parallel()
	f := newFederated(t, 1, true, "../../subgraphs", "..")
	g := graphtest.NewGenerator(1, f.whole.Schema())
	g.Mutations = true
	g.Depth, g.Width = 4, 3
	bad := 0
	for i := range 2000 {
		ways := []string{"in one process"}
		if i%4 == 0 {
			ways = append(ways, "over HTTP")
		}
		f.agree(t, g.Next(), ways...)
		if t.Failed() {
			t.Fatalf("operation %d", i)
		}
		_ = bad
	}
}
