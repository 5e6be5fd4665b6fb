package router_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

// What is @inaccessible exists for the planner only: a client can neither select
// it nor find it by introspection or in the SDL.
func TestInaccessibleFieldsAreHidden(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	wantError(t, query(s.router, `{ secret }`, ""), fault.CodeInvalidInput, `Cannot query field "secret"`)
	wantError(t, query(s.router, `{ me { internalNote } }`, ""), fault.CodeInvalidInput, `Cannot query field "internalNote"`)
	for _, text := range []string{
		`{ __schema { queryType { fields { name } } types { name fields { name } } } }`,
		`{ __type(name: "User") { fields { name } } }`,
	} {
		got := query(s.router, text, "")
		if !strings.Contains(got.body, `"greeting"`) && !strings.Contains(got.body, `"echo"`) {
			t.Errorf("no schema in %s", got.body)
		}
		if strings.Contains(got.body, "secret") || strings.Contains(got.body, "internalNote") {
			t.Errorf("a hidden field is in %s", got.body)
		}
	}
}

func TestIntrospectionIsOffUnlessAsked(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) { s.options.Introspection = false })
	for _, text := range []string{
		`{ __schema { types { name } } }`,
		`{ a: __type(name: "User") { name } }`,
		`{ ...F } fragment F on Query { __schema { types { name } } }`,
	} {
		wantError(t, query(s.router, text, ""), fault.CodeForbidden, "introspection")
	}
	wantBody(t, query(s.router, `{ __typename me { __typename } }`, ""), `{"data":{"__typename":"Query","me":{"__typename":"User"}}}`)
}

// A pooled normalizer keeps the name of its last operation: an anonymous one
// after a named one would lose its own operation.
func TestAnonymousAfterNamedOperations(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for i := range 20 {
		named := fmt.Sprintf(`query N%d { me { name } } query Other { me { email } }`, i)
		got := post(s.router, fmt.Sprintf(`{"query":%q,"operationName":"N%d"}`, named, i))
		wantBody(t, got, `{"data":{"me":{"name":"Ada"}}}`)
		wantBody(t, query(s.router, fmt.Sprintf(`{ a%d: me { id } }`, i), ""), fmt.Sprintf(`{"data":{"a%d":{"id":"u1"}}}`, i))
	}
}

func TestChoosingTheOperation(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	const two = `query A { me { id } } mutation B { touch }`
	for body, want := range map[string]string{
		`{"query":"` + two + `","operationName":"A"}`:       `{"data":{"me":{"id":"u1"}}}`,
		`{"query":"` + two + `","operationName":"B"}`:       `{"data":{"touch":1}}`,
		`{"query":"query A { me { id } }"}`:                 `{"data":{"me":{"id":"u1"}}}`,
		`{"query":"{ me { id } }","operationName":null}`:    `{"data":{"me":{"id":"u1"}}}`,
		`{"query":"` + two + `","extensions":{"client":1}}`: ``,
		`{"query":"` + two + `","operationName":"C"}`:       ``,
		`{"query":"` + two + `","operationName":""}`:        ``,
		`{"query":"fragment F on User { id }"}`:             ``,
		`{"query":"type X { id: ID }"}`:                     ``,
	} {
		got := post(s.router, body)
		if want == "" {
			wantError(t, got, fault.CodeInvalidInput, "the document holds")
			continue
		}
		wantBody(t, got, want)
	}
}

// The same plans serve all requests at once; the race detector watches.
func TestPlansAreShared(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := newShop(t, func(s *shop) { s.options.Metrics = registry })
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				id := []string{"u1", "u2", "u3"}[(worker+i)%3]
				name := people[id]["name"].(string)
				got := query(s.router, `query($id: ID!, $p: String) { user(id: $id) { id: name greeting(prefix: $p) orders { id reviews { author { reviewCount } } } } }`,
					fmt.Sprintf(`{"id":%q,"p":"w%d"}`, id, worker))
				if !strings.HasPrefix(got.body, fmt.Sprintf(`{"data":{"user":{"id":%q,"greeting":"w%d %s"`, name, worker, name)) {
					t.Errorf("worker %d: %s", worker, got.body)
				}
				wantError(t, query(s.router, `{ nope }`, ""), fault.CodeInvalidInput, "")
			}
		})
	}
	wg.Wait()
	misses := metric(t, registry, "tradesage_router_plan_cache_misses_total", "")
	if misses < 1 || misses > 8 {
		t.Errorf("%v misses for one operation and 8 workers", misses)
	}
	for labels, want := range map[string]float64{"query ok": 400, "mutation ok": 0, "unknown invalid": 400} {
		if got := metric(t, registry, "tradesage_router_requests_total", labels); got != want {
			t.Errorf("%s: %v requests, want %v", labels, got, want)
		}
	}
	if hits := metric(t, registry, "tradesage_router_plan_cache_hits_total", ""); hits != 400-misses {
		t.Errorf("%v hits beside %v misses", hits, misses)
	}
	if count := metric(t, registry, "tradesage_router_request_seconds", ""); count != 800 {
		t.Errorf("%v requests timed", count)
	}
}

// metric returns the value of a counter, or the count of a histogram, whose label
// values are these.
func metric(t *testing.T, registry *prometheus.Registry, name, labels string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var values []string
			for _, label := range m.GetLabel() {
				values = append(values, label.GetValue())
			}
			if family.GetName() != name || strings.Join(values, " ") != labels {
				continue
			}
			if h := m.GetHistogram(); h != nil {
				return float64(h.GetSampleCount())
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Errorf("no metric %s{%s}", name, labels)
	return 0
}

func TestThePlanCacheIsBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) { s.options.CacheSize = 4 })
	for i := range 100 {
		text := fmt.Sprintf(`{ a%d: me { id } }`, i)
		wantBody(t, query(s.router, text, ""), fmt.Sprintf(`{"data":{"a%d":{"id":"u1"}}}`, i))
	}
	if n := router.CachedOperations(s.router); n > 4 {
		t.Errorf("%d operations are kept", n)
	}
}

func TestBadConfigs(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]router.Options{
		"no JSON":        {Config: []byte(`{`)},
		"empty":          {Config: []byte(`{}`)},
		"unknown local":  {Config: readConfig(t, "shop"), Local: map[string]router.LocalSubgraph{"nope": nil}},
		"unknown remote": {Config: readConfig(t, "shop"), Remote: map[string]router.Remote{"nope": {URL: "http://localhost"}}},
		"broken schema":  {Config: []byte(strings.ReplaceAll(string(readConfig(t, "shop")), "type Review {", "type Review"))},
	} {
		if _, err := router.New(t.Context(), options); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
