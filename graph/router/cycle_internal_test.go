package router

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"
)

func fetches(waits map[int][]int) []*resolve.FetchItem {
	var out []*resolve.FetchItem
	for id, on := range waits {
		out = append(out, &resolve.FetchItem{Fetch: &resolve.SingleFetch{
			FetchDependencies: resolve.FetchDependencies{FetchID: id, DependsOnFetchIDs: on},
		}})
	}
	return out
}

func TestCyclic(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waits map[int][]int
		want  bool
	}{
		"none":      {nil, false},
		"chain":     {map[int][]int{0: nil, 1: {0}, 2: {1}}, false},
		"diamond":   {map[int][]int{0: nil, 1: {0}, 2: {0}, 3: {1, 2}}, false},
		"itself":    {map[int][]int{0: nil, 1: {0, 1}}, true},
		"pair":      {map[int][]int{0: {1}, 1: {0}}, true},
		"far":       {map[int][]int{0: nil, 1: {0, 4}, 2: {1}, 3: {2}, 4: {3}}, true},
		"elsewhere": {map[int][]int{0: nil, 1: {0}, 5: {6}, 6: {5}}, true},
	} {
		if got := cyclic(fetches(c.waits)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Planned under their own names, these aliases make a fetch wait for itself. The
// prefix prevents that; here it is left out to show that the second defence holds:
// without it each of these overflows the stack in post-processing, and the whole
// process ends.
func TestCyclicPlansOfRealQueriesAreRefused(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile(filepath.Join("testdata", "shop", "supergraph.json"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, err := New(ctx, Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`{ orders { buyer { id: greeting } } }`,
		`{ orders { buyer { __typename: greeting } } }`,
		`{ orders { buyer { id: greeting name name } } }`,
		`{ orders { total: buyer { __typename: greeting } } }`,
	} {
		doc, report := astparser.ParseGraphqlDocumentString(text)
		if report.HasErrors() {
			t.Fatal(report)
		}
		current := r.current.Load()
		if _, _, err := current.planResponse(current.graph.Plan, &doc, ""); !errors.Is(err, errCyclic) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
