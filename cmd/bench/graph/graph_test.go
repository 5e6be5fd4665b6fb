package graph_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/tradesage/tradesage/cmd/bench/desk/market"
	"github.com/tradesage/tradesage/cmd/bench/desk/people"
	"github.com/tradesage/tradesage/cmd/bench/graph"
	"github.com/tradesage/tradesage/graph/graphtest"
)

// answer is what both servers must agree on. What an error says is masked by the
// router, and where it is in the text is told by gqlgen only.
type answer struct {
	Data   json.RawMessage
	Errors []responseError
}

type responseError struct{ Path []any }

// Random operations are answered by the router over three subgraphs as by gqlgen
// with all types: the same fields with the same values in the same order, and errors
// at the same places.
func TestTheRouterAnswersAsOneServer(t *testing.T) {
	t.Parallel()
	sdl, err := os.ReadFile("supergraph.graphql")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: string(sdl)})
	if err != nil {
		t.Fatal(err)
	}
	router, err := graph.Router(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	whole := graph.Monolith()
	g := graphtest.NewGenerator(1, schema)
	g.Depth, g.Width = 4, 4
	g.IDs = []string{
		people.TraderID(1).String(), people.TraderID(2).String(), market.InstrumentID(1).String(), market.InstrumentID(2).String(),
		"00000000-0000-0000-0000-000000000000", "nobody",
	}
	answered, failed := 0, 0
	for range 300 {
		o := g.Next()
		text := ask(router, o)
		if strings.Contains(text, "OPERATION_TOO_COMPLEX") { // lists of lists of long lists
			continue
		}
		want, got := read(t, ask(whole, o)), read(t, text)
		if answered++; len(want.Errors) > 0 {
			failed++
		}
		if diff := cmp.Diff(string(want.Data), string(got.Data)) + cmp.Diff(want.Errors, got.Errors); diff != "" {
			t.Fatalf("%s\n(-gqlgen +router):\n%s", o.Body(), diff)
		}
	}
	if answered < 200 || failed < 20 {
		t.Errorf("%d operations were answered, %d with errors: the test says little", answered, failed)
	}
}

func ask(h http.Handler, o graphtest.Operation) string {
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(o.Body()))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

func read(t *testing.T, text string) answer {
	t.Helper()
	var out answer
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	slices.SortFunc(out.Errors, func(a, b responseError) int { return strings.Compare(fmt.Sprint(a.Path), fmt.Sprint(b.Path)) })
	return out
}
