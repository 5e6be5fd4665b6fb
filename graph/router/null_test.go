package router_test

import (
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/graphtest"
	"github.com/tradesage/tradesage/internal/fault"
)

// A variable that may be null, where a default allows it and a value must be, makes
// the field fail and not the request.
func TestNullWhereAValueMustBe(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	f := newFederated(t, 4, false, folder, folder)
	null, seven := map[string]any{"v": nil}, map[string]any{"v": 7}
	for _, o := range []graphtest.Operation{
		{Text: `mutation ($v: Int) { a: book(product: "id~3", amount: $v) { id } b: dropProduct(id: "id~3") }`, Variables: null},
		{Text: `mutation ($v: Int) { a: book(product: "id~3", amount: $v) { id } b: dropProduct(id: "id~3") }`, Variables: seven},
		{Text: `mutation ($v: Int) { a: book(product: "id~3", amount: $v) { id } b: dropProduct(id: "id~3") }`, Variables: map[string]any{}},
		{Text: `mutation ($v: Int = null) { a: book(product: "id~3", amount: $v) { id } }`, Variables: map[string]any{}},
		{Text: `query ($v: Int) { p: products(filter: {price: {least: $v, most: 3}}) { id } me { id } }`, Variables: null},
		{Text: `query ($v: Int) { p: products(filter: {price: {least: $v, most: $v}}) { id } me { id } }`, Variables: seven},
		{Text: `query ($v: Int) { products(filter: {price: {most: $v}}) { id } me { id } }`, Variables: null},
		{Text: `query ($v: Int) { me { id b: bought(since: {year: 1, month: $v}) { id } } }`, Variables: null},
		{Text: `query ($v: Int = 5) { me { id b: bought(since: {year: $v}) { id } c: bought { id } } }`, Variables: null},
		{Text: `query ($v: Int = 5) { me { b: bought(since: {year: $v}) { id } } }`, Variables: map[string]any{}},
		{Text: `query ($v: ID = "id~1") { product(id: $v) { id } warehouse(id: $v) { id } }`, Variables: null},
		{Text: `mutation ($v: Int = 3) { rate(product: "id~3", stars: $v) { id } }`, Variables: null},
	} {
		f.agree(t, o, "in one process", "over HTTP")
	}
	// Which variable it was is told with the client's alias.
	got := post(f.ways["in one process"], graphtest.Operation{
		Text: `mutation ($v: Int) { mine: book(product: "id~3", amount: $v) { id } }`, Variables: null}.Body())
	for _, want := range []string{`"path":["mine"]`, `"field":"variables.v"`, `"data":{"mine":null}`, `argument \"amount\"`} {
		if got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%d %s, want %s", got.status, got.body, want)
		}
	}
	// A type that does not fit is the request's fault as ever.
	wantError(t, query(f.ways["in one process"], `query ($v: Int) { me { bought(since: {year: $v}) { id } } }`, `{"v":null}`), fault.CodeInvalidInput, "")
	wantError(t, query(f.ways["in one process"], `query ($v: Int) { products(filter: {price: {least: $v}}) { id } }`, `{"v":"x"}`), fault.CodeInvalidInput, "v")
}

// What the engine puts into an emptied selection is not shown, also where an answer is
// completed with what was not asked for.
func TestEmptiedSelectionsBesideRefusedFields(t *testing.T) {
	t.Parallel()
	const folder = "testdata/audit"
	f := newFederated(t, 309, true, folder, folder)
	f.agree(t, graphtest.Operation{
		Text:      `query ($v: String = "x") { latest(first: 9) { by { id @include(if: false) } } medium(isbn: $v) { title } }`,
		Variables: map[string]any{"v": nil},
	}, "in one process", "over HTTP")
}
