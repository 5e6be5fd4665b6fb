package router_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

const (
	jsonType     = "application/json; charset=utf-8"
	responseType = "application/graphql-response+json; charset=utf-8"
)

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for accept, want := range map[string]string{
		"":                                  jsonType,
		"*/*":                               jsonType,
		"application/*":                     jsonType,
		"application/json":                  jsonType,
		"application/graphql-response+json": responseType,
		"application/graphql-response+json, application/json;q=0.9": responseType,
		"application/json, application/graphql-response+json":       jsonType,
		"application/json;q=0.5, application/graphql-response+json": responseType,
		"text/html, application/json":                               jsonType,
		"*/*, application/json;q=0":                                 responseType,
		"application/json, text/event-stream":                       jsonType,
		"text/event-stream;q=0.1, application/json":                 jsonType,
		"text/event-stream;q=0, application/json":                   jsonType,
		"text/event-stream;q=0":                                     "",
		"text/html, */*;q=0.1":                                      jsonType,
		"text/html":                                                 "",
		"application/json;q=0":                                      "",
		"nonsense/":                                                 "",
	} {
		got := post(s.router, `{"query":"{me{id}}"}`, "Accept", accept)
		if want == "" {
			if got.status != http.StatusNotAcceptable {
				t.Errorf("Accept %q: %d", accept, got.status)
			}
			wantError(t, got, fault.CodeInvalidInput, "")
			continue
		}
		if vary := strings.Join(got.header.Values("Vary"), ", "); !strings.Contains(vary, "Accept") {
			t.Errorf("Accept %q: Vary is %q", accept, vary)
		}
		if got.status != http.StatusOK || got.header.Get("Content-Type") != want {
			t.Errorf("Accept %q: %d %s", accept, got.status, got.header.Get("Content-Type"))
		}
	}
}

// GraphQL over HTTP: a well-formed request whose operation is refused is 200 in
// application/json and 4xx in application/graphql-response+json.
func TestStatuses(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) { s.options.Limits.MaxBodyBytes = 2000 })
	for name, c := range map[string]struct {
		body             string
		legacy, response int
	}{
		"data":            {`{"query":"{me{id}}"}`, 200, 200},
		"partial data":    {`{"query":"{me{maybe}}"}`, 200, 200},
		"null data":       {`{"query":"{orders{buyer{risky}}}"}`, 200, 200},
		"syntax":          {`{"query":"{me"}`, 200, 400},
		"validation":      {`{"query":"{nope}"}`, 200, 400},
		"variables":       {`{"query":"query($id:ID!){user(id:$id){id}}"}`, 200, 400},
		"too complex":     {`{"query":"{` + strings.Repeat("me{id} ", 60) + `}"}`, 200, 400},
		"subscription":    {`{"query":"subscription{userRenamed{id}}"}`, 200, 400},
		"no JSON":         {`{"query":`, 400, 400},
		"no query":        {`{"variables":{}}`, 400, 400},
		"persisted query": {`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}`, 400, 400},
		"too large":       {`{"query":"` + strings.Repeat(" ", 3000) + `"}`, 413, 413},
	} {
		for accept, want := range map[string]int{"application/json": c.legacy, "application/graphql-response+json": c.response} {
			if got := post(s.router, c.body, "Accept", accept); got.status != want {
				t.Errorf("%s as %s: %d, want %d: %s", name, accept, got.status, want, got.body)
			}
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions, "QUERY"} {
		got := send(s.router, httptest.NewRequest(method, "/graphql?query={me{id}}", nil))
		if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET, POST" {
			t.Errorf("%s: %d Allow %q", method, got.status, got.header.Get("Allow"))
		}
	}
	for _, contentType := range []string{"", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json; charset=latin1"} {
		got := post(s.router, `{"query":"{me{id}}"}`, "Content-Type", contentType)
		if got.status != http.StatusUnsupportedMediaType {
			t.Errorf("Content-Type %q: %d", contentType, got.status)
		}
		wantError(t, got, fault.CodeInvalidInput, "Content-Type")
	}
	for _, coding := range []string{"deflate", "br", "zstd", "identity, gzip"} {
		got := post(s.router, "\x1f\x8b", "Content-Encoding", coding)
		if got.status != http.StatusUnsupportedMediaType || got.header.Get("Accept-Encoding") != "gzip, identity" {
			t.Errorf("Content-Encoding %q: %d", coding, got.status)
		}
		wantError(t, got, fault.CodeInvalidInput, "Content-Encoding")
	}
	if got := post(s.router, `{"query":"{me{id}}"}`, "Content-Encoding", "Identity"); got.status != http.StatusOK {
		t.Errorf("Content-Encoding identity: %d", got.status)
	}
	if got := post(s.router, `{"query":"{me{id}}"}`, "Content-Type", `application/json; charset="UTF-8"`); got.status != http.StatusOK {
		t.Errorf("charset=UTF-8: %d", got.status)
	}
}

func TestMalformedBodies(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for body, text := range map[string]string{
		``:                              "empty",
		"  \n":                          "empty",
		`{`:                             "JSON",
		`nul`:                           "JSON",
		`null`:                          "not a JSON object",
		`"query"`:                       "not a JSON object",
		`[{"query":"{me{id}}"}]`:        "batches",
		"{\"query\":\"{me{id}}\xff\"}":  "UTF-8",
		`{"query":"{me{id}}"} trailing`: "JSON",
		`{"query":"{me{id}}","query":"{users{id}}"}`:                  `"query" occurs twice`,
		`{"query":"{me{id}}","variables":{"a":{"b":1,"b":2}}}`:        `"b" occurs twice`,
		`{"query":"{me{id}}","variables":{"a":[{"b":1,"\u0062":2}]}}`: `"b" occurs twice`,
		`{"query":7}`:    "query must be a string",
		`{"query":null}`: "query is missing",
		`{"query":""}`:   "query is missing",
		`{"query":"{me{id}}","operationName":[]}`: "operationName must be a string",
		`{"query":"{me{id}}","variables":[]}`:     "variables must be an object",
		`{"query":"{me{id}}","variables":"{}"}`:   "variables must be an object",
		`{"query":"{me{id}}","extensions":1}`:     "extensions must be an object",
		`{"query":"{me{id}}","variables":{"a":` + strings.Repeat("[", 400) + strings.Repeat("]", 400) + `}}`: "nests too deeply",
		`{"query":"{me{id}}","variables":{"a":01}}`:                                                          "JSON",
	} {
		got := post(s.router, body)
		if got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", body, got.status)
		}
		wantError(t, got, fault.CodeInvalidInput, text)
	}
}

func TestBrokenOffBody(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	req := httptest.NewRequest(http.MethodPost, "/graphql", io.MultiReader(strings.NewReader(`{"query":`), brokenReader{}))
	req.Header.Set("Content-Type", "application/json")
	wantError(t, send(s.router, req), fault.CodeInvalidInput, "broke off")
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestDocumentErrorsHavePlaces(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for text, want := range map[string]string{
		"{\n  me {\n    nope\n  }\n}": `{"line":3,"column":5}`,
		"{\n  me {\n    id\n":         ``,
		"{ me ] }":                    `{"line":1,"column":6}`,
		"{ me { id } a: me { ...F } } fragment F on User { no }": `{"line":1,"column":51}`,
		"{ user { id } }":                  `{"line":1,"column":3}`,
		"{ me { a: id\n a: name } }":       `{"line":2,"column":2}`,
		"{ user(id: \"1\", x: 2) { id } }": `{"line":1,"column":17}`,
	} {
		got := query(s.router, text, "")
		wantError(t, got, fault.CodeInvalidInput, "")
		if want != "" && !strings.Contains(got.body, `"locations":[`+want) {
			t.Errorf("%s: %s", text, got.body)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) {
		s.options.Authenticate = func(r *http.Request) (*identity.Caller, error) {
			switch r.Header.Get("Authorization") {
			case "":
				return nil, nil
			case "Bearer expired":
				return nil, fault.Unauthenticated("the token has expired")
			case "Bearer down":
				return nil, fault.Unavailable("sessions cannot be checked at the moment")
			case "Bearer often":
				return nil, fault.RateLimited("slow down", 1200*time.Millisecond)
			}
			return nil, errors.New("kid 7 is unknown")
		}
	})
	wantBody(t, query(s.router, `{ me { id } whoami }`, ""), `{"data":{"me":{"id":"u1"},"whoami":null},
		"errors":[{"message":"sign in first","path":["whoami"],"extensions":{"code":"UNAUTHENTICATED"}}]}`)
	for token, c := range map[string]struct {
		status int
		code   fault.Code
		text   string
	}{
		"Bearer expired": {http.StatusUnauthorized, fault.CodeUnauthenticated, "the token has expired"},
		"Bearer x":       {http.StatusUnauthorized, fault.CodeUnauthenticated, "sign in first"},
		"Bearer down":    {http.StatusServiceUnavailable, fault.CodeUnavailable, "sessions"},
		"Bearer often":   {http.StatusTooManyRequests, fault.CodeRateLimited, "slow down"},
	} {
		got := post(s.router, `{"query":"{me{id}}"}`, "Authorization", token)
		if got.status != c.status {
			t.Errorf("%s: %d", token, got.status)
		}
		wantError(t, got, c.code, c.text)
		if c.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: no WWW-Authenticate", token)
		}
		if c.status == http.StatusTooManyRequests && got.header.Get("Retry-After") != "2" {
			t.Errorf("%s: Retry-After %q", token, got.header.Get("Retry-After"))
		}
	}
}

// A body that does not come in time is told so, typed; also one that is packed.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	for name, begun := range map[string]string{
		"plain":  "\r\n{\"query\"",
		"packed": "Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xaa",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slowBody(t, begun)
		})
	}
}

func slowBody(t *testing.T, begun string) {
	t.Helper()
	server := httptest.NewUnstartedServer(newShop(t, nil).router)
	server.Config.ReadTimeout = 200 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String()) //nolint:noctx // an address of this test
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"+begun); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("%d %v", resp.StatusCode, err)
	}
	wantError(t, answer{status: resp.StatusCode, body: string(body)}, fault.CodeInvalidInput, "did not come in time")
}
