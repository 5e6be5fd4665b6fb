package router_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/internal/fault"
)

// get sends a GET; pairs are parameters.
func get(h http.Handler, header http.Header, pairs ...string) answer {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	req := httptest.NewRequest(http.MethodGet, "/graphql?"+values.Encode(), http.NoBody)
	for name, value := range header {
		req.Header[name] = value
	}
	return send(h, req)
}

var asked = http.Header{"Graphql-Require-Preflight": {"1"}}

func TestGet(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"a query":           {[]string{"query", "{me{id}}"}, `{"data":{"me":{"id":"u1"}}}`},
		"variables":         {[]string{"query", "query($id:ID!){user(id:$id){id name}}", "variables", `{"id":"u2"}`}, `{"data":{"user":{"id":"u2","name":"Bob"}}}`},
		"an operation name": {[]string{"query", "query A{me{id}} query B{me{name}}", "operationName", "B"}, `{"data":{"me":{"name":"Ada"}}}`},
		"empty parameters":  {[]string{"query", "{me{id}}", "variables", "", "operationName", ""}, `{"data":{"me":{"id":"u1"}}}`},
		"null":              {[]string{"query", "{me{id}}", "variables", "null", "extensions", "null"}, `{"data":{"me":{"id":"u1"}}}`},
		"other parameters":  {[]string{"query", "{me{id}}", "cache", "1", "query2", "{nope}"}, `{"data":{"me":{"id":"u1"}}}`},
		"quotes":            {[]string{"query", `{user(id:"u\u0032"){name}}`}, `{"data":{"user":{"name":"Bob"}}}`},
	} {
		got := get(s.router, asked, c.pairs...)
		if got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", name, got.status, got.header)
		}
		wantBody(t, got, c.want)
	}
}

func TestGetsThatAreRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) { s.options.Limits.MaxBodyBytes = 2000 })
	for name, c := range map[string]struct {
		pairs  []string
		status int
		text   string
	}{
		"no query":            {nil, 400, "query is missing"},
		"syntax":              {[]string{"query", "{me"}, 200, ""},
		"variables":           {[]string{"query", "{me{id}}", "variables", "{"}, 400, "variables is not valid JSON"},
		"variables of a list": {[]string{"query", "{me{id}}", "variables", "[1]"}, 400, "variables must be an object"},
		"a key smuggled in":   {[]string{"query", "{me{id}}", "variables", `{},"query":"mutation{rename(id:\"u1\",name:\"x\"){id}}"`}, 400, "variables is not valid JSON"},
		"two queries":         {[]string{"query", "{me{id}}", "query", "{users{id}}"}, 400, "query occurs twice"},
		"no UTF-8":            {[]string{"query", "{me{id}}\xff"}, 400, "query is not valid UTF-8"},
		"a mutation":          {[]string{"query", `mutation{rename(id:"u1",name:"x"){id}}`}, 405, "only queries"},
		"the mutation of two": {[]string{"query", `query A{me{id}} mutation B{rename(id:"u1",name:"x"){id}}`, "operationName", "B"}, 405, "only queries"},
		"a subscription":      {[]string{"query", "subscription{userRenamed{id}}"}, 405, "only queries"},
		"too long":            {[]string{"query", "{me{id}}" + strings.Repeat(" ", 3000)}, 414, "too long"},
	} {
		got := get(s.router, asked, c.pairs...)
		if got.status != c.status || c.status == 405 && got.header.Get("Allow") != http.MethodPost {
			t.Errorf("%s: %d, want %d", name, got.status, c.status)
		}
		wantError(t, got, fault.CodeInvalidInput, c.text)
	}
	bad := httptest.NewRequest(http.MethodGet, "/graphql?query=%zz", http.NoBody)
	bad.Header = asked
	wantError(t, send(s.router, bad), fault.CodeInvalidInput, "percent-encoded")
	if calls := s.users.Calls(); len(calls) != 0 {
		t.Errorf("subgraphs were asked: %v", calls)
	}
}

// A page of another origin can have a browser send a GET without being asked, by
// an image, a link or a form: it runs nothing.
func TestSimpleRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for name, c := range map[string]struct {
		header  http.Header
		allowed bool
	}{
		"nothing":                 {nil, false},
		"an image":                {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Accept": {"image/*, */*"}}, false},
		"a sibling's page":        {http.Header{"Sec-Fetch-Site": {"same-site"}}, false},
		"a form's type":           {http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, false},
		"text":                    {http.Header{"Content-Type": {"text/plain;charset=UTF-8"}}, false},
		"a broken type":           {http.Header{"Content-Type": {"application/"}}, false},
		"no media type at all":    {http.Header{"Content-Type": {";;"}}, false},
		"an empty header":         {http.Header{"Apollo-Require-Preflight": {""}}, false},
		"language":                {http.Header{"Accept-Language": {"x"}, "Range": {"bytes=0-1"}}, false},
		"a token":                 {http.Header{"Authorization": {"Bearer x"}}, true},
		"JSON":                    {http.Header{"Content-Type": {"application/json"}}, true},
		"Apollo Client":           {http.Header{"X-Apollo-Operation-Name": {"Me"}}, true},
		"our own page":            {http.Header{"Sec-Fetch-Site": {"same-origin"}}, true},
		"the address bar":         {http.Header{"Sec-Fetch-Site": {"none"}}, true},
		"a header of one's own":   {asked, true},
		"cross-site but preflown": {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Graphql-Require-Preflight": {"true"}}, true},
	} {
		got := get(s.router, c.header, "query", "{me{id}}")
		if c.allowed {
			wantBody(t, got, `{"data":{"me":{"id":"u1"}}}`)
			continue
		}
		if got.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		wantError(t, got, fault.CodeForbidden, "Graphql-Require-Preflight")
	}
}
