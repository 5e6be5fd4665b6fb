package origin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tradesage/tradesage/internal/origin"
)

func TestAllowed(t *testing.T) {
	t.Parallel()
	allowed := origin.Allowed{"console.example", "*.apps.example", "https://Secure.example", "localhost:5173", "http://*.test:8080"}
	if err := allowed.Validate(); err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]bool{
		"https://console.example":                    true,
		"http://console.example":                     true,
		"https://CONSOLE.example":                    true,
		"https://console.example:8443":               false,
		"https://console.example.evil.test":          false,
		"https://evilconsole.example":                false,
		"https://a.apps.example":                     true,
		"https://a.b.apps.example":                   true,
		"https://apps.example":                       false,
		"https://evil.test/.apps.example":            false,
		"https://evil.test#.apps.example":            false,
		"https://evil.test?.apps.example":            false,
		"https://x.apps.example@evil.test":           false,
		"https://secure.example":                     true,
		"http://secure.example":                      false,
		"http://localhost:5173":                      true,
		"http://localhost":                           false,
		"http://a.test:8080":                         true,
		"https://a.test:8080":                        false,
		"null":                                       false,
		"":                                           false,
		"console.example":                            false,
		"//console.example":                          false,
		"file://console.example":                     true, // a host of any scheme
		"https://":                                   false,
		"https://console.example, https://evil.test": false,
	} {
		if got := allowed.Matches(header); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
	if (origin.Allowed{"*"}).Matches("null") || !(origin.Allowed{"*"}).Matches("https://anything.test") {
		t.Error("* is every origin but none")
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "https://", "https://console.example/", "ftp://console.example", "a b", "[a", "me@console.example", "console.example/path"} {
		if err := (origin.Allowed{"good.example", bad}).Validate(); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	answer := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	h := origin.Handler(origin.Allowed{"https://console.example"}, answer(http.StatusForbidden), answer(http.StatusOK))
	for name, c := range map[string]struct {
		method string
		header http.Header
		status int
		allow  string // Access-Control-Allow-Origin
	}{
		"no browser":          {"POST", nil, 200, ""},
		"its own page":        {"POST", http.Header{"Origin": {"http://api.example"}, "Sec-Fetch-Site": {"same-origin"}}, 200, ""},
		"an old browser":      {"POST", http.Header{"Origin": {"http://api.example"}}, 200, ""},
		"an allowed page":     {"POST", http.Header{"Origin": {"https://console.example"}, "Sec-Fetch-Site": {"cross-site"}}, 200, "https://console.example"},
		"by http":             {"POST", http.Header{"Origin": {"http://console.example"}, "Sec-Fetch-Site": {"cross-site"}}, 403, ""},
		"another page":        {"POST", http.Header{"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}}, 403, ""},
		"another, unmarked":   {"POST", http.Header{"Origin": {"https://evil.test"}}, 403, ""},
		"a sandboxed page":    {"POST", http.Header{"Origin": {"null"}}, 403, ""},
		"without an origin":   {"POST", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403, ""},
		"it may read nothing": {"GET", http.Header{"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}}, 200, ""},
		"allowed to ask": {"OPTIONS", http.Header{
			"Origin": {"https://console.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-encoding,content-type"},
		}, 204, "https://console.example"},
		"asks for another method": {"OPTIONS", http.Header{
			"Origin": {"https://console.example"}, "Access-Control-Request-Method": {"DELETE"},
		}, 204, ""},
		"asks for another header": {"OPTIONS", http.Header{
			"Origin": {"https://console.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"x-secret"},
		}, 204, ""},
		"may not ask": {"OPTIONS", http.Header{
			"Origin": {"https://evil.test"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"content-type"},
		}, 204, ""},
	} {
		r := httptest.NewRequest(c.method, "http://api.example/graphql", http.NoBody)
		for k, v := range c.header {
			r.Header[k] = v
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || w.Header().Get("Access-Control-Allow-Origin") != c.allow {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: cookies are allowed", name)
		}
	}
}
