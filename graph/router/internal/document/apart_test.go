package document_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astprinter"

	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/internal/fault"
)

// setApart rewrites an operation about an interface of so many types.
func setApart(t *testing.T, types int, text string) (string, error) {
	t.Helper()
	fields := "id: ID! by: Person on: Node"
	for i := range 40 {
		fields += fmt.Sprintf(" f%d: Int", i)
	}
	sdl := "schema { query: Query } scalar ID scalar Int type Query { nodes: [Node] } type Person { id: ID! nick: Int age: Int boss: Person } interface Node { " + fields + " }"
	for i := range types {
		sdl += fmt.Sprintf(" type T%d implements Node { %s own: Int }", i, fields)
	}
	schema, doc := parsed(t, sdl), parsed(t, text)
	out, err := document.SetApart(doc, schema, document.NewShapes(schema), len(doc.Fields))
	if err != nil {
		return "", err
	}
	printed, err := astprinter.PrintString(out)
	if err != nil {
		t.Fatal(err)
	}
	return printed, nil
}

func parsed(t *testing.T, text string) *ast.Document {
	t.Helper()
	doc, report := astparser.ParseGraphqlDocumentString(text)
	if report.HasErrors() {
		t.Fatal(report)
	}
	return &doc
}

// Only fields that meet are written for each type, and only for types that have them.
func TestFieldsThatMeetAreWrittenApart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{nodes {id by {nick} ... on T0 {own by {age}}}}`:              `{nodes {id ... on T0 {own} ... on T0 {by {nick age}} ... on T1 {by {nick}}}}`,
		`{nodes {... on T0 {by {nick}} ... on Node {by {age}} id}}`:    `{nodes {id ... on T0 {by {nick age}} ... on T1 {by {age}}}}`,
		`{nodes {id ... on T0 {by {age}} ... on T1 {by {nick}}}}`:      `{nodes {id ... on T0 {by {age}} ... on T1 {by {nick}}}}`,
		`{nodes {x: by {id} ... on T1 {x: by {nick} by {age}} f1}}`:    `{nodes {... on T1 {by {age}} f1 ... on T0 {x: by {id}} ... on T1 {x: by {id nick}}}}`,
		`{nodes {on {by {id}} ... on T0 {on {... on T0 {by {age}}}}}}`: `{nodes {... on T0 {on {... on T0 {by {id age}} ... on T1 {by {id}}}} ... on T1 {on {by {id}}}}}`,
	} {
		got, err := setApart(t, 2, text)
		if err != nil || got != want {
			t.Errorf("%s\nwant %s\ngot  %s %v", text, want, got, err)
		}
	}
}

// What a client of good will asks of a large interface stays far below the bounds, and
// what multiplies from level to level is refused.
func TestHowMuchIsWrittenApart(t *testing.T) {
	t.Parallel()
	var all, each strings.Builder
	for i := range 40 {
		fmt.Fprintf(&all, " f%d", i)
	}
	for i := range 60 {
		fmt.Fprintf(&each, " ... on T%d { own f%d a%d: by { nick } }", i, i%40, i)
	}
	for _, text := range []string{
		"{ nodes {" + all.String() + " by { id nick boss { id } } on { id" + all.String() + " } " + each.String() + " ... on T3 { by { age } } } }",
		"{ nodes {" + all.String() + " by { id } ... on T1 { by { boss { boss { age } } } } ... on T2 { by { boss { nick } } } } }",
	} {
		got, err := setApart(t, 60, text)
		if err != nil || len(got) > 4*len(text)+4000 {
			t.Errorf("%s: %d bytes %v", text, len(got), err)
		}
	}
	text := "id"
	for range 7 {
		text = "on { by { id } " + text + " } ... on T1 { on { by { nick } } }"
	}
	if got, err := setApart(t, 3, "{ nodes { "+text+" } }"); !fault.Is(err, fault.CodeOperationTooComplex) {
		t.Errorf("%v %d", err, len(got))
	}
}
