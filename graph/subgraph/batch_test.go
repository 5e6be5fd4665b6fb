package subgraph_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/subgraph"
)

func TestBatchLoadsWhatIsExpectedAtOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // an unexpected key is loaded beside the others
	var calls [][]int
	b := subgraph.NewBatch(3, func(_ context.Context, keys []int) ([]int, error) {
		mu.Lock()
		calls = append(calls, append([]int{}, keys...))
		mu.Unlock()
		squares := make([]int, len(keys))
		for i, k := range keys {
			squares[i] = k * k
		}
		return squares, nil
	})
	b.Expect(1, 2, 1, 3, 4)
	var group sync.WaitGroup
	for k := 1; k <= 5; k++ {
		group.Go(func() {
			if got, err := b.Get(t.Context(), k); got != k*k || err != nil {
				t.Errorf("%d: %d, %v", k, got, err)
			}
		})
	}
	group.Wait()
	seen := 0
	for _, keys := range calls {
		if len(keys) > 3 {
			t.Errorf("%d keys at once", len(keys))
		}
		seen += len(keys)
	}
	if seen != 5 || len(calls) > 3 {
		t.Errorf("calls %v, want each key once in at most 3", calls)
	}
	b = subgraph.NewBatch(3, func(context.Context, []int) ([]int, error) { t.Error("loaded, and nobody asked"); return nil, nil })
	b.Expect(1)
}

func TestBatchTellsEachOfAFailure(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	b := subgraph.NewBatch(10, func(context.Context, []int) ([]int, error) { return nil, broken })
	b.Expect(1, 2)
	for k := range 2 {
		if _, err := b.Get(t.Context(), k+1); !errors.Is(err, broken) {
			t.Errorf("%d: %v", k+1, err)
		}
	}
}

func TestBatchesKeepVariantsApart(t *testing.T) {
	t.Parallel()
	var calls []string
	b := subgraph.NewBatches(10, func(_ context.Context, v string, keys []int) ([]string, error) {
		calls = append(calls, v)
		out := make([]string, len(keys))
		for i := range keys {
			out[i] = v
		}
		return out, nil
	})
	b.Expect(1, 2)
	for _, k := range []int{1, 2} {
		for _, v := range []string{"a", "b"} {
			if got, err := b.Get(t.Context(), v, k); got != v || err != nil {
				t.Errorf("%s %d: %s, %v", v, k, got, err)
			}
		}
	}
	if diff := cmp.Diff([]string{"a", "b"}, calls); diff != "" {
		t.Errorf("a call for each variant: %s", diff)
	}
}
