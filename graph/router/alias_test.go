package router_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

// Each of these uses an alias that is the name of a field the planner adds for
// itself: a key, a @requires field, __typename. Unprotected, they choose keys of
// other people's data or overflow the stack.
func TestHostileAliases(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		// u3 is called "u1": under its plain name the alias would be the key, and
		// Eve would read Ada's orders.
		`{ user(id: "u3") { id: name orders { id } } }`:                                       `{"user":{"id":"u1","orders":[{"id":"o3"}]}}`,
		`{ me { friend { id: name orders { id buyer { id: name } } } } }`:                     `{"me":{"friend":{"id":"u1","orders":[{"id":"o3","buyer":{"id":"u1"}}]}}}`,
		`{ orders { buyer { id: name greeting } } }`:                                          `{"orders":[{"buyer":{"id":"Ada","greeting":"Dear Ada"}},{"buyer":{"id":"Bob","greeting":"Dear Bob"}},{"buyer":{"id":"u1","greeting":"Dear u1"}}]}`,
		`{ me { __typename: name orders { id } } }`:                                           `{"me":{"__typename":"Ada","orders":[{"id":"o1"}]}}`,
		`{ me { name: greeting } }`:                                                           `{"me":{"name":"Dear Ada"}}`,
		`{ me { name: greeting id: name greeting: id } }`:                                     `{"me":{"name":"Dear Ada","id":"Ada","greeting":"u1"}}`,
		`{ me { name: reviewCount greeting } }`:                                               `{"me":{"name":7,"greeting":"Dear Ada"}}`,
		`{ me { name: orders { id } greeting } }`:                                             `{"me":{"name":[{"id":"o1"}],"greeting":"Dear Ada"}}`,
		`{ me { id: orders { id: total total: id } reviewCount } }`:                           `{"me":{"id":[{"id":10,"total":"o1"}],"reviewCount":7}}`,
		`{ orders { id: total reviews { stars: author { id: name } } } }`:                     `{"orders":[{"id":10,"reviews":[{"stars":{"id":"Bob"}}]},{"id":20,"reviews":[{"stars":{"id":"Bob"}}]},{"id":30,"reviews":[{"stars":{"id":"Bob"}}]}]}`,
		`{ orders { buyer { id: greeting } } }`:                                               `{"orders":[{"buyer":{"id":"Dear Ada"}},{"buyer":{"id":"Dear Bob"}},{"buyer":{"id":"Dear u1"}}]}`,
		`{ orders { buyer { __typename: greeting } } }`:                                       `{"orders":[{"buyer":{"__typename":"Dear Ada"}},{"buyer":{"__typename":"Dear Bob"}},{"buyer":{"__typename":"Dear u1"}}]}`,
		`{ me { orders: id id: orders { id } } }`:                                             `{"me":{"orders":"u1","id":[{"id":"o1"}]}}`,
		`{ me { __internal_x: name orders { id } } }`:                                         ``,
		`{ me { __internal_typename: name } }`:                                                ``,
		`{ me { id: id id } }`:                                                                `{"me":{"id":"u1"}}`,
		`{ me { tsAlias_id: name tsAlias_tsAlias_id: email orders { id } } }`:                 `{"me":{"tsAlias_id":"Ada","tsAlias_tsAlias_id":"ada@shop.test","orders":[{"id":"o1"}]}}`,
		`{ me: user(id: "u2") { me: id } user: me { user: name } }`:                           `{"me":{"me":"u2"},"user":{"user":"Ada"}}`,
		`{ node(kind: "order") { __typename: id ... on Order { id reviews {stars} } } }`:      `{"node":{"__typename":"o1","id":"o1","reviews":[{"stars":5}]}}`,
		`{ node(kind: "coupon") { ... on Coupon { x: percent } ... on Order { x: total } } }`: `{"node":{"x":5}}`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got := query(newShop(t, nil).router, text, "")
			if want == "" {
				wantError(t, got, fault.CodeInvalidInput, "reserved")
				return
			}
			wantBody(t, got, `{"data":`+want+`}`)
		})
	}
}

// What the client aliased must never reach a subgraph as a key.
func TestKeysComeFromTheSubgraph(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	query(s.router, `{ user(id: "u3") { id: name __typename: email orders { id } } }`, "")
	calls := s.orders.Calls()
	if len(calls) != 1 {
		t.Fatalf("%d calls", len(calls))
	}
	want := []any{object{"__typename": "User", "id": "u3"}}
	if diff := cmp.Diff(want, calls[0].Variables["representations"]); diff != "" {
		t.Errorf("representations (-want +got):\n%s", diff)
	}
}

func TestErrorsShowTheClientsAliases(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	got := query(s.router, `{ us: users(limit: 1) { later: maybe } it: me { m: maybe } }`, "")
	wantBody(t, got, `{"data":{"us":[{"later":null}],"it":{"m":null}},"errors":[
		{"message":"maybe later","path":["it","m"],"extensions":{"code":"UNAVAILABLE"}},
		{"message":"maybe later","path":["us",0,"later"],"extensions":{"code":"UNAVAILABLE"}}]}`)
	for _, text := range []string{
		`{ a: user(id: 1.5) { b: id } }`,
		`{ a: me { b: nope } }`,
		`{ a: me { b: id b: name } }`,
		`{ a: fail(code: "NOT_FOUND") b: fail(code: "PLAIN") }`,
		`{ a: me { b: risky } }`,
	} {
		if got := query(s.router, text, ""); strings.Contains(got.body, "tsAlias") {
			t.Errorf("%s: %s", text, got.body)
		}
	}
}

func TestSchemaWithTheAliasPrefixIsRefused(t *testing.T) {
	t.Parallel()
	config := strings.ReplaceAll(string(readConfig(t, "shop")), "greeting", "tsAlias_greeting")
	_, err := router.New(context.Background(), router.Options{Config: []byte(config)})
	if err == nil || !strings.Contains(err.Error(), "reserved for clients' aliases") {
		t.Errorf("got %v", err)
	}
}
