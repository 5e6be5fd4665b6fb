package router_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/graphtest"
	"github.com/tradesage/tradesage/graph/graphtest/monolith"
	"github.com/tradesage/tradesage/graph/graphtest/monolith/audit"
	"github.com/tradesage/tradesage/graph/graphtest/monolith/product"
	"github.com/tradesage/tradesage/graph/router"
)

// compared are the router over many subgraphs, and gqlgen's server of all types of
// the same world.
type compared struct {
	*federated
	gqlgen *monolith.Server
	// ran and asked are the mutations that each has run, by their response names.
	ran   []string
	asked *journal
}

const (
	ownSubgraphs   = "../../subgraphs"
	ownComposition = ".."
	auditFolder    = "testdata/audit"
)

func newCompared(tb testing.TB, seed uint64, schema monolith.Schema, subgraphs, composition string, change ...func(*router.Options)) *compared {
	tb.Helper()
	c := &compared{asked: &journal{}}
	c.federated = newFederated(tb, seed, true, subgraphs, composition, func(o *router.Options) {
		o.Local = maps.Clone(o.Local)
		for name, subgraph := range o.Local {
			o.Local[name] = noted{exact{subgraph.(*graphtest.Server)}, c.asked}
		}
		for _, c := range change {
			c(o)
		}
	})
	c.gqlgen = monolith.New(schema, c.world)
	c.gqlgen.OnMutation = func(name string) { c.ran = append(c.ran, name) }
	return c
}

// exact is a made-up subgraph whose answers may go to clients as they are, as those
// of gqlgen's subgraphs do.
type exact struct{ *graphtest.Server }

func (e exact) ExecuteExact(ctx context.Context, query, operationName string, variables []byte) ([]byte, bool) {
	answer := e.Execute(ctx, query, operationName, variables)
	return answer, !bytes.HasPrefix(answer, []byte(`{"errors"`))
}

func (n noted) ExecuteExact(ctx context.Context, query, operationName string, variables []byte) ([]byte, bool) {
	return n.LocalSubgraph.(router.ExactSubgraph).ExecuteExact(ctx, query, operationName, variables) // queries alone
}

func (n noted) Subscribe(ctx context.Context, query, operationName string, variables []byte, deliver func([]byte) error) error {
	return n.LocalSubgraph.(router.LocalStreams).Subscribe(ctx, query, operationName, variables, deliver)
}

// rewritten compares an operation and another one that means the same.
func (c *compared) rewritten(t *testing.T, random *rand.Rand, o graphtest.Operation, ways ...string) {
	t.Helper()
	again, names := graphtest.Rewrite(random, c.whole.Schema(), o)
	_, before := c.wholeAnswer(t, o)
	_, after := c.wholeAnswer(t, again)
	after, err := graphtest.Renamed(after, names)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("%s\nis not the same as\n%s\n(-before +after):\n%s", o.Body(), again.Body(), diff)
	}
	for _, way := range ways {
		for _, o := range []graphtest.Operation{o, again} {
			if c.difference(t, o, way) == "" {
				continue
			}
			small := graphtest.Shrink(c.whole.Schema(), o, func(o graphtest.Operation) bool { return c.difference(t, o, way) != "" })
			t.Errorf("%s: %s\nfound with:\n%s", way, c.difference(t, small, way), o.Body())
		}
	}
}

// wholeAnswer is what gqlgen answers, and its data.
func (c *compared) wholeAnswer(tb testing.TB, o graphtest.Operation) (answer, data []byte) {
	tb.Helper()
	variables, err := json.Marshal(o.Variables)
	if err != nil {
		tb.Fatal(err)
	}
	c.ran = nil
	answer = c.gqlgen.Execute(tb.Context(), o.Text, "", variables)
	return answer, dataOf(tb, answer)
}

// difference is how the router's answer differs from gqlgen's; "" if it does not.
func (c *compared) difference(tb testing.TB, o graphtest.Operation, way string) string {
	tb.Helper()
	answer, data := c.wholeAnswer(tb, o)
	c.asked.entries, c.asked.overlap = nil, false
	text := post(c.ways[way], o.Body()).body
	wrong := sameErrors(outcomeOf(tb, string(answer)), outcomeOf(tb, text))
	switch {
	case wrong != nil:
	case !bytes.Equal(data, dataOf(tb, []byte(text))):
		wrong = fmt.Errorf("the data differ")
	case way == "in one process" && !cmp.Equal(c.ran, c.asked.entries) || c.asked.overlap:
		wrong = fmt.Errorf("gqlgen has run %v, the router %v", c.ran, c.asked.entries)
	default:
		return ""
	}
	return fmt.Sprintf("%v\n%s\ngqlgen: %srouter: %s", wrong, o.Body(), answer, text)
}

// dataOf is the text of an answer's data.
func dataOf(tb testing.TB, answer []byte) []byte {
	tb.Helper()
	var out struct{ Data json.RawMessage }
	if err := json.Unmarshal(answer, &out); err != nil {
		tb.Fatalf("%v in %s", err, answer)
	}
	return out.Data
}

// Random operations over the product's own supergraph, and what they become by other
// aliases, fragments, directives and variables, are answered as gqlgen answers them
// which has all types: the same data byte for byte, the same errors, the same
// mutations in the same order.
func TestOwnSupergraphAsOneGqlgenServer(t *testing.T) {
	t.Parallel()
	runCompared(t, newCompared(t, 1, product.Schema, ownSubgraphs, ownComposition), 1, 200)
}

// The same over all that federation allows.
func TestFederationsShapesAsOneGqlgenServer(t *testing.T) {
	t.Parallel()
	runCompared(t, newCompared(t, 2, audit.Schema, auditFolder, auditFolder), 2, 100)
}

// Fields are answered in the order in which they are asked for, for each type that an
// object can be.
func TestOrderOfFields(t *testing.T) {
	t.Parallel()
	c := newCompared(t, 2, audit.Schema, auditFolder, auditFolder)
	for _, text := range []string{
		`{ latest { ... on Found { ... on Question { answers { id } } } __typename } latest { ... on Review { text } } }`,
		`{ latest { on { opinions { ... on Question { id } id ... on Found { __typename } } } } }`,
		`{ found { ... on Opinion { text } ... on Question { on { shipping } } } }`,
		`{ found { ... on Opinion { __typename } ... on Question { answers { text } } } }`,
		`{ latest { ... on Question { id } id ... on Found { __typename } text } }`,
		`{ latest { ... on Review { id text } text id } }`, // the types want different orders
		`{ latest { ... on Review { on { name id } } on { id name } ... on Question { id text } ... on Opinion { text id } } }`,
		`{ found { ... on Opinion { text by { id nick } } ... on Person { nick id } ... on Question { by { nick age } id } } }`,
		`{ latest { ... on Question @skip(if: true) { id } text ... on Question { on { price } id } id } }`,
		`{ anything { ... on Film { seconds } ... on Medium { author { id } title pages } ... on Book { pages isbn } __typename } }`,
		`{ matrix { best { ... on Opinion { text } id ... on Review { stars text } } warehouses { id } } }`,
	} {
		for way := range c.ways {
			if wrong := c.difference(t, graphtest.Operation{Text: text}, way); wrong != "" {
				t.Errorf("%s: %s", way, wrong)
			}
		}
	}
}

func runCompared(t *testing.T, c *compared, seed uint64, count int) {
	t.Helper()
	g := c.generator(seed)
	for i := range count {
		ways := []string{"in one process"}
		if i%4 == 0 {
			ways = append(ways, "over HTTP")
		}
		if c.rewritten(t, g.Rand, g.Next(), ways...); t.Failed() {
			t.Fatalf("operation %d", i)
		}
	}
}

func (c *compared) generator(seed uint64) *graphtest.Generator {
	g := graphtest.NewGenerator(seed, c.whole.Schema())
	g.Depth, g.Width, g.Mutations = 4, 3, true
	return g
}

// choices are random numbers that bytes decide, as long as there are some.
type choices struct {
	bytes []byte
	after rand.Source
}

func (c *choices) Uint64() uint64 {
	if len(c.bytes) == 0 {
		return c.after.Uint64()
	}
	next := c.bytes[0]
	c.bytes = c.bytes[1:]
	return uint64(next) * 0x0101010101010101 // math/rand looks at the first bits, or at the last
}

// FuzzAsOneGqlgenServer is the same for operations that the fuzzer chooses: each byte
// is a choice of who writes and rewrites the operation.
func FuzzAsOneGqlgenServer(f *testing.F) {
	for _, text := range []string{"", "0", "\x00\xff0\xff", "the router", strings.Repeat("\xf0\x10", 20)} {
		f.Add(true, []byte(text))
		f.Add(false, []byte(text))
	}
	own := newCompared(f, 1, product.Schema, ownSubgraphs, ownComposition)
	shapes := newCompared(f, 2, audit.Schema, auditFolder, auditFolder)
	f.Fuzz(func(t *testing.T, isOwn bool, bytes []byte) {
		c := shapes
		if isOwn {
			c = own
		}
		hash := fnv.New64a()
		_, _ = hash.Write(bytes) // never fails
		g := c.generator(1)
		g.Rand = rand.New(&choices{bytes, rand.NewPCG(hash.Sum64(), 1)})
		c.rewritten(t, g.Rand, g.Next(), "in one process")
	})
}
