package router_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

// everybody is of one class.
func everybody(limits router.Limits) router.Classification {
	return router.Classification{
		Classes: []router.Class{{Name: "all", Limits: limits}}, Classify: func(context.Context) string { return "all" },
	}
}

// Classes change while the router runs: narrower and wider ones hold for operations
// that are planned already and for those that were refused before.
func TestClassesAreReplaced(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) { s.options.Limits.MaxFields = 4 })
	const three, five = `{ me { id name } }`, `{ me { id name friend { id } } }`
	want := func(what, text, message string) {
		t.Helper()
		got := query(s.router, text, "")
		if message == "" {
			if !strings.HasPrefix(got.body, `{"data":{"me"`) {
				t.Errorf("%s: %s", what, got.body)
			}
			return
		}
		wantError(t, got, fault.CodeOperationTooComplex, message)
	}
	want("small", three, "")
	want("large", five, "more than 4 fields")
	if err := s.router.SetClasses(everybody(router.Limits{MaxFields: 5})); err != nil {
		t.Fatal(err)
	}
	want("large, wider", five, "")
	if err := s.router.SetClasses(everybody(router.Limits{MaxFields: 2})); err != nil {
		t.Fatal(err)
	}
	want("small, narrower", three, "more than 2 fields")
	want("large, narrower", five, "more than 2 fields")
	for _, wrong := range []router.Classification{
		{Classes: []router.Class{{Name: "a"}, {Name: "a"}}}, {Classes: []router.Class{{}}},
	} {
		if err := s.router.SetClasses(wrong); err == nil || !strings.Contains(err.Error(), "needs a name that no other has") {
			t.Errorf("%v", err)
		}
	}
	want("after a refusal", three, "more than 2 fields")
}

// Requests go on while classes change, each with one or the other.
func TestClassesChangeUnderLoad(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	stop := make(chan struct{})
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					if n > 0 {
						return
					}
				default:
				}
				got := query(s.router, `{ me { id name } }`, "")
				if !strings.HasPrefix(got.body, `{"data":{"me"`) && !strings.Contains(got.body, "more than 2 fields") {
					t.Error(got.body)
					return
				}
			}
		})
	}
	for i := range 200 {
		if err := s.router.SetClasses(everybody(router.Limits{MaxFields: 2 + i%2})); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	work.Wait()
}
