package router_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
)

// face is a subgraph of a supergraph with an entity interface, which one of them knows
// as an object only.
type face string

func (f face) Execute(_ context.Context, text, _ string, variables []byte) []byte {
	var given struct{ Representations []map[string]any }
	_ = json.Unmarshal(variables, &given) // none of most
	list := func(of func(id string) string) []byte {
		var out []string
		for _, r := range given.Representations {
			out = append(out, of(fmt.Sprint(r["id"])))
		}
		return fmt.Appendf(nil, `{"data":{"_entities":[%s]}}`, strings.Join(out, ","))
	}
	entities := strings.Contains(text, "_entities")
	switch {
	case f == "films" && entities:
		return list(func(id string) string { return `{"__typename":"Book","title":"B","pages":3,"id":"` + id + `"}` })
	case f == "films":
		return []byte(`{"data":{"media":[{"__typename":"Book","id":"1","title":"B","pages":3},{"__typename":"Film","id":"2","title":"F","seconds":9}]}}`)
	case f == "votes" && entities:
		return list(func(id string) string {
			return `{"stars":5` + id + `,"votes":7}`
		})
	case f == "votes":
		return []byte(`{"data":{"best":{"__typename":"Media","id":"1","stars":4,"votes":2}}}`)
	}
	return list(func(string) string { return `{"__typename":"Book","moved":8}` })
}

func newFaces(t *testing.T) http.Handler {
	return newRouter(t, router.Options{
		Config: readConfig(t, "faces"), Introspection: true,
		Local: map[string]router.LocalSubgraph{"films": face("films"), "votes": face("votes"), "moves": face("moves")},
	})
}

// Who knows an interface as an object adds to all of its types; a field that has moved
// is asked of its new owner.
func TestInterfaceObjects(t *testing.T) {
	t.Parallel()
	h := newFaces(t)
	for text, want := range map[string]string{
		`{ media { id title stars votes } }`:                                      `{"media":[{"id":"1","title":"B","stars":51,"votes":7},{"id":"2","title":"F","stars":52,"votes":7}]}`,
		`{ media { __typename ... on Book { stars moved } ... on Film { id } } }`: `{"media":[{"__typename":"Book","stars":51,"moved":8},{"__typename":"Film","id":"2"}]}`,
		`{ best { stars } }`:                             `{"best":{"stars":4}}`,
		`{ best { __typename stars title } }`:            `{"best":{"__typename":"Book","stars":4,"title":"B"}}`,
		`{ best { stars ... on Book { pages moved } } }`: `{"best":{"stars":4,"pages":3,"moved":8}}`,
	} {
		if got := query(h, text, ""); got.body != `{"data":`+want+`}` {
			t.Errorf("%s\nwant %s\ngot  %s", text, want, got.body)
		}
	}
}

// What is inaccessible is in no text: a client that guesses reads what it would read of
// a name that does not exist.
func TestInaccessibleNamesAreNotShown(t *testing.T) {
	t.Parallel()
	h := newFaces(t)
	for text, name := range map[string]string{
		`{ %s }`:                                          "hidden",
		`{ pick(by: %s) }`:                                "SECRETORDER",
		`{ media { ... on Book { %s } } }`:                "secretcode",
		`query ($s: Sort = %s) { pick(by: $s) }`:          "SECRETORDER",
		`{ __type(name: "Book") { fields { %s } } }`:      "secretcode",
		`{ media { ... on Book { secretcode(%s: 1) } } }`: "id",
	} {
		there, absent := query(h, fmt.Sprintf(text, name), "").body, query(h, fmt.Sprintf(text, name+"x"), "").body
		if want := strings.ReplaceAll(absent, name+"x", name); there != want || !strings.Contains(there, `"errors"`) {
			t.Errorf("%s: %s\nbut of a name that is not there: %s", text, there, want)
		}
	}
	for _, text := range []string{`{ hidde }`, `{ media { ... on Book { secretcod } } }`, `{ pick(by: SECRETORDE) }`} {
		for _, name := range []string{"hidden", "secretcode", "SECRETORDER"} {
			if got := query(h, text, ""); strings.Contains(got.body, name) {
				t.Errorf("%s: %s", text, got.body)
			}
		}
	}
	if got := query(h, `{ __schema { types { name fields(includeDeprecated: true) { name } enumValues(includeDeprecated: true) { name } } } }`, ""); strings.Contains(got.body, "hidden") ||
		strings.Contains(got.body, "secretcode") || strings.Contains(got.body, "SECRETORDER") {
		t.Error(got.body)
	}
}
