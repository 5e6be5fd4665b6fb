package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// built is a small build.
func built(t *testing.T) fstest.MapFS {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, "run()"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{
		"index.html":                 {Data: []byte("<title>the page</title>")},
		"assets/index-0a1b2c.js.gz":  {Data: packed.Bytes()},
		"assets/broken-0a1b2c.js.gz": {Data: []byte("not gzip")},
		"licences.md":                {Data: []byte("MIT")},
		"assets/icon-0a1b2c.svg":     {Data: []byte("<svg/>")},
		"assets/secret.txt":          {Data: []byte("not a kind of asset")},
	}
}

func get(t *testing.T, h http.Handler, path, encoding string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if encoding != "" {
		r.Header.Set("Accept-Encoding", encoding)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPlayground(t *testing.T) {
	t.Parallel()
	h, err := playground(built(t), PlaygroundOptions{Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	const forever = "public, max-age=31536000, immutable"
	for _, c := range []struct {
		path, encoding string
		status         int
		body           string // a part of it
		headers        map[string]string
	}{
		{"/playground", "", 200, "the page", map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Content-Security-Policy": playgroundPolicy,
		}},
		{"/playground/", "", 308, "", map[string]string{"Location": "/playground"}},
		{"/playground/settings.json", "", 200, `{"accounts":[]}`, map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"}},
		{"/playground/licences.txt", "", 200, "MIT", map[string]string{"Content-Type": "text/plain; charset=utf-8"}},
		{"/playground/assets/icon-0a1b2c.svg", "gzip", 200, "<svg/>", map[string]string{
			"Content-Type": "image/svg+xml", "Cache-Control": forever, "Content-Encoding": "", "Content-Length": "6",
		}},
		{"/playground/assets/index-0a1b2c.js", "", 200, "run()", map[string]string{
			"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": forever, "Content-Encoding": "", "Content-Length": "5",
			"Vary": "Accept-Encoding", "Content-Security-Policy": playgroundPolicy,
		}},
		{"/playground/assets/index-0a1b2c.js", "br, gzip;q=0", 200, "run()", map[string]string{"Content-Encoding": ""}},
		{"/playground/assets/index-0a1b2c.js", "br, GZIP;q=0.5", 200, "\x1f\x8b", map[string]string{"Content-Encoding": "gzip"}},
		{"/playground/assets/broken-0a1b2c.js", "", 500, "damaged", nil},
		{"/playground/assets/index-ffffff.js", "gzip", 404, "no such asset", map[string]string{"Cache-Control": "no-store"}},
		{"/playground/assets/secret.txt", "", 404, "no such asset", nil},
		{"/playground/assets/", "", 404, "no such asset", nil},
		{"/playground/assets/../index.html", "", 307, "", nil},
		{"/playground/assets/%2e%2e%2findex.html", "", 404, "no such asset", nil},
		{"/playground/index.html", "", 404, "not found", nil},
	} {
		t.Run(c.path+" "+c.encoding, func(t *testing.T) {
			t.Parallel()
			w := get(t, h, c.path, c.encoding)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, c.status, c.body)
			}
			got := map[string]string{}
			for name := range c.headers {
				got[name] = w.Header().Get(name)
			}
			if diff := cmp.Diff(c.headers, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlaygroundNamesTheAccountsItIsGiven(t *testing.T) {
	t.Parallel()
	h, err := playground(built(t), PlaygroundOptions{Enabled: true, Accounts: []Account{{Email: "a@b.test", Password: "p", Role: "owner", Tenant: "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"accounts":[{"email":"a@b.test","password":"p","role":"owner","tenant":"b"}]}`
	if got := get(t, h, "/playground/settings.json", "").Body.String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestPlaygroundThatIsNotEnabled(t *testing.T) {
	t.Parallel()
	h, err := playground(built(t), PlaygroundOptions{Accounts: []Account{{Email: "a@b.test"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/playground", "/playground/settings.json", "/playground/assets/icon-0a1b2c.svg"} {
		if w := get(t, h, path, ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "TRADESAGE_INTROSPECTION") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestPlaygroundThatIsNotBuilt(t *testing.T) {
	t.Parallel()
	h, err := playground(fstest.MapFS{}, PlaygroundOptions{Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	if w := get(t, h, "/playground", ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "make web") ||
		w.Header().Get("Content-Security-Policy") != plainPolicy {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if w := get(t, h, "/playground/assets/index-0a1b2c.js", ""); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestStartPageNamesThePlayground(t *testing.T) {
	t.Parallel()
	h, err := Console()
	if err != nil {
		t.Fatal(err)
	}
	if w := get(t, h, "/", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `href="/playground"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
