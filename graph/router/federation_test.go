package router_test

import (
	"context"
	"flag"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/graphtest"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

func everyScope(context.Context, [][]string) (string, error) { return "", nil }

// Random operations over the product's own supergraph are answered as one server
// with all types would answer them.
func TestOwnSupergraphIsOneGraph(t *testing.T) {
	t.Parallel()
	f := newFederated(t, 1, true, "../../subgraphs", "..")
	g := graphtest.NewGenerator(1, f.whole.Schema())
	g.Mutations, g.Nulls = true, true
	g.Depth, g.Width = 4, 3
	for i := range 300 {
		ways := []string{"in one process"}
		if i%4 == 0 {
			ways = append(ways, "over HTTP")
		}
		f.agree(t, g.Next(), ways...)
		if t.Failed() {
			t.Fatalf("operation %d", i)
		}
	}
}

// seeds is how many worlds a random test makes up of a supergraph: a few here, many
// (go test -args -seeds 200) where the router has changed; first is where they begin.
var (
	seeds = flag.Uint64("seeds", 6, "worlds that a random test makes up")
	first = flag.Uint64("first", 0, "the first of them")
)

// A supergraph with the shapes that federation allows: several keys, nested and
// compound ones, @requires with arguments and nested fields, @provides, @shareable,
// interfaces, unions, enums as input and output, lists in lists, @inaccessible.
func TestFederationsShapes(t *testing.T) {
	t.Parallel()
	randomWorlds(t, "testdata/audit", *seeds)
}

// randomWorlds compares random operations about some made-up worlds of a supergraph.
func randomWorlds(t *testing.T, folder string, worlds uint64) {
	t.Helper()
	for seed := *first; seed < *first+worlds; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			f := newFederated(t, seed, seed%2 == 1, folder, folder)
			if seed%3 > 0 { // some worlds are whole
				f.world.SetGaps()
			}
			g := graphtest.NewGenerator(seed, f.whole.Schema())
			g.Depth, g.Width, g.Mutations, g.Nulls = 4, 3, true, true
			for i := range 200 {
				ways := []string{"in one process"}
				if i%4 == 0 {
					ways = append(ways, "over HTTP")
				}
				if f.agree(t, g.Next(), ways...); t.Failed() {
					t.Fatalf("operation %d", i)
				}
			}
		})
	}
}

// What random operations have found out, kept.
func TestFragmentsWithinFragments(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	f := newFederated(t, 0, false, folder, folder)
	for _, text := range []string{
		// A fragment on an interface that is used twice is no cycle.
		`{ found(text: "x") { ...F3 } } fragment F0 on Film { author { __typename } } fragment F1 on Anything { ... on Film { ...F0 } }
			fragment F3 on Opinion { ... on Found { ... on Found { ...F1 ... on Review { text } } } ... on Question { text } }`,
		// The fragment around a wider one still counts.
		`{ anything { ... on Person { __typename } ... on Medium { by: title ... on Anything { ... on Medium { ... on Anything { ...F0 __typename } } } } } }
			fragment F0 on Product { label sku }`,
		`{ found { ... on Anything { ... { __typename } ... on Product { amount } } } }`,
		`{ product(id: "id~1") { opinions(kind: QUESTION) { ... on Found { __typename ... on Anything { ...F0 } } on { inStock } } } }
			fragment F0 on Medium { author { id } }`,
		`{ latest { ... on Found { ... on Anything { ... on Person { id } } ... on Opinion { id } } } }`,
	} {
		f.agree(t, graphtest.Operation{Text: text}, "in one process", "over HTTP")
	}
	// A selection that @include has emptied takes nothing from the one beside it.
	f.agree(t, graphtest.Operation{
		Text:      `query ($no: Boolean!) { anything { ... on Medium { pages } __typename } anything { ... on Film @include(if: $no) { pages } } }`,
		Variables: map[string]any{"no": false},
	}, "in one process", "over HTTP")
	// A fragment that can never apply is refused as ever, also inside another one.
	for _, text := range []string{
		`{ media { ... on Person { id } } }`, `{ media { ... on Book { ... on Film { code } } } }`, `{ me { ...F } } fragment F on Product { id }`,
	} {
		wantError(t, query(f.ways["in one process"], text, ""), fault.CodeInvalidInput, "can never be of type")
	}
	f.agree(t, graphtest.Operation{Text: `{ matrix { inStock } m: matrix { id: name shipping warehouses { keeper { homes { id } } } } }`}, "in one process", "over HTTP")
}

// What is selected on an interface, and on one of its types again, is one field.
func TestSelectionsThatMeet(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	for seed, texts := range map[uint64][]string{
		7:  {`mutation { rate(product: "a \"quoted\" word\n", stars: 80) { by { favourite { __typename } } ... on Found { ... on Opinion { by { homes { id } } } } } }`},
		21: {`mutation { rate(product: "id~7", stars: 8) { by { nick } ... on Found { ... on Opinion { by { friends { greeting } } } } } }`},
		10: {
			`{ latest { by { written { stars } } ... on Found { ... on Opinion { by { bought { amount } } } } } }`,
			// Shipping requires the price in another currency than the one that is asked for.
			`{ latest { on { shipping } ... on Question { on { price } } } }`,
			// These never meet: they may differ.
			`{ latest { ... on Question { on { price shipping } } ... on Review { on { price(currency: "x") shipping } } on { shipping } } }`,
		},
		12: {`{ latest { by { favourite { shipping } } ... on Question { by { favourite { price } } } } }`},
	} {
		f := newFederated(t, seed, false, folder, folder)
		for _, text := range texts {
			f.agree(t, graphtest.Operation{Text: text}, "in one process", "over HTTP")
		}
	}
}

// Selections that meet at each level become too many.
func TestSelectionsThatMeetAreBounded(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	f := newFederated(t, 0, false, folder, folder)
	text := "id"
	for range 14 {
		text = "opinions { on { " + text + " } ... on Question { on { id } } }"
	}
	wantError(t, query(f.ways["in one process"], "{ products { "+text+" } }", ""), fault.CodeOperationTooComplex, "overlapping fragments")
}

// An error says which entity it is of, at each place where that one stands, also where
// its null is not seen.
func TestPlacesOfErrors(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	for seed, cases := range map[uint64]map[string]string{
		5:    {`{ scarce { shipping(express: true) } }`: `["scarce",0,"shipping"]`},
		7:    {`{ scarce { label name } }`: `["scarce",0,"name"]`},
		1175: {`{ me { homes { on: shelves { number } } } }`: `["me","homes",1,"on",0]`},         // one is null by the other's error
		1157: {`{ matrix { best { on { inStock } } } }`: `["matrix",2,0,"best","on","inStock"]`}, // the same product as [2][2]
	} {
		f := newFederated(t, seed, true, folder, folder)
		if seed > 1000 {
			f.world.SetGaps()
		}
		for text, path := range cases {
			o := graphtest.Operation{Text: text}
			f.agree(t, o, "in one process", "over HTTP")
			if got := post(f.ways["in one process"], o.Body()).body; !strings.Contains(got, `"path":`+path) {
				t.Errorf("%s: want an error at %s: %s", text, path, got)
			}
		}
	}
}

// Services are asked for all that may be needed of a type: what fails of it and stands
// nowhere in the answer is nobody's error.
func TestFailuresOfWhatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	for _, seed := range []uint64{14, 16} {
		newFederated(t, seed, true, folder, folder).agree(t, graphtest.Operation{
			Text: `{ latest { ... on Review { on { opinions { on { inStock } } } } on { opinions { on { weight } } } on { opinions { ... on Review { on { inStock } } } } } }`,
		}, "in one process", "over HTTP")
	}
}

// mute is a subgraph that answers for no entities.
type mute struct{ router.LocalSubgraph }

func (s mute) Execute(ctx context.Context, query, operationName string, variables []byte) []byte {
	if strings.Contains(query, "_entities") {
		return []byte(`{"data":null,"errors":[{"message":"not now","extensions":{"code":"UNAVAILABLE"}}]}`)
	}
	return s.LocalSubgraph.Execute(ctx, query, operationName, variables)
}

// An error of all entities that are fetched together is at the list that they are in.
func TestErrorsOfWholeFetchesAreAtTheirLists(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	f := newFederated(t, 3, false, folder, folder, func(o *router.Options) {
		o.Local = maps.Clone(o.Local)
		for name, subgraph := range o.Local {
			o.Local[name] = mute{subgraph}
		}
	})
	for text, path := range map[string]string{
		`{ me { homes { on: shelves { number } } } }`:                               `["me","homes"]`,
		`{ products { name: inStock } }`:                                            `["products"]`,
		`{ found { ... on Opinion { is: by { nick age friends { greeting } } } } }`: `["found"]`,
	} {
		got := query(f.ways["in one process"], text, "").body
		paths := regexp.MustCompile(`"path":(\[[^]]*\])`).FindAllStringSubmatch(got, -1)
		if len(paths) == 0 {
			t.Errorf("%s: no error: %s", text, got)
		}
		for _, p := range paths {
			if p[1] != path {
				t.Errorf("%s: want errors at %s: %s", text, path, got)
			}
		}
	}
}

// A field that must have a value and has none, because a service does not know its
// object, is an error of its own beside those of others.
func TestMissingEntitiesAreTold(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	f := newFederated(t, 8, false, folder, folder)
	f.world.SetGaps()
	f.agree(t, graphtest.Operation{
		Text: `{ warehouse(id: "id~7") { shelves { product { inStock } } keeper { bought(since: {month: 67, year: 92}) { inStock } } } }`,
	}, "in one process", "over HTTP")
	f.agree(t, graphtest.Operation{Text: `{ me { favourite { similar { inStock } } } matrix { best { stars } } }`}, "in one process", "over HTTP")
}

// Fields of one name are of one type, also where no object has both.
func TestDifferentShapesAreRefused(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	f := newFederated(t, 0, false, folder, folder)
	for text, want := range map[string]string{
		`{ anything { ... on Book { is: pages } ... on Film { is: title } } }`:                                            `"is" conflict`,
		`{ anything { ... on Book { is: title } ... on Film { is: author { id } } } }`:                                    `"is" conflict`,
		`{ anything { ... on Book { is: pages } ... on Film { is: seconds } } }`:                                          `"is" conflict`, // Int and Int!
		`{ anything { ... on Book { is: author { is: id } } ... on Product { is: brand { is: name } } } }`:                `"is" conflict`,
		`{ anything { ... on Book { is: title } ... on Film { is: __typename } ... on Person { is: age } } }`:             `"is" conflict`,
		`{ anything { ... on Book { is: isbn } ... on Film { is: __typename } ... on Person { is: nick } } }`:             `"is" conflict`, // String! and String
		`{ media { is: __typename ... on Film { is: title } } }`:                                                          `"is" conflict`,
		`{ media { __typename ... on Film { __typename: title } } }`:                                                      `"__typename" conflict`,
		`{ anything { ... on Book { is: author { is: id } } ... on Person { is: favourite { is: id } } } }`:               ``,
		`{ anything { ... on Book { is: isbn } ... on Film { is: title } } media { ... on Film { is: author { id } } } }`: ``,
	} {
		if want == "" {
			if got := query(f.ways["in one process"], text, ""); strings.Contains(got.body, `"errors"`) {
				t.Errorf("%s: %s", text, got.body)
			}
			continue
		}
		wantError(t, query(f.ways["in one process"], text, ""), fault.CodeInvalidInput, want)
	}
}

// The name of a type is a String!, so that its alias may be that of another one in
// fragments that never meet.
func TestAliasesOfTypenames(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	f := newFederated(t, 3, false, folder, folder)
	ask := func(text string) string { return query(f.ways["in one process"], text, "").body }
	for text, plain := range map[string]string{
		`{ media { ... on Book { is: isbn title } ... on Film { is: __typename } } }`:                            `{ media { ... on Book { is: isbn title } ... on Film { y: __typename } } }`,
		`{ media { ... on Book { title } ... on Film { title: __typename } } }`:                                  `{ media { ... on Book { title } ... on Film { y: __typename } } }`,
		`{ media { ... on Film { __typename } ... on Book { __typename: title author { __typename: id } } } }`:   `{ media { ... on Film { y: __typename } ... on Book { y: title author { y: id } } } }`,
		`{ anything { ... on Book { greeting: __typename } ... on Person { greeting } ... on Film { title } } }`: `{ anything { ... on Book { y: __typename } ... on Person { greeting } ... on Film { title } } }`,
	} {
		name := "is"
		for _, n := range []string{"title", "__typename", "greeting"} {
			if strings.Contains(text, n+": ") {
				name = n
			}
		}
		want, got := strings.ReplaceAll(ask(plain), `"y":`, `"`+name+`":`), ask(text)
		if want != got || strings.Contains(got, `"errors"`) {
			t.Errorf("%s\nwant %s\ngot  %s", text, want, got)
		}
	}
}
