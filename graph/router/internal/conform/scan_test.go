package conform

import (
	"testing"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

const (
	scanSchema = `schema { query: Query }
type Query { item: Item items: [[Item!]] any: Any number: Float }
type Item { id: ID! name: String size: Int ok: Boolean kind: Kind any: Any item: Item }
enum Kind { A }
scalar Any`
	scanQuery = `{ number any item { id name size ok kind any item { id } ... on Item { same: name } ... on Item { same: size } } items { id size } }`
)

func scanShape(tb testing.TB) *Shape {
	tb.Helper()
	schema, report := astparser.ParseGraphqlDocumentString(scanSchema)
	if report.HasErrors() {
		tb.Fatal(report)
	}
	s := Compile(&schema, scanQuery)
	if s == nil {
		tb.Fatal("no shape")
	}
	return s
}

func plainly(s *Shape, response string) bool {
	text := []byte(response)
	_, fits := s.response.scan(text, rawjson.SkipSpace(text, 0))
	return fits
}

var plain = []string{
	`{"data":{"number":1.5e3,"any":{"x":[1,"]"]},"item":{"id":"1","name":"a\\","size":-7,"ok":true,"kind":"A","any":null,"item":{"id":"2"},"same":"x"}}}`,
	` { "data" : { "items" : [ [ { "id" : "1" , "size" : 2147483647 } ] , null , [ ] ] } , "errors" : [ { "message" : "}" } ] } `,
	`{"data":{"item":{"same":4,"other":[{}]}}}`,
	`{"data":null}`,
	`{"errors":[]}`,
	`{"data":{"item":{"name":"\u0061\"b","size":1.0}}}`,
}

var notPlain = []string{
	`{"data":{"item":{"size":"7"}}}`, `{"data":{"item":{"size":2147483648}}}`, `{"data":{"item":{"size":1.5}}}`, `{"data":{"item":{"id":7}}}`,
	`{"data":{"item":[]}}`, `{"data":{"items":{}}}`, `{"data":{"items":[{}]}}`, `{"data":{"item":{"ok":"true"}}}`, `{"data":{"number":"1"}}`,
	`{"data":{"item":{"name":1}}}`, `{"data":{"item":{"same":true}}}`, `{"data":[]}`, `{"data":"x"}`,
	`[]`, ``, `{`, `{"data":{"item":{"name":"a`, `{"data":{"item":{"na\u006de":1}}}`, `nul`,
}

func TestScan(t *testing.T) {
	t.Parallel()
	s := scanShape(t)
	for _, response := range plain {
		if !plainly(s, response) {
			t.Errorf("does not fit: %s", response)
		}
	}
	for _, response := range notPlain {
		if plainly(s, response) {
			t.Errorf("fits: %s", response)
		}
	}
}

// What fits plainly fits: it is handed on as it is.
func FuzzScan(f *testing.F) {
	for _, response := range append(plain, notPlain...) {
		f.Add(response)
	}
	s := scanShape(f)
	f.Fuzz(func(t *testing.T, response string) {
		fits := plainly(s, response)
		parsed, err := astjson.Parse(response)
		if err != nil {
			return // refused elsewhere
		}
		data := parsed.Get("data")
		if right := data == nil || s.fits(data); fits && !right {
			t.Errorf("%s does not fit", response)
		}
	})
}
