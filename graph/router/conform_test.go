package router_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
)

// A value that a subgraph's schema does not allow is null, with an error at its place;
// what is beside it is answered.
func TestAnswersThatTheSchemaDoesNotAllow(t *testing.T) {
	t.Parallel()
	const masked = `{"message":"internal error","path":[%],"extensions":{"code":"INTERNAL"}}`
	at := func(paths ...string) string {
		var out []string
		for _, p := range paths {
			out = append(out, strings.Replace(masked, "%", p, 1))
		}
		return `"errors":[` + strings.Join(out, ",") + `]`
	}
	for name, c := range map[string]struct{ query, answer, want string }{
		"what it should be": {`{ it: echo(value: "a") whoami orders { id } }`, `{"it":"x","whoami":null}`,
			`{"data":{"it":"x","whoami":null,"orders":[{"id":"o1"},{"id":"o2"},{"id":"o3"}]}}`},
		"a number for a text": {`{ it: echo(value: "a") whoami orders { id } }`, `{"it":5,"whoami":"me"}`,
			`{"data":{"it":null,"whoami":"me","orders":[{"id":"o1"},{"id":"o2"},{"id":"o3"}]},` + at(`"it"`) + `}`},
		"an object and a list": {`{ echo(value: "a") whoami }`, `{"echo":{"a":1},"whoami":[1]}`,
			`{"data":{"echo":null,"whoami":null},` + at(`"echo"`, `"whoami"`) + `}`},
		"no object": {`{ me { name } whoami }`, `{"me":"x","whoami":"me"}`,
			`{"data":{"me":null,"whoami":"me"},` + at(`"me"`) + `}`},
		"a list for an object": {`{ me { name } whoami }`, `{"me":[],"whoami":"me"}`,
			`{"data":{"me":null,"whoami":"me"},` + at(`"me"`) + `}`},
		"in what must not be null": {`{ me { id name } whoami }`, `{"me":{"__typename":"User","id":"u1","name":true},"whoami":"me"}`,
			`{"data":{"me":null,"whoami":"me"},` + at(`"me","name"`) + `}`},
		"in a list": {`{ search { id nick: email } whoami }`, `{"search":[{"__typename":"User","id":"u1","nick":"a"},{"__typename":"User","id":2,"nick":false}],"whoami":"me"}`,
			`{"data":{"search":[{"id":"u1","nick":"a"},{"id":"2","nick":null}],"whoami":"me"},` + at(`"search",1,"nick"`) + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				answer := c.answer
				// The planner's names for the client's aliases.
				for _, alias := range []string{"it", "nick"} {
					if i := strings.Index(string(body), alias+":"); i > 0 {
						start := strings.LastIndexAny(string(body)[:i], " {,}\\n(") + 1
						answer = strings.ReplaceAll(answer, `"`+alias+`"`, `"`+string(body)[start:i]+alias+`"`)
					}
				}
				_, _ = io.WriteString(w, `{"data":`+answer+`}`)
			}))
			t.Cleanup(server.Close)
			s := newShop(t, func(s *shop) {
				delete(s.options.Local, "users")
				s.options.Remote = map[string]router.Remote{"users": {URL: server.URL}}
			})
			wantBody(t, query(s.router, c.query, ""), c.want)
		})
	}
}

// The same for what one service adds to another's entities.
func TestEntitiesThatTheSchemaDoesNotAllow(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`[{"__typename":"User","reviewCount":7}]`: `{"data":{"me":{"name":"Ada","reviewCount":7}}}`,
		`[{"__typename":"User","reviewCount":"many"}]`: `{"data":{"me":{"name":"Ada","reviewCount":null}},
			"errors":[{"message":"internal error","path":["me","reviewCount"],"extensions":{"code":"INTERNAL"}}]}`,
		`[{"__typename":"User","reviewCount":2147483648}]`: `{"data":{"me":{"name":"Ada","reviewCount":null}},
			"errors":[{"message":"internal error","path":["me","reviewCount"],"extensions":{"code":"INTERNAL"}}]}`,
		`[{"__typename":"User","reviewCount":1.5}]`: `{"data":{"me":{"name":"Ada","reviewCount":null}},
			"errors":[{"message":"internal error","path":["me","reviewCount"],"extensions":{"code":"INTERNAL"}}]}`,
		`[{"__typename":"User","reviewCount":2.0}]`: `{"data":{"me":{"name":"Ada","reviewCount":2}}}`,
		`["u1"]`: `{"data":{"me":{"name":"Ada","reviewCount":null}},
			"errors":[{"message":"internal error","path":["me"],"extensions":{"code":"INTERNAL"}}]}`,
	} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"data":{"_entities":`+answer+`}}`)
			}))
			t.Cleanup(server.Close)
			s := newShop(t, func(s *shop) {
				delete(s.options.Local, "reviews")
				s.options.Remote = map[string]router.Remote{"reviews": {URL: server.URL}}
			})
			wantBody(t, query(s.router, `{ me { name reviewCount } }`, ""), want)
		})
	}
}
