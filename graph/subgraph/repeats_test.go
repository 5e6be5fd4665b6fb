package subgraph_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/subgraph"
)

// Validation compares what is selected in one place, each with each: a document
// that makes that slow is refused before it.
func TestRepeatsAreRefusedBeforeValidation(t *testing.T) {
	t.Parallel()
	s := newServer(subgraph.Options{Logger: quiet()})
	fragments := func(n int, body string) string {
		out, spread := "", ""
		for i := range n {
			name := strings.Repeat("F", i+1)
			out += " fragment " + name + " on Query { " + body + " }"
			spread += " ..." + name
		}
		return "{" + spread + " }" + out
	}
	for query, want := range map[string]string{
		"{" + strings.Repeat("hello ", 100) + "}":                                                                 "",
		"{" + strings.Repeat("hello ", 101) + "}":                                                                 `selects \"hello\" more than 100 times`,
		"{ books {" + strings.Repeat(" id", 101) + "} }":                                                          `selects \"id\" more than 100 times`,
		"{" + strings.Repeat("books { id id id } ", 34) + "}":                                                     `selects \"id\" more than 100 times`,
		"{ ..." + strings.Repeat(" on Query { ...", 30) + " on Query { hello }" + strings.Repeat(" }", 30) + " }": "",
		fragments(40, "hello hello hello"):                                                                        `selects \"hello\" more than 100 times`,
		fragments(101, "hello"):                                                                                   `more than 100 fragments in one place`,
		"{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }":                            `more than 100 fragments in one place`,
		"{ ...A } fragment A on Query { books { id } ...A }":                                                      `more than 100`,
		"query A { hello } query B {" + strings.Repeat(" hello", 101) + " }":                                      `selects \"hello\" more than 100 times`,
		"{ hello } fragment F on Query {" + strings.Repeat(" hello", 101) + " }":                                  `selects \"hello\" more than 100 times`,
		"subscription {" + strings.Repeat(" added { id }", 101) + " }":                                            `selects \"added\" more than 100 times`,
	} {
		body, err := json.Marshal(map[string]string{"query": query})
		if err != nil {
			t.Fatal(err)
		}
		for _, accept := range []string{"application/json", "text/event-stream"} {
			req := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(string(body)))
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Accept", accept)
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, req)
			if got := rec.Body.String(); !strings.Contains(got, want) || want == "" && strings.Contains(got, "errors") {
				t.Errorf("%.80s: %.300s, want %q", query, got, want)
			}
		}
	}
}
