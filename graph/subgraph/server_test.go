package subgraph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/graph/subgraph/testdata/library"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

func newServer(options subgraph.Options) *subgraph.Server {
	config := library.Config{Resolvers: library.Resolvers{}}
	config.Directives.Authenticated = subgraph.Authenticated
	return subgraph.New("library", library.NewExecutableSchema(config), options)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func equalJSON(t *testing.T, got []byte, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
}

func TestExecute(t *testing.T) {
	t.Parallel()
	s := newServer(subgraph.Options{Logger: quiet()})
	for name, c := range map[string]struct{ query, operation, variables, want string }{
		"data":             {query: `{ book(id: "b1") { title pages tags } }`, want: `{"data":{"book":{"title":"Volume 1","pages":100,"tags":["maths","engines"]}}}`},
		"variables":        {query: `query($n: String) { hello(name: $n) }`, variables: `{"n":"Bob"}`, want: `{"data":{"hello":"hello, Bob"}}`},
		"absent variable":  {query: `query($n: String) { hello(name: $n) }`, variables: `{}`, want: `{"data":{"hello":"hello, world"}}`},
		"null variable":    {query: `query($n: String) { hello(name: $n) }`, variables: `{"n":null}`, want: `{"data":{"hello":"hello, nobody"}}`},
		"named operation":  {query: `query A { hello } query B { book(id: "b1") { id } }`, operation: "B", want: `{"data":{"book":{"id":"b1"}}}`},
		"entities":         {query: `query($r: [_Any!]!) { _entities(representations: $r) { ... on Book { title } } }`, variables: `{"r":[{"__typename":"Book","id":"b2"},{"__typename":"Book","id":"none"},{"__typename":"Book","id":"b3"}]}`, want: `{"data":{"_entities":[{"title":"Volume 2"},null,{"title":"Volume 3"}]}}`},
		"fault":            {query: `{ book(id: "x") { id } }`, want: `{"errors":[{"message":"no such book","path":["book"],"locations":[{"line":1,"column":3}],"extensions":{"code":"NOT_FOUND"}}],"data":{"book":null}}`},
		"wrapped fault":    {query: `{ fail(how: "wrapped") }`, want: `{"errors":[{"message":"the name is taken","path":["fail"],"locations":[{"line":1,"column":3}],"extensions":{"code":"CONFLICT","field":"input.name"}}],"data":{"fail":null}}`},
		"retry after":      {query: `{ fail(how: "limited") }`, want: `{"errors":[{"message":"slow down","path":["fail"],"locations":[{"line":1,"column":3}],"extensions":{"code":"RATE_LIMITED","retryAfter":2}}],"data":{"fail":null}}`},
		"plain error":      {query: `{ fail(how: "plain") }`, want: `{"errors":[{"message":"internal error","path":["fail"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTERNAL","requestId":"r1"}}],"data":{"fail":null}}`},
		"panic":            {query: `{ hello fail(how: "panic") }`, want: `{"errors":[{"message":"internal error","path":["fail"],"extensions":{"code":"INTERNAL","requestId":"r1"}}],"data":{"hello":"hello, world","fail":null}}`},
		"unknown field":    {query: `{ helo }`, want: `{"errors":[{"message":"Cannot query field \"helo\" on type \"Query\".","locations":[{"line":1,"column":3}],"extensions":{"code":"INVALID_INPUT"}}],"data":null}`},
		"syntax":           {query: `{ hello`, want: `{"errors":[{"message":"Expected Name, found <EOF>","locations":[{"line":1,"column":8}],"extensions":{"code":"INVALID_INPUT"}}],"data":null}`},
		"wrong variable":   {query: `query($f: Int) { books(first: $f) { id } }`, variables: `{"f":"x"}`, want: `{"errors":[{"message":"cannot use string as Int","path":["variable","f"],"extensions":{"code":"INVALID_INPUT"}}],"data":null}`},
		"variables list":   {query: `{ hello }`, variables: `[1]`, want: `{"errors":[{"message":"variables are not a JSON object","extensions":{"code":"INVALID_INPUT","field":"variables"}}],"data":null}`},
		"no introspection": {query: `{ __schema { types { name } } }`, want: `{"errors":[{"message":"introspection is switched off","path":["__schema"],"locations":[{"line":1,"column":3}],"extensions":{"code":"FORBIDDEN"}}],"data":{"__schema":null}}`},
		"subscription":     {query: `subscription { bookAdded { id } }`, want: `{"errors":[{"message":"subscriptions are not served over this transport: accept text/event-stream","extensions":{"code":"INVALID_INPUT","field":"query"}}],"data":null}`},
		"not signed in":    {query: `{ hello secret }`, want: `{"errors":[{"message":"sign in first","path":["secret"],"locations":[{"line":1,"column":9}],"extensions":{"code":"UNAUTHENTICATED"}}],"data":{"hello":"hello, world","secret":null}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := telemetry.WithRequestID(context.Background(), "r1")
			var variables []byte
			if c.variables != "" {
				variables = []byte(c.variables)
			}
			// Twice: the second run finds the document parsed.
			for range 2 {
				equalJSON(t, s.Execute(ctx, c.query, c.operation, variables), c.want)
			}
		})
	}
}

func TestIntrospectionOnRequest(t *testing.T) {
	t.Parallel()
	s := newServer(subgraph.Options{Introspection: true})
	equalJSON(t, s.Execute(context.Background(), `{ __schema { queryType { name } } }`, "", nil),
		`{"data":{"__schema":{"queryType":{"name":"Query"}}}}`)
}

func TestFailuresAreLoggedWithTheirCause(t *testing.T) {
	t.Parallel()
	for how, want := range map[string]string{"plain": "hunter2", "panic": "a bug"} {
		var log bytes.Buffer
		s := newServer(subgraph.Options{Logger: slog.New(telemetry.NewHandler(slog.NewTextHandler(&log, nil)))})
		ctx := telemetry.WithRequestID(context.Background(), "r7")
		s.Execute(ctx, fmt.Sprintf(`{ fail(how: %q) }`, how), "", nil)
		for _, text := range []string{want, "request_id=r7", "subgraph=library"} {
			if !strings.Contains(log.String(), text) {
				t.Errorf("%s: no %q in the log:\n%s", how, text, log.String())
			}
		}
	}
}

func TestEntitiesAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(subgraph.Options{Logger: quiet()})
	representations := func(n int) []byte {
		one := `{"__typename":"Book","id":"b1"}`
		return []byte(`{"r":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`)
	}
	const plain = `query($r: [_Any!]!) { _entities(representations: $r) { ... on Book { id } } }`
	const twice = `query($r: [_Any!]!) { a: _entities(representations: $r) { __typename } ...F } fragment F on Query { b: _entities(representations: $r) { __typename } }`
	for _, c := range []struct {
		query   string
		n       int
		refused bool
	}{{plain, 1000, false}, {plain, 1001, true}, {twice, 500, false}, {twice, 501, true}} {
		got := string(s.Execute(context.Background(), c.query, "", representations(c.n)))
		if refused := strings.Contains(got, "OPERATION_TOO_COMPLEX"); refused != c.refused {
			t.Errorf("%d entities: refused %v, want %v", c.n, refused, c.refused)
		}
	}
}

func TestServeHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(subgraph.Options{
		Logger: quiet(), MaxBodyBytes: 4096, MaxFields: 50,
		Authenticate: func(r *http.Request) (*identity.Caller, error) {
			switch r.Header.Get("Authorization") {
			case "":
				return nil, nil
			case "Bearer store-down":
				return nil, fault.Unavailable("sessions cannot be checked")
			}
			return nil, errors.New("signature is invalid")
		},
	})
	bomb := `{ ...A0 }`
	for i := range 40 {
		bomb += fmt.Sprintf(" fragment A%d on Query { ...A%d ...A%d }", i, i+1, i+1)
	}
	bomb += " fragment A40 on Query { hello }"
	for name, c := range map[string]struct {
		method, contentType, token, body string
		status                           int
		want                             string
	}{
		"ok":            {body: `{"query":"query($n: String) { hello(name: $n) }","variables":{"n":"Bob"}}`, status: 200, want: `"hello, Bob"`},
		"get":           {method: http.MethodGet, status: 405, want: "INVALID_INPUT"},
		"form":          {contentType: "text/plain", body: `{"query":"{hello}"}`, status: 415, want: "INVALID_INPUT"},
		"malformed":     {body: `{"query":`, status: 400, want: "INVALID_INPUT"},
		"batch":         {body: `[{"query":"{hello}"}]`, status: 400, want: "INVALID_INPUT"},
		"wrong type":    {body: `{"query":7}`, status: 400, want: "INVALID_INPUT"},
		"too large":     {body: `{"query":"` + strings.Repeat(" ", 5000) + `"}`, status: 413, want: "INVALID_INPUT"},
		"bad token":     {token: "Bearer x", body: `{"query":"{hello}"}`, status: 401, want: "UNAUTHENTICATED"},
		"store down":    {token: "Bearer store-down", body: `{"query":"{hello}"}`, status: 503, want: "UNAVAILABLE"},
		"too many":      {body: `{"query":"{` + strings.Repeat("books { id } ", 30) + `}"}`, status: 200, want: "OPERATION_TOO_COMPLEX"},
		"fragment bomb": {body: `{"query":"` + bomb + `"}`, status: 200, want: "OPERATION_TOO_COMPLEX"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			method, contentType := http.MethodPost, "application/json; charset=utf-8"
			if c.method != "" {
				method = c.method
			}
			if c.contentType != "" {
				contentType = c.contentType
			}
			req := httptest.NewRequest(method, "/graphql", strings.NewReader(c.body))
			req.Header.Set("Content-Type", contentType)
			if c.token != "" {
				req.Header.Set("Authorization", c.token)
			}
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, req)
			if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
				t.Errorf("got %d %s, want %d with %s", rec.Code, rec.Body, c.status, c.want)
			}
		})
	}
}
