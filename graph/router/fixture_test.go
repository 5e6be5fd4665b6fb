package router_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// shop is a supergraph of three subgraphs with users, their orders and reviews.
type shop struct {
	users, orders, reviews *subgraph
	options                router.Options
	router                 *router.Router
	log                    *bytes.Buffer
}

var people = map[string]object{
	"u1": {"id": "u1", "name": "Ada", "email": "ada@shop.test", "role": "ADMIN"},
	"u2": {"id": "u2", "name": "Bob", "email": nil, "role": "TRADER"},
	// u3's name is another one's id: what an alias could smuggle in as a key.
	"u3": {"id": "u3", "name": "u1", "email": "eve@shop.test", "role": "TRADER"},
}

var purchases = map[string]object{
	"o1": {"id": "o1", "total": 10, "__typename": "Order", "buyer": object{"id": "u1", "__typename": "User"}},
	"o2": {"id": "o2", "total": 20, "__typename": "Order", "buyer": object{"id": "u2", "__typename": "User"}},
	"o3": {"id": "o3", "total": 30, "__typename": "Order", "buyer": object{"id": "u3", "__typename": "User"}},
}

func purchasesOf(user any, first int) []any {
	var out []any
	for _, id := range []string{"o1", "o2", "o3"} {
		if o := purchases[id]; o["buyer"].(object)["id"] == user && len(out) < first {
			out = append(out, o)
		}
	}
	return out
}

func number(v any) int {
	switch n := v.(type) {
	case int64:
		return int(n)
	case json.Number:
		i, _ := n.Int64()
		return int(i)
	}
	return 0
}

func clone(o object) object {
	out := object{}
	for k, v := range o {
		out[k] = v
	}
	return out
}

func person(id any) (any, error) {
	if p, ok := people[id.(string)]; ok {
		return clone(p), nil
	}
	return nil, notFound("user", id)
}

func newUsers(tb testing.TB) *subgraph {
	s := newSubgraph(tb, "shop", "users")
	s.entities["User"] = func(r object) (any, error) { return person(r["id"]) }
	s.fields["Query.me"] = func(context.Context, object, object) (any, error) { return person("u1") }
	s.fields["Query.user"] = func(_ context.Context, _ object, args object) (any, error) { return person(args["id"]) }
	s.fields["Query.users"] = func(_ context.Context, _ object, args object) (any, error) {
		var out []any
		for _, id := range []string{"u1", "u2", "u3"} {
			if ids, ok := args["ids"].([]any); ok {
				wanted := false
				for _, w := range ids {
					wanted = wanted || w == id
				}
				if !wanted {
					continue
				}
			}
			if limit, ok := args["limit"]; ok && limit != nil && len(out) >= number(limit) {
				break
			}
			out = append(out, clone(people[id]))
		}
		return out, nil
	}
	s.fields["Query.search"] = func(_ context.Context, _ object, args object) (any, error) {
		filter, _ := args["filter"].(object)
		out := []any{}
		for _, id := range []string{"u1", "u2", "u3"} {
			if filter == nil || filter["name"] == nil || filter["name"] == people[id]["name"] {
				out = append(out, clone(people[id]))
			}
		}
		return out, nil
	}
	s.fields["Query.echo"] = func(_ context.Context, _ object, args object) (any, error) { return args["value"], nil }
	s.fields["Query.whoami"] = func(ctx context.Context, _ object, _ object) (any, error) {
		caller, err := identity.FromContext(ctx)
		if err != nil {
			return nil, err
		}
		return caller.Subject.String(), nil
	}
	s.fields["Query.fail"] = func(_ context.Context, _ object, args object) (any, error) {
		switch code := args["code"].(string); code {
		case "PANIC":
			panic("a bug in the subgraph")
		case "PLAIN":
			return nil, errors.New("pq: password authentication failed for user tradesage")
		default:
			f := fault.New(fault.Code(code), "it failed as asked")
			f.Field, _ = args["field"].(string)
			f.RetryAfter = 3 * time.Second
			return nil, f
		}
	}
	s.fields["User.friend"] = func(_ context.Context, parent object, _ object) (any, error) {
		if parent["id"] == "u1" {
			return person("u3")
		}
		return nil, nil
	}
	s.fields["Mutation.rename"] = func(_ context.Context, _ object, args object) (any, error) {
		p, err := person(args["id"])
		if err != nil {
			return nil, err
		}
		p.(object)["name"] = args["name"]
		return p, nil
	}
	s.fields["Mutation.touch"] = func(context.Context, object, object) (any, error) { return 1, nil }
	return s
}

func newOrders(tb testing.TB) *subgraph {
	s := newSubgraph(tb, "shop", "orders")
	s.fields["Query.orders"] = func(context.Context, object, object) (any, error) {
		return list(purchases["o1"], purchases["o2"], purchases["o3"]), nil
	}
	s.fields["Query.node"] = func(_ context.Context, _ object, args object) (any, error) {
		if args["kind"] == "coupon" {
			return object{"__typename": "Coupon", "id": "c1", "percent": 5}, nil
		}
		return purchases["o1"], nil
	}
	s.entities["Order"] = func(r object) (any, error) { return clone(purchases[r["id"].(string)]), nil }
	s.entities["User"] = func(r object) (any, error) { return clone(r), nil }
	s.fields["User.greeting"] = func(_ context.Context, parent object, args object) (any, error) {
		name, ok := parent["name"].(string)
		if !ok {
			return nil, errors.New("the name is missing")
		}
		prefix, _ := args["prefix"].(string)
		return strings.TrimSpace(prefix + " " + name), nil
	}
	s.fields["User.orders"] = func(_ context.Context, parent object, args object) (any, error) {
		return purchasesOf(parent["id"], number(args["first"])), nil
	}
	s.fields["User.risky"] = func(context.Context, object, object) (any, error) {
		return nil, fault.Unavailable("the risk desk is closed")
	}
	s.fields["User.maybe"] = func(context.Context, object, object) (any, error) {
		return nil, fault.Unavailable("maybe later")
	}
	return s
}

func newReviews(tb testing.TB) *subgraph {
	s := newSubgraph(tb, "shop", "reviews")
	s.entities["Order"] = func(r object) (any, error) {
		return object{"id": r["id"], "reviews": list(object{"stars": 5, "author": object{"id": "u2", "__typename": "User"}})}, nil
	}
	s.entities["User"] = func(r object) (any, error) { return object{"id": r["id"], "reviewCount": 7}, nil }
	s.fields["User.reviewCount"] = func(context.Context, object, object) (any, error) { return 7, nil }
	return s
}

// newShop starts a router over in-process subgraphs; change may adapt its options.
func newShop(tb testing.TB, change func(*shop)) *shop {
	tb.Helper()
	s := &shop{users: newUsers(tb), orders: newOrders(tb), reviews: newReviews(tb), log: &bytes.Buffer{}}
	s.options = router.Options{
		Config:        readConfig(tb, "shop"),
		Local:         map[string]router.LocalSubgraph{"users": s.users, "orders": s.orders, "reviews": s.reviews},
		Introspection: true,
		Logger:        slog.New(slog.NewTextHandler(s.log, nil)),
	}
	if change != nil {
		change(s)
	}
	s.router = newRouter(tb, s.options)
	return s
}

func newRouter(tb testing.TB, options router.Options) *router.Router {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	r, err := router.New(ctx, options)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func readConfig(tb testing.TB, fixture string) []byte {
	tb.Helper()
	config, err := os.ReadFile(filepath.Join("testdata", fixture, "supergraph.json"))
	if err != nil {
		tb.Fatal(err)
	}
	return config
}

type answer struct {
	status int
	header http.Header
	body   string
}

func post(h http.Handler, body string, header ...string) answer {
	req := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return send(h, req)
}

func send(h http.Handler, req *http.Request) answer {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	body, _ := io.ReadAll(rec.Body)
	return answer{status: rec.Code, header: rec.Header(), body: string(body)}
}

// query sends an operation with variables given as JSON or "".
func query(h http.Handler, text, variables string) answer {
	body := object{"query": text}
	if variables != "" {
		body["variables"] = json.RawMessage(variables)
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return post(h, string(encoded), "X-Request-Id", "req")
}

// wantBody compares JSON documents; the order of errors is ignored, and so are
// requestId values, since each is new.
func wantBody(tb testing.TB, got answer, want string) {
	tb.Helper()
	if diff := cmp.Diff(decode(tb, want), decode(tb, got.body)); diff != "" {
		tb.Errorf("response (-want +got):\n%s\nbody: %s", diff, got.body)
	}
}

func decode(tb testing.TB, text string) any {
	tb.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		tb.Fatalf("%v in %s", err, text)
	}
	if o, ok := v.(object); ok {
		if errs, ok := o["errors"].([]any); ok {
			for _, e := range errs {
				if x, ok := e.(object)["extensions"].(object); ok {
					delete(x, "requestId")
				}
			}
			// Fetches run side by side: their errors come in any order.
			slices.SortFunc(errs, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	}
	return v
}

// wantError checks the code of the only error and that its message holds text.
func wantError(tb testing.TB, got answer, code fault.Code, text string) {
	tb.Helper()
	var body struct {
		Data   any
		Errors []struct {
			Message    string
			Extensions struct{ Code fault.Code }
		}
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		tb.Fatalf("%v in %s", err, got.body)
	}
	if len(body.Errors) == 0 || body.Errors[0].Extensions.Code != code || !strings.Contains(body.Errors[0].Message, text) {
		tb.Errorf("want %s with %q, got %d %s", code, text, got.status, got.body)
	}
}
