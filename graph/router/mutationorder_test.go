package router_test

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/tradesage/tradesage/graph/graphtest"
	"github.com/tradesage/tradesage/graph/router"
)

// journal notes the mutations that subgraphs are asked for, as they begin and end.
type journal struct {
	mu      sync.Mutex
	entries []string
	running int
	overlap bool
}

// noted is a subgraph that writes into a journal.
type noted struct {
	router.LocalSubgraph
	journal *journal
}

func (n noted) Execute(ctx context.Context, query, operationName string, variables []byte) []byte {
	doc, err := parser.ParseQuery(&ast.Source{Input: query})
	if err != nil || doc.Operations[0].Operation != ast.Mutation {
		return n.LocalSubgraph.Execute(ctx, query, operationName, variables)
	}
	n.journal.begin(doc.Operations[0].SelectionSet)
	defer n.journal.end()
	return n.LocalSubgraph.Execute(ctx, query, operationName, variables)
}

func (j *journal) begin(fields ast.SelectionSet) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running++
	j.overlap = j.overlap || j.running > 1
	for _, s := range fields {
		j.entries = append(j.entries, strings.TrimPrefix(s.(*ast.Field).Alias, "tsAlias_"))
	}
}

func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running--
}

// Mutations of several services run one after the other, in the client's order.
func TestMutationsRunInOrder(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	notes := &journal{}
	f := newFederated(t, 1, true, folder, folder, func(o *router.Options) {
		o.Local = maps.Clone(o.Local)
		for name, subgraph := range o.Local {
			o.Local[name] = noted{subgraph, notes}
		}
	})
	for text, want := range map[string]string{
		`mutation { a: addProduct(input: {name: "x"}) { id } b: rate(product: "id~1", stars: 1) { id } c: dropProduct(id: "id~1") d: book(product: "id~2") { id } e: addProduct(input: {name: "y"}) { id } }`: "a b c d e",
		`mutation { e: book(product: "id~2") { name opinions { id } } d: dropProduct(id: "id~1") c: book(product: "id~2") { inStock } b: rate(product: "id~1", stars: 1) { by { nick } } }`:                   "e d c b",
		`mutation { rate(product: "id~1", stars: 1) { on { name } } ...F ... { z: dropProduct(id: "id~3") } rate(product: "id~1", stars: 1) { id } ...F }
			fragment F on Mutation { book(product: "id~1") { id } y: rate(product: "id~4", stars: 2) { id } }`: "rate book y z",
		`mutation { a: dropProduct(id: "id~1") b: dropProduct(id: "id~2") c: book(product: "id~1") { id } d: dropProduct(id: "id~3") }`: "a b c d",
	} {
		for range 5 {
			notes.entries = nil
			f.agree(t, graphtest.Operation{Text: text}, "in one process")
			if diff := cmp.Diff(strings.Fields(want), notes.entries); diff != "" {
				t.Errorf("%s (-want +got):\n%s", text, diff)
			}
		}
	}
	if notes.overlap {
		t.Error("mutations ran at the same time")
	}
}
