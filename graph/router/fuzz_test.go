package router

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/fault"
)

// nothing answers each fetch alike: there is nothing.
type nothing struct{}

func (nothing) Execute(context.Context, string, string, []byte) []byte {
	return []byte(`{"errors":[{"message":"nothing","extensions":{"code":"NOT_FOUND"}}],"data":null}`)
}

// FuzzPrepare sends any bytes as a request: nothing panics, every answer is a
// GraphQL response whose errors have known codes, and nothing is our fault.
func FuzzPrepare(f *testing.F) {
	for _, seed := range []string{
		`{"query":"{ me { id: name orders { id } } }"}`,
		`{"query":"query($a: Boolean!, $f: UserFilter) { me @skip(if: $a) { id } search(filter: $f) { id } }","variables":{"a":true,"f":{"tags":"x"}}}`,
		`{"query":"query A($n: String = \"x\") { search(filter: {name: $n, tags: [$n]}) { id } } query B { orders { id } }","operationName":"A"}`,
		`{"query":"{ node(kind: \"order\") { __typename ... on Order { ...F } } } fragment F on Order { total buyer { name: greeting } }"}`,
		`{"query":"mutation { rename(id: \"u1\", name: \"\"\"block \\\"\"\"\"\"\"\") { id } }"}`,
		`{"query":"{ users(ids: [\"a\", null, 1], limit: -0) { id } echo(value: \"\\u{1F600}\\ud83d\") }"}`,
		`{"query":"{__schema{types{name}}}","variables":null}`,
		`{"query":"subscription { userRenamed { id } }"}`,
		`{"query":"{ a: me { ...F } } fragment F on User { ...F }"}`,
		`{"query":"{me{id@include(if:false)}}","extensions":{}}`,
		`[{"query":"{me{id}}"}]`,
	} {
		f.Add([]byte(seed))
	}
	config, err := os.ReadFile(filepath.Join("testdata", "shop", "supergraph.json"))
	if err != nil {
		f.Fatal(err)
	}
	var log bytes.Buffer
	r, err := New(f.Context(), Options{
		Config:        config,
		Introspection: true,
		Local:         map[string]LocalSubgraph{"users": nothing{}, "orders": nothing{}, "reviews": nothing{}},
		Logger:        slog.New(slog.NewTextHandler(&log, nil)),
		Limits:        Limits{MaxTokens: 500},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		log.Reset()
		request, err := parseRequest(body)
		if err == nil {
			_, err = r.current.Load().prepare(context.Background(), request.query, request.operationName, request.variables)
		}
		if fault.Is(err, fault.CodeInternal) {
			t.Errorf("preparing %q: %v", body, err)
		}
		req := httptest.NewRequest(http.MethodPost, "/graphql", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		r.ServeHTTP(rec, req)
		var response struct {
			Errors []struct{ Extensions struct{ Code fault.Code } }
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &response); err != nil {
			t.Fatalf("%v in the answer %s to %q", err, rec.Body, body)
		}
		for _, e := range response.Errors {
			if _, ok := clienterr.Statuses[e.Extensions.Code]; !ok {
				t.Errorf("unknown code %q for %q", e.Extensions.Code, body)
			}
		}
		if strings.Contains(log.String(), "panic") {
			t.Errorf("%q: %s", body, log.String())
		}
	})
}

// Subscribe brings no event.
func (nothing) Subscribe(ctx context.Context, _, _ string, _ []byte, _ func([]byte) error) error {
	<-ctx.Done()
	return ctx.Err()
}
