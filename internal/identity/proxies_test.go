package identity_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/internal/identity"
)

func TestProxies(t *testing.T) {
	t.Parallel()
	proxies, err := identity.ParseProxies([]string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from   string
		header http.Header
		want   string
	}{
		"nobody between":      {"198.51.100.1:5", nil, "198.51.100.1"},
		"who is not trusted":  {"198.51.100.1:5", http.Header{"X-Forwarded-For": {"1.2.3.4"}, "Forwarded": {"for=1.2.3.4"}}, "198.51.100.1"},
		"one proxy":           {"10.1.2.3:5", http.Header{"X-Forwarded-For": {"198.51.100.9"}}, "198.51.100.9"},
		"what a client wrote": {"10.1.2.3:5", http.Header{"X-Forwarded-For": {"1.2.3.4, 198.51.100.9"}}, "198.51.100.9"},
		"two headers":         {"10.1.2.3:5", http.Header{"X-Forwarded-For": {"1.2.3.4", "198.51.100.9, 192.0.2.7"}}, "198.51.100.9"},
		"only proxies":        {"10.1.2.3:5", http.Header{"X-Forwarded-For": {"10.9.9.9, 192.0.2.7"}}, "10.9.9.9"},
		"forwarded":           {"10.1.2.3:5", http.Header{"Forwarded": {`for=1.2.3.4, proto=https;For="[2001:aaaa::1]:4711";by=x`}, "X-Forwarded-For": {"5.5.5.5"}}, "2001:aaaa::1"},
		"a port":              {"[2001:db8::5]:9", http.Header{"X-Forwarded-For": {"198.51.100.9:8080"}}, "198.51.100.9"},
		"mapped":              {"[::ffff:10.1.2.3]:9", http.Header{"X-Forwarded-For": {"::ffff:198.51.100.9"}}, "198.51.100.9"},
		"unknown":             {"10.1.2.3:5", http.Header{"Forwarded": {"for=1.2.3.4, for=unknown"}}, "10.1.2.3"},
		"nonsense":            {"10.1.2.3:5", http.Header{"X-Forwarded-For": {"1.2.3.4, <script>"}}, "10.1.2.3"},
		"nothing":             {"10.1.2.3:5", nil, "10.1.2.3"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/graphql", http.NoBody)
		r.RemoteAddr = c.from
		for key, values := range c.header {
			r.Header[key] = values
		}
		if got := identity.ClientFrom(proxies.WithClient(r).Context()).IP; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if _, err := identity.ParseProxies([]string{"proxy.example"}); err == nil || !strings.Contains(err.Error(), `"proxy.example"`) {
		t.Errorf("a name is no address: %v", err)
	}
}
