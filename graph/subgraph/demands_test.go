package subgraph_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/graph/subgraph/testdata/library"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// guarded is the library's schema with directives on some of its types.
func guarded(types map[string]*ast.Directive) *ast.Schema {
	schema := *library.NewExecutableSchema(library.Config{Resolvers: library.Resolvers{}}).Schema()
	schema.Types = maps.Clone(schema.Types)
	for name, directive := range types {
		definition := *schema.Types[name]
		definition.Directives = append(ast.DirectiveList{directive}, definition.Directives...)
		schema.Types[name] = &definition
	}
	return &schema
}

func directive(name, argument string, value *ast.Value) *ast.Directive {
	d := &ast.Directive{Name: name}
	if argument != "" {
		d.Arguments = ast.ArgumentList{{Name: argument, Value: value}}
	}
	return d
}

// On a subgraph's own port, what a type demands holds for its fields, for those that
// answer it, and for its entities, before any of them is looked for.
func TestDemandsOfTypes(t *testing.T) {
	t.Parallel()
	tenant := dbtest.New(t).Tenant(t)
	people := map[string]*identity.Caller{
		"fresh": {Subject: uuid.New(), Tenant: tenant, AuthTime: time.Now(), Expires: time.Now().Add(time.Hour)},
		"old":   {Subject: uuid.New(), Tenant: tenant, AuthTime: time.Now().Add(-time.Hour), Expires: time.Now().Add(time.Hour)},
	}
	scope := &ast.Value{Kind: ast.ListValue, Children: ast.ChildValueList{{Value: &ast.Value{
		Kind: ast.ListValue, Children: ast.ChildValueList{{Value: &ast.Value{Kind: ast.StringValue, Raw: "books:read"}}},
	}}}}
	const (
		read     = `{"query":"{ hello book(id: \"b1\") { title } }"}`
		entity   = `{"query":"query($r: [_Any!]!) { _entities(representations: $r) { __typename } }","variables":{"r":[{"__typename":"Book","id":"b1"}]}}`
		literal  = `{"query":"{ ...F } fragment F on Query { x: _entities(representations: {__typename: \"Book\", id: \"none\"}) { ... on Book { title } } }"}`
		author   = `{"query":"{ book(id: \"b1\") { title author { name } } }"}`
		typename = `{"query":"{ book(id: \"b1\") { __typename } }"}`
	)
	item := func(kind string) string { return `{"query":"{ item(kind: \"` + kind + `\") { __typename } }"}` }
	for name, c := range map[string]struct {
		on                string
		directive         *ast.Directive
		lacks             string
		who, body         string
		code              fault.Code
		contains, without string
	}{
		"nobody reads":               {"Book", directive("authenticated", "", nil), "", "", read, fault.CodeUnauthenticated, `"hello":"hello, world","book":null`, "Volume"},
		"nobody reads a typename":    {"Book", directive("authenticated", "", nil), "", "", typename, fault.CodeUnauthenticated, `"book":null`, ""},
		"nobody asks by key":         {"Book", directive("authenticated", "", nil), "", "", entity, fault.CodeUnauthenticated, `"data":null`, "Book"},
		"nobody asks in a fragment":  {"Book", directive("authenticated", "", nil), "", "", literal, fault.CodeUnauthenticated, `"data":null`, "NOT_FOUND"},
		"somebody reads":             {"Book", directive("authenticated", "", nil), "", "old", read, "", "Volume 1", "errors"},
		"somebody asks by key":       {"Book", directive("authenticated", "", nil), "", "old", entity, "", `"__typename":"Book"`, "errors"},
		"without the scope":          {"Book", directive("requiresScopes", "scopes", scope), "books:read", "fresh", read, fault.CodeForbidden, "needs the permission books:read", "Volume"},
		"by key without the scope":   {"Book", directive("requiresScopes", "scopes", scope), "books:read", "fresh", entity, fault.CodeForbidden, `"data":null`, "Book"},
		"with the scope":             {"Book", directive("requiresScopes", "scopes", scope), "", "fresh", read, "", "Volume 1", "errors"},
		"no scopes at all":           {"Book", directive("requiresScopes", "", nil), "", "fresh", read, fault.CodeForbidden, "nobody may ask", "Volume"},
		"too long ago":               {"Book", directive("stepUp", "maxAge", &ast.Value{Kind: ast.IntValue, Raw: "60"}), "", "old", read, fault.CodeStepUpRequired, `"maxAge":60`, "Volume"},
		"by key too long ago":        {"Book", directive("stepUp", "maxAge", &ast.Value{Kind: ast.IntValue, Raw: "60"}), "", "old", entity, fault.CodeStepUpRequired, `"maxAge":60`, "Book"},
		"just now":                   {"Book", directive("stepUp", "maxAge", &ast.Value{Kind: ast.IntValue, Raw: "60"}), "", "fresh", read, "", "Volume 1", "errors"},
		"a type within another":      {"Author", directive("authenticated", "", nil), "", "", author, fault.CodeUnauthenticated, `"book":null`, "Ada"},
		"beside a type within":       {"Author", directive("authenticated", "", nil), "", "", read, "", "Volume 1", "errors"},
		"a scalar":                   {"Int", directive("authenticated", "", nil), "", "", read, "", "Volume 1", "errors"},
		"entities of another type":   {"Author", directive("authenticated", "", nil), "", "", entity, "", `"__typename":"Book"`, "errors"},
		"an unknown maximum age":     {"Book", directive("stepUp", "", nil), "", "fresh", read, fault.CodeStepUpRequired, "book", "Volume"},
		"an entity of no known type": {"Book", directive("authenticated", "", nil), "", "", strings.Replace(entity, `"Book"`, `"Nothing"`, 1), fault.CodeInvalidInput, "must be one of Book", ""},
		"behind a union":             {"Book", directive("authenticated", "", nil), "", "", item("book"), fault.CodeUnauthenticated, `"path":["item"]`, "Book"},
		"another one behind a union": {"Book", directive("authenticated", "", nil), "", "", item("author"), "", `{"item":{"__typename":"Author"}}`, "errors"},
		"a struct behind a union":    {"Author", directive("authenticated", "", nil), "", "", item("author"), fault.CodeUnauthenticated, `{"item":null}`, "Author"},
		"no one behind a union":      {"Book", directive("authenticated", "", nil), "", "", item("none"), "", `{"data":{"item":null}}`, "errors"},
		"shown behind a union":       {"Book", directive("authenticated", "", nil), "", "old", item("book"), "", `{"item":{"__typename":"Book"}}`, "errors"},
		"a list of a union":          {"Book", directive("authenticated", "", nil), "", "", `{"query":"{ mixed { t: __typename } }"}`, fault.CodeUnauthenticated, `{"mixed":[null,{"t":"Author"},null]}`, "Book"},
		"where in a list":            {"Author", directive("authenticated", "", nil), "", "", `{"query":"{ mixed { __typename } }"}`, fault.CodeUnauthenticated, `"path":["mixed",1]`, "Author"},
		"a list without nulls":       {"Author", directive("authenticated", "", nil), "", "", `{"query":"{ strict { __typename } }"}`, fault.CodeUnauthenticated, `{"strict":null}`, "Book"},
		"its one error":              {"Author", directive("authenticated", "", nil), "", "", `{"query":"{ strict { __typename } }"}`, fault.CodeUnauthenticated, `"path":["strict",1]`, "must not be null"},
		"lists of an interface":      {"Leaflet", directive("authenticated", "", nil), "", "", `{"query":"{ works { __typename title } }"}`, fault.CodeUnauthenticated, `{"works":[[null,{"__typename":"Book","title":"Volume 1"}],[{"__typename":"Book","title":"Volume 2"},null]]}`, "leaflet"},
		"where in lists":             {"Book", directive("authenticated", "", nil), "", "", `{"query":"{ works { __typename } }"}`, fault.CodeUnauthenticated, `"path":["works",1,0]`, "Book"},
		"an interface demands":       {"Work", directive("authenticated", "", nil), "", "", `{"query":"{ mixed { __typename } }"}`, fault.CodeUnauthenticated, `{"mixed":[null,{"__typename":"Author"},null]}`, "Book"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := library.Config{Resolvers: library.Resolvers{}, Schema: guarded(map[string]*ast.Directive{c.on: c.directive})}
			config.Directives.Authenticated = subgraph.Authenticated
			s := subgraph.New("library", library.NewExecutableSchema(config), subgraph.Options{
				Logger:       quiet(),
				Authenticate: func(r *http.Request) (*identity.Caller, error) { return people[r.Header.Get("Authorization")], nil },
				Lacks: func(ctx context.Context, _ [][]string) (string, error) {
					if _, err := identity.FromContext(ctx); err != nil {
						return "", err
					}
					return c.lacks, nil
				},
			})
			server := httptest.NewServer(s)
			t.Cleanup(server.Close)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", c.who)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			var text json.RawMessage
			if err := json.NewDecoder(resp.Body).Decode(&text); err != nil {
				t.Fatal(err)
			}
			got := string(text)
			if c.code != "" && !strings.Contains(got, `"code":"`+string(c.code)+`"`) || !strings.Contains(got, c.contains) ||
				c.without != "" && strings.Contains(got, c.without) {
				t.Errorf("%s: want %s, %q and nothing of %q", got, c.code, c.contains, c.without)
			}
		})
	}
}
