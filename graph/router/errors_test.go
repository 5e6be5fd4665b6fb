package router_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

func TestSubgraphErrors(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for text, want := range map[string]string{
		`{ x: fail(code: "CONFLICT", field: "input.name") }`: `{"data":{"x":null},"errors":[{"message":"it failed as asked","path":["x"],
			"extensions":{"code":"CONFLICT","field":"input.name","retryAfter":3}}]}`,
		`{ fail(code: "TENANT_SUSPENDED") }`: `{"data":{"fail":null},"errors":[{"message":"it failed as asked","path":["fail"],
			"extensions":{"code":"TENANT_SUSPENDED","retryAfter":3}}]}`,
		`{ x: fail(code: "PLAIN") me { id } }`:            `{"data":{"x":null,"me":{"id":"u1"}},"errors":[{"message":"internal error","path":["x"],"extensions":{"code":"INTERNAL"}}]}`,
		`{ x: fail(code: "SECRET_CODE") }`:                `{"data":{"x":null},"errors":[{"message":"internal error","path":["x"],"extensions":{"code":"INTERNAL"}}]}`,
		`{ x: fail(code: "INTERNAL") }`:                   `{"data":{"x":null},"errors":[{"message":"internal error","path":["x"],"extensions":{"code":"INTERNAL"}}]}`,
		`{ a: user(id: "nobody") { name } }`:              `{"data":{"a":null},"errors":[{"message":"no user nobody","path":["a"],"extensions":{"code":"NOT_FOUND"}}]}`,
		`{ a: me { name r: risky } }`:                     `{"data":{"a":null},"errors":[{"message":"the risk desk is closed","path":["a","r"],"extensions":{"code":"UNAVAILABLE"}}]}`,
		`mutation { rename(id: "no", name: "x") { id } }`: `{"data":{"rename":null},"errors":[{"message":"no user no","path":["rename"],"extensions":{"code":"NOT_FOUND"}}]}`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got := query(s.router, text, "")
			wantBody(t, got, want)
			for _, secret := range []string{"password", "stack trace", "SECRET_CODE"} {
				if strings.Contains(strings.ReplaceAll(got.body, text, ""), secret) {
					t.Errorf("%q is in %s", secret, got.body)
				}
			}
		})
	}
}

func TestMaskedErrorsNameTheRequestAndAreLogged(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	got := query(s.router, `{ fail(code: "PLAIN") }`, "")
	if !strings.Contains(got.body, `"requestId":"`) {
		t.Errorf("no request id in %s", got.body)
	}
	if !strings.Contains(s.log.String(), "password authentication failed") {
		t.Errorf("the cause is not in the log: %s", s.log)
	}
}

// A panic in a local subgraph must not end the process: the engine runs fetches
// in goroutines of its own, where nobody else recovers.
func TestPanicsInSubgraphs(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for range 3 {
		wantBody(t, query(s.router, `{ a: fail(code: "PANIC") orders { id } }`, ""), `{"data":{"a":null,"orders":[{"id":"o1"},{"id":"o2"},{"id":"o3"}]},
			"errors":[{"message":"internal error","extensions":{"code":"INTERNAL"}}]}`)
	}
	if !strings.Contains(s.log.String(), "a bug in the subgraph") {
		t.Errorf("the panic is not in the log")
	}
	wantBody(t, query(s.router, `{ me { id } }`, ""), `{"data":{"me":{"id":"u1"}}}`)
}

type answers string

func (a answers) Execute(context.Context, string, string, []byte) []byte { return []byte(a) }

func TestBrokenSubgraphs(t *testing.T) {
	t.Parallel()
	for body, code := range map[string]fault.Code{
		``:                              fault.CodeUnavailable,
		`{"data":{"me":`:                fault.CodeInternal,
		`{}`:                            fault.CodeInternal,
		`[]`:                            fault.CodeInternal,
		`{"data":{"me":[]}}`:            fault.CodeInternal,
		`{"data":{"me":{"id":null}}}`:   fault.CodeInternal,
		`{"data":7}`:                    fault.CodeInternal,
		`{"data":null,"errors":[{}]}`:   fault.CodeInternal,
		`{"data":null,"errors":"oops"}`: fault.CodeInternal,
		`{"data":null,"errors":[{"message":7,"path":8,"extensions":9}]}`: fault.CodeInternal,
	} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, func(s *shop) { s.options.Local["users"] = answers(body) })
			wantError(t, query(s.router, `{ me { id } }`, ""), code, "")
		})
	}
}

func TestSchemaSDL(t *testing.T) {
	t.Parallel()
	h := newShop(t, nil).router.SchemaSDL()
	get := func(method, etag string) answer {
		req := httptest.NewRequest(method, "/schema.graphql", nil)
		if etag != "" {
			req.Header.Set("If-None-Match", etag)
		}
		return send(h, req)
	}
	first := get(http.MethodGet, "")
	etag := first.header.Get("ETag")
	strong, weak := strings.CutPrefix(etag, "W/")
	if first.status != http.StatusOK || !weak || !strings.Contains(first.body, "type User {") {
		t.Fatalf("%d %q %.80s", first.status, etag, first.body)
	}
	for _, hidden := range []string{"secret", "internalNote", "@key", "_entities"} {
		if strings.Contains(first.body, hidden) {
			t.Errorf("%s is in the client schema", hidden)
		}
	}
	for _, c := range []struct {
		method, etag string
		status       int
		empty        bool
	}{
		{http.MethodGet, etag, http.StatusNotModified, true},
		{http.MethodGet, `"other", ` + strong, http.StatusNotModified, true},
		{http.MethodGet, `"other"`, http.StatusOK, false},
		{http.MethodHead, "", http.StatusOK, true},
		{http.MethodPost, "", http.StatusMethodNotAllowed, false},
	} {
		if got := get(c.method, c.etag); got.status != c.status || (got.body == "") != c.empty {
			t.Errorf("%s %s: %d with %d bytes", c.method, c.etag, got.status, len(got.body))
		}
	}
}

var _ router.LocalSubgraph = answers("")
