package router_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/graphtest"
	"github.com/tradesage/tradesage/graph/graphtest/monolith/audit"
	"github.com/tradesage/tradesage/graph/graphtest/monolith/product"
	"github.com/tradesage/tradesage/internal/fault"
)

// events asks the router for a subscription and returns its events; a refusal is one.
func (f *federated) events(tb testing.TB, o graphtest.Operation, way string) [][]byte {
	tb.Helper()
	got := post(f.ways[way], o.Body(), "Accept", "text/event-stream")
	if got.status != http.StatusOK {
		return [][]byte{[]byte(got.body)}
	}
	var out [][]byte
	for line := range strings.Lines(got.body) {
		if data, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "data: "); ok && data != "" {
			out = append(out, []byte(data))
		}
	}
	return out
}

// wholeEvents are those of the server which has all types.
func (f *federated) wholeEvents(tb testing.TB, o graphtest.Operation) [][]byte {
	tb.Helper()
	var out [][]byte
	if err := f.whole.Subscribe(tb.Context(), o.Text, "", variablesOf(tb, o), func(event []byte) error {
		out = append(out, event)
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	return out
}

func variablesOf(tb testing.TB, o graphtest.Operation) []byte {
	tb.Helper()
	variables, err := json.Marshal(o.Variables)
	if err != nil {
		tb.Fatal(err)
	}
	return variables
}

// sameEvents compares the router's events with another server's. A subscription whose
// own field cannot be asked is refused by the router, and fails in each event there.
func sameEvents(tb testing.TB, want, got [][]byte) error {
	tb.Helper()
	if len(got) == 1 && len(want) > 1 {
		refusal, event := outcomeOf(tb, string(got[0])), outcomeOf(tb, string(want[0]))
		itself := slices.ContainsFunc(event.Errors, func(e outcomeError) bool {
			return len(e.Path) == 1 && e.Extensions.Code == string(fault.CodeInvalidInput)
		})
		if itself && refusal.Data == nil && len(refusal.Errors) == 1 && refusal.Errors[0].Extensions.Code == string(fault.CodeInvalidInput) {
			return nil
		}
	}
	if len(want) != len(got) {
		return fmt.Errorf("the router has %d events, and not %d", len(got), len(want))
	}
	for i := range want {
		whole, routed := outcomeOf(tb, string(want[i])), outcomeOf(tb, string(got[i]))
		if err := sameErrors(whole, routed); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		if diff := cmp.Diff(whole.Data, routed.Data); diff != "" {
			return fmt.Errorf("event %d: (-whole +router):\n%s", i, diff)
		}
	}
	return nil
}

// agreeOnEvents compares the router's events with those of a server of all types.
func (f *federated) agreeOnEvents(t *testing.T, o graphtest.Operation, whole func(testing.TB, graphtest.Operation) [][]byte) {
	t.Helper()
	wrong := func(o graphtest.Operation) error {
		return sameEvents(t, whole(t, o), f.events(t, o, "in one process"))
	}
	if wrong(o) == nil {
		return
	}
	small := graphtest.Shrink(f.whole.Schema(), o, func(o graphtest.Operation) bool { return wrong(o) != nil })
	t.Errorf("%v\n%s\nwhole:\n%s\nrouter:\n%s", wrong(small), small.Body(),
		bytes.Join(whole(t, small), nil), bytes.Join(f.events(t, small, "in one process"), []byte("\n")))
}

// Events are completed as one server with all types would tell them: fields that fail,
// entities that services lack, variables that are null where they must not be.
func TestEventsOfOneGraph(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		f := newFederated(t, seed, seed%2 == 1, auditFolder, auditFolder)
		if seed > 1 {
			f.world.SetGaps()
		}
		g := graphtest.NewGenerator(seed, f.whole.Schema())
		g.Depth, g.Width, g.Subscriptions, g.Nulls = 4, 3, true, true
		for i := range 100 {
			if f.agreeOnEvents(t, g.Next(), f.wholeEvents); t.Failed() {
				t.Fatalf("world %d, operation %d", seed, i)
			}
		}
	}
}

// What is selected in fragments on several types is asked for once, when the objects of
// all of them are known.
func TestEventsOfSeveralTypes(t *testing.T) {
	t.Parallel()
	f := newFederated(t, 0, false, auditFolder, auditFolder)
	for _, text := range []string{"x", "y", "z"} {
		f.agreeOnEvents(t, graphtest.Operation{
			Text: `subscription { said(text: "` + text + `") { ... on Question { by { favourite { stars } } } ... on Opinion { by { bought { inStock } } } } }`,
		}, f.wholeEvents)
	}
}

// gqlgenEvents are those of gqlgen's server of all types.
func (c *compared) gqlgenEvents(tb testing.TB, o graphtest.Operation) [][]byte {
	tb.Helper()
	out, err := c.gqlgen.Subscribe(tb.Context(), o.Text, variablesOf(tb, o))
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// The product's events, and those over all that federation allows, are those of one
// gqlgen server.
func TestEventsAsOneGqlgenServer(t *testing.T) {
	t.Parallel()
	for _, c := range []*compared{
		newCompared(t, 1, product.Schema, ownSubgraphs, ownComposition),
		newCompared(t, 3, audit.Schema, auditFolder, auditFolder),
	} {
		g := c.generator(1)
		g.Subscriptions = true
		for i := range 100 {
			if c.agreeOnEvents(t, g.Next(), c.gqlgenEvents); t.Failed() {
				t.Fatalf("operation %d", i)
			}
		}
	}
}

// A variable that is null where a value must be makes its field fail in each event, and
// the subscription only where that is its own.
func TestNullOfSubscriptions(t *testing.T) {
	t.Parallel()
	f := newFederated(t, 4, false, auditFolder, auditFolder)
	for _, text := range []string{
		`subscription ($v: Int = 5) { rated(product: "id~1") { by { id b: bought(since: {year: $v}) { id } c: bought { id } } } }`,
		`subscription ($v: Int = 5) { rated(product: "id~1") { by { bought(since: {year: $v}) { id } } } }`,
		`subscription ($v: Int = 5) { said { ... on Question { on { id } } ... on Opinion { by { b: bought(since: {year: $v}) { id } nick } } ... on Person { bought(since: {year: 1, month: $v}) { id } } } }`,
	} {
		for _, value := range []any{nil, 7} {
			f.agreeOnEvents(t, graphtest.Operation{Text: text, Variables: map[string]any{"v": value}}, f.wholeEvents)
		}
	}
	got := f.events(t, graphtest.Operation{
		Text:      `subscription ($v: Int = 5) { rated(product: "id~1") { by { id mine: bought(since: {year: $v}) { id } } } }`,
		Variables: map[string]any{"v": nil},
	}, "in one process")
	if len(got) != graphtest.Events {
		t.Fatalf("%d events: %s", len(got), got)
	}
	for _, event := range got {
		for _, want := range []string{`"mine":null`, `"path":["rated","by","mine"]`, `"field":"variables.v"`} {
			if !strings.Contains(string(event), want) {
				t.Errorf("want %s in %s", want, event)
			}
		}
	}
	refused := post(f.ways["in one process"], graphtest.Operation{
		Text:      `subscription ($v: Int) { rated(product: "id~1", stars: $v) { id } }`,
		Variables: map[string]any{"v": nil},
	}.Body(), "Accept", "text/event-stream")
	if !strings.Contains(refused.body, `"field":"variables.v"`) || !strings.Contains(refused.body, "INVALID_INPUT") {
		t.Errorf("%d %s", refused.status, refused.body)
	}
}
