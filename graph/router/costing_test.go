package router_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// silent is a subgraph that answers nothing and counts.
type silent struct{ calls atomic.Int32 }

func (c *silent) Execute(context.Context, string, string, []byte) []byte {
	c.calls.Add(1)
	return []byte(`{"data":null}`)
}

// newProduct is a router of the product's own supergraph.
func newProduct(t *testing.T, options router.Options) (*router.Router, *silent) {
	t.Helper()
	all := &silent{}
	options.Config, options.Logger = graph.Supergraph, slog.New(slog.DiscardHandler)
	options.Local = map[string]router.LocalSubgraph{"auth": all, "tenant": all, "user": all, "session": all}
	return newRouter(t, options), all
}

type complexity struct {
	Code        fault.Code
	Cost, Limit int64
}

func complexityOf(t *testing.T, got answer) (c complexity) {
	t.Helper()
	var body struct {
		Errors []struct{ Extensions complexity }
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || len(body.Errors) != 1 {
		t.Fatalf("%v: %s", err, got.body)
	}
	return body.Errors[0].Extensions
}

// The sizes of nested pages multiply, wherever they come from, and nothing is
// fetched for an operation that costs too much.
func TestCostOfTheProduct(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	r, calls := newProduct(t, router.Options{Metrics: registry, Limits: router.Limits{MaxCost: 10_000}})
	const nested = 1 + 100*(1+1+1+100*2)
	for _, c := range []struct {
		text, variables string
		cost            int64
	}{
		{`{ users(first: 100) { edges { node { sessions(first: 100) { edges { node { id } } } } } } }`, "", nested},
		{`query($a: Int, $b: Int = 100) { users(first: $a) { edges { node { sessions(first: $b) { edges { node { id } } } } } } }`, `{"a":100}`, nested},
		{`query($a: Int) { users(first: $a) { ...P } } fragment P on UserConnection { edges { node { ... on User { s: sessions(first: $a) { edges { node { id } } } } } } }`, `{"a":100}`, nested},
		{`query($a: Int) { users(first: $a) { edges { cursor } } }`, `{"a":2000000000}`, 2000000001},
		{`{ a: users(first: 5000) { edges { cursor } } b: users(first: 5000) { edges { cursor } } }`, "", 10_002},
		{`mutation($e: String!) { login(input: {email: $e, password: "x"}) { user { auditEvents(first: 99999) { edges { cursor } } } } }`, `{"e":"a@b.test"}`, 50 + 1 + 1 + 1 + 99999},
	} {
		got := complexityOf(t, query(r, c.text, c.variables))
		if diff := cmp.Diff(complexity{fault.CodeOperationTooComplex, c.cost, 10_000}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, diff)
		}
	}
	if n := calls.calls.Load(); n != 0 {
		t.Errorf("%d fetches", n)
	}
	if n := metric(t, registry, "tradesage_router_limited_total", "default cost"); n != 6 {
		t.Errorf("%v were counted", n)
	}
}

// What one kind of caller may ask for is more or less than what others may.
func TestClassesOfCallers(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) {
		s.options.Limits.MaxFields, s.options.Limits.MaxCost = 10, 10_000
		s.options.Classes = []router.Class{
			{Name: "anonymous", Limits: router.Limits{MaxFields: 4, MaxBodyBytes: 300, MaxCost: 5, MaxTokens: 30, MaxDirectives: 1}},
			{Name: "service", Limits: router.Limits{MaxFields: 20, MaxCost: 1_000_000}},
		}
		s.options.Classify = func(ctx context.Context) string {
			caller, err := identity.FromContext(ctx)
			switch {
			case err != nil:
				return "anonymous"
			case caller.Epoch == 7:
				return "service"
			}
			return "user"
		}
		s.options.Authenticate = authenticateAs(t)
	})
	fields := func(n int) string {
		text := `{"query":"{ me {`
		for range n - 1 {
			text += " id"
		}
		return text + ` } }"}`
	}
	for _, c := range []struct {
		body, token, want string
	}{
		{fields(4), "", ""},
		{fields(5), "", "more than 4 fields"},
		{fields(5), "user", ""},
		{fields(11), "user", "more than 10 fields"},
		{fields(11), "service", ""},
		{fields(21), "service", "more than 20 fields"},
		{`{"query":"{ me { id @include(if: true) name @skip(if: false) } }"}`, "", "more than 1 directives"},
		{`{"query":"{ users { orders { id } } }"}`, "", "the operation costs 110, more than 5"},
		{`{"query":"{ users { orders { id } } }"}`, "user", ""},
		{`{"query":"{ users { orders { reviews { author { orders { id } } } } } }"}`, "user", "more than 10000"},
		{`{"query":"{ users { orders { reviews { author { orders { id } } } } } }"}`, "service", ""},
		{`{"query":"{ me { id } }","variables":{"x":"` + strings.Repeat("x", 300) + `"}}`, "", "larger than 300 bytes"},
		{`{"query":"{ me { id } }","variables":{"x":"` + strings.Repeat("x", 300) + `"}}`, "user", ""},
		{`{"query":"{ users(ids: [` + strings.Repeat(`\"u1\" `, 25) + `]) { id name email } }"}`, "", "more than 30 tokens"},
	} {
		got := post(s.router, c.body, "Authorization", c.token)
		if c.want == "" {
			if decode(t, got.body).(object)["errors"] != nil {
				t.Errorf("%s as %q: %s", c.body, c.token, got.body)
			}
			continue
		}
		if got.status == http.StatusRequestEntityTooLarge {
			wantError(t, got, fault.CodeInvalidInput, c.want)
			continue
		}
		wantError(t, got, fault.CodeOperationTooComplex, c.want)
	}
}

// authenticateAs takes "user" and "service" for tokens.
func authenticateAs(t *testing.T) func(*http.Request) (*identity.Caller, error) {
	t.Helper()
	tenant := dbtest.New(t).Tenant(t)
	callers := map[string]*identity.Caller{}
	for i, token := range []string{"user", "service"} {
		callers[token] = &identity.Caller{
			Subject: uuid.New(), Session: uuid.New(), Tenant: tenant, Epoch: int64(7 * i), Expires: time.Now().Add(time.Hour),
		}
	}
	return func(r *http.Request) (*identity.Caller, error) { return callers[r.Header.Get("Authorization")], nil }
}

// Lists that nest in an introspection multiply its answer.
func TestIntrospectionIsBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for text, want := range map[string]string{
		`{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }`:                                                 "",
		`{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }`:                             "more than 3 lists",
		`{ __type(name: "User") { fields { type { ...F } } } } fragment F on __Type { a: possibleTypes { interfaces { fields { name } } } }`: "more than 3 lists",
	} {
		got := query(s.router, text, "")
		if want == "" {
			if decode(t, got.body).(object)["errors"] != nil {
				t.Errorf("%s: %.300s", text, got.body)
			}
			continue
		}
		wantError(t, got, fault.CodeOperationTooComplex, want)
	}
}

// Fields of inputs weigh where a client gives them, in the document or in variables.
func TestCostOfInputs(t *testing.T) {
	t.Parallel()
	const field = `action: String\n  \"The id of who did it.\"`
	config := strings.Replace(string(graph.Supergraph), field, strings.Replace(field, "String", "String @cost(weight: 20000)", 1), 1)
	if config == string(graph.Supergraph) {
		t.Fatal("the filter of events has changed")
	}
	all := &silent{}
	r := newRouter(t, router.Options{
		Config: []byte(config), Logger: slog.New(slog.DiscardHandler), Limits: router.Limits{MaxCost: 10_000},
		Local: map[string]router.LocalSubgraph{"auth": all, "tenant": all, "user": all, "session": all},
	})
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	for _, c := range []struct {
		text, variables string
		cost            int64
	}{
		{`{ auditEvents(first: 1, filter: {action: "user.invite"}) { edges { cursor } } }`, `{}`, 20_002},
		{`query($f: AuditEventFilterInput) { auditEvents(first: 1, filter: $f) { edges { cursor } } }`, `{"f":{"action":"user.invite"}}`, 20_002},
		{`query($f: AuditEventFilterInput = {action: "a"}) { auditEvents(first: 1, filter: $f) { edges { cursor } } }`, `{}`, 20_002},
		{`query($a: String) { a: auditEvents(first: 1, filter: {action: $a}) { edges { cursor } } b: auditEvents(first: 2, filter: {action: $a}) { edges { cursor } } }`, `{"a":"x"}`, 40_005},
		{`query($f: AuditEventFilterInput) { auditEvents(first: 1, filter: $f) { edges { cursor } } }`, `{"f":{"target":"x"}}`, 0},
	} {
		body, err := json.Marshal(map[string]any{"query": c.text, "variables": json.RawMessage(c.variables)})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(server.URL, "application/json", strings.NewReader(string(body))) //nolint:noctx // a server of this test
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if c.cost == 0 {
			if strings.Contains(string(text), "OPERATION_TOO_COMPLEX") {
				t.Errorf("%s: %s", c.text, text)
			}
			continue
		}
		got := complexityOf(t, answer{body: string(text)})
		if diff := cmp.Diff(complexity{fault.CodeOperationTooComplex, c.cost, 10_000}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, diff)
		}
	}
}
