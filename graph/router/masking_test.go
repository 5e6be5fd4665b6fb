package router_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// A failure that is not the client's shows nothing of the inside, and the id under
// which it is found in the log; every answer has that id in its header.
func TestFailuresNameTheirRequest(t *testing.T) {
	t.Parallel()
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A service of other people, with codes and details of its own.
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":{"orders":null},"errors":[{"message":"dial tcp 10.1.2.3:5432: secret","path":["orders"],
			"extensions":{"code":"DOWNSTREAM_SERVICE_ERROR","stacktrace":["at /srv/secret.js"],"requestId":"secret"}}]}`))
	}))
	t.Cleanup(away.Close)
	s := newShop(t, func(s *shop) {
		delete(s.options.Local, "orders")
		s.options.Remote = map[string]router.Remote{"orders": {URL: away.URL}}
	})
	for name, h := range map[string]http.Handler{
		"alone": s.router, "behind the middleware": telemetry.Middleware(slog.New(slog.DiscardHandler), s.router),
	} {
		for query, code := range map[string]fault.Code{
			`{ whole: fail(code: "INTERNAL") }`:    fault.CodeInternal,
			`{ fail(code: "PANIC") }`:              fault.CodeInternal,
			`{ fail(code: "PLAIN") }`:              fault.CodeInternal,
			`{ fail(code: "SECRET_CODE") }`:        fault.CodeInternal,
			`{ orders { id } }`:                    fault.CodeInternal,
			`{ fail(code: "UNAVAILABLE") }`:        fault.CodeUnavailable,
			`{ fail(code: "NOT_FOUND") }`:          fault.CodeNotFound,
			`{ me { name } }`:                      "",
			`{ nothing }`:                          fault.CodeInvalidInput,
			`{ fail(code: "STEP_UP_REQUIRED") }`:   fault.CodeStepUpRequired,
			`{ fail(code: "FORBIDDEN") me { id }}`: fault.CodeForbidden,
		} {
			got := post(h, fmt.Sprintf(`{"query":%s}`, quoted(query)))
			var body struct {
				Errors []struct {
					Message    string
					Extensions struct {
						Code      fault.Code
						RequestID string
					}
				}
			}
			if err := json.Unmarshal([]byte(got.body), &body); err != nil {
				t.Fatalf("%v: %s", err, got.body)
			}
			id := got.header.Get(telemetry.HeaderRequestID)
			if !telemetry.ValidRequestID(id) {
				t.Errorf("%s: %s: the answer's id is %q", name, query, id)
			}
			if code == "" {
				continue
			}
			if len(body.Errors) == 0 || body.Errors[0].Extensions.Code != code {
				t.Errorf("%s: %s: want %s, got %s", name, query, code, got.body)
				continue
			}
			want := ""
			if code == fault.CodeInternal || code == fault.CodeUnavailable {
				want = id
			}
			if e := body.Errors[0]; e.Extensions.RequestID != want || code == fault.CodeInternal && e.Message != "internal error" {
				t.Errorf("%s: %s: %s, header %s", name, query, got.body, id)
			}
			for _, inside := range []string{"secret", "stack", "pq:", "a bug"} {
				if code == fault.CodeInternal && strings.Contains(got.body, inside) {
					t.Errorf("%s: %s shows %q: %s", name, query, inside, got.body)
				}
			}
		}
	}
}
