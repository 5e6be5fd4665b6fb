package router_test

import (
	"testing"

	"github.com/tradesage/tradesage/graph/graphtest"
)

const circle = "testdata/circle"

// A supergraph whose subgraphs require each other's fields, which require fields of
// their own again.
func TestRandomCirclesOfRequirements(t *testing.T) {
	t.Parallel()
	randomWorlds(t, circle, (*seeds+1)/2)
}

// Each of these needs answers of two subgraphs in turns; some the planner plans in a
// circle, some with what one field requires in the place of what another does.
func TestCirclesOfRequirements(t *testing.T) {
	t.Parallel()
	f := newFederated(t, 1, false, circle, circle)
	for _, text := range []string{
		`{ last { one } }`,
		`{ last { two } }`,
		`{ last { three } }`,
		`{ last { four } }`,
		`{ last { five } }`,
		`{ last { six } }`,
		`{ last { seven } }`,
		`{ last { one two three } }`,
		`{ last { all } }`,
		`{ last { sum } }`,
		`{ last { fits } }`,
		`{ last { size { width } fits three } }`,
		`{ last { size { width } fits three } last { one two three sum all } }`,
		`{ posts { byExpert } }`,
		`{ posts { byNovice } }`,
		`{ posts { byExpert byNovice author { years } } }`,
		`{ posts { praise } }`,
		`{ posts { author { title } } }`,
		`{ posts { author { badge } byExpert } }`,
		`{ posts { praise author { title } reply { praise } } }`,
		`{ first { seven post { shown } } }`,
		`{ first { seven eight } }`,
		`{ first { eight three } }`,
		`{ last { two all } }`,
		`{ last { one(unit: "x") all } steps { two one: all o: one } }`,
		`{ either { ... on Step { six } ... on Post { praise } } }`,
	} {
		f.agree(t, graphtest.Operation{Text: text}, "in one process")
	}
}
