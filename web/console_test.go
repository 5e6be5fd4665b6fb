package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func TestConsole(t *testing.T) {
	t.Parallel()
	files := built(t)
	files["favicon.svg"] = &fstest.MapFile{Data: []byte("<svg>icon</svg>")}
	files["manifest.json"] = &fstest.MapFile{Data: []byte("{}")}
	h := console(files)
	const page, asset = "no-cache", "public, max-age=31536000, immutable"
	for _, c := range []struct {
		path, accept string
		status       int
		body, cache  string
	}{
		{"/", "text/html,*/*", 200, "the page", page},
		{"/settings/sessions", "text/html", 200, "the page", page},
		{"/settings/", "text/html", 200, "the page", page},
		{"/settings", "application/json", 404, "no such", "no-store"},
		{"/settings", "", 404, "no such", "no-store"},
		{"/old-page.html", "text/html", 404, "no such", "no-store"},
		{"/index.html", "text/html", 404, "no such", "no-store"},
		{"/.env", "text/html", 404, "no such", "no-store"},
		{"/licences.md", "text/html", 404, "no such", "no-store"},
		{"/graphql/x", "text/html", 404, "no such", "no-store"},
		{"/.well-known/other", "text/html", 404, "no such", "no-store"},
		{"/oauth/other", "text/html", 404, "no such", "no-store"},
		{"/favicon.svg", "image/*", 200, "icon", page},
		{"/manifest.json", "", 200, "{}", page},
		{"/assets/index-0a1b2c.js", "", 200, "run()", asset},
		{"/assets/gone-0a1b2c.js", "text/html", 404, "no such", "no-store"},
		{"/assets", "text/html", 307, "", ""},
		{"/%2e%2e/secret.css", "text/css", 404, "no such", "no-store"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, http.NoBody)
		r.Header.Set("Accept", c.accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) || w.Header().Get("Cache-Control") != c.cache {
			t.Errorf("%s as %q: %d %q %v", c.path, c.accept, w.Code, w.Body, w.Header())
		}
		if c.status == http.StatusOK && w.Header().Get("Content-Security-Policy") != consolePolicy {
			t.Errorf("%s: %v", c.path, w.Header())
		}
	}
}

func TestConsoleIsAskedForAgain(t *testing.T) {
	t.Parallel()
	h := console(built(t))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.Header.Set("Accept", "text/html")
	first := httptest.NewRecorder()
	h.ServeHTTP(first, r)
	r.Header.Set("If-None-Match", first.Header().Get("ETag"))
	again := httptest.NewRecorder()
	h.ServeHTTP(again, r)
	if first.Header().Get("ETag") == "" || again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("%d %q", again.Code, again.Body)
	}
}

func TestConsoleThatIsNotBuilt(t *testing.T) {
	t.Parallel()
	h := console(fstest.MapFS{})
	if w := get(t, h, "/", ""); w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") != plainPolicy {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := get(t, h, "/settings", ""); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
