package web

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// consolePolicy lets the console load from its own origin and nowhere else, and
// run no script or style that is not in a file.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// reserved are the first parts of paths that are no pages of the console, even
// where nothing answers them.
var reserved = map[string]bool{"graphql": true, "playground": true, "oauth": true, "dev": true, ".well-known": true, "assets": true}

// Console serves the console and everything below it: the files of its build, and
// its page under each other path that a browser opens, since the console itself
// knows what is where. Files below assets are kept by browsers for good, as their
// names hold a hash of their content; all others are asked for again each time.
// Until the console is built there is the start page.
func Console() (http.Handler, error) {
	dist, err := fs.Sub(files, "dist/console")
	if err != nil {
		return nil, err
	}
	return console(dist), nil
}

func console(dist fs.FS) http.Handler {
	page, err := fs.ReadFile(dist, "index.html")
	if err != nil {
		return startPage()
	}
	mux := http.NewServeMux()
	mux.Handle("GET /assets/", http.StripPrefix("/", assets{dist, consolePolicy}))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if mediaType, known := mediaTypes[path.Ext(name)]; known && name != "index.html" {
			if content, err := fs.ReadFile(dist, name); err == nil {
				serveFile(w, r, mediaType, content)
				return
			}
		}
		if !isPage(r) {
			notFound(w)
			return
		}
		serveFile(w, r, mediaTypes[".html"], page)
	})
	return mux
}

// serveFile answers content that may be another one tomorrow.
func serveFile(w http.ResponseWriter, r *http.Request, mediaType string, content []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Security-Policy", consolePolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", fmt.Sprintf(`W/"%x"`, sha256.Sum256(content)))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// isPage reports whether a browser opens a page of the console: a path without
// the name of a file, for somebody who reads HTML.
func isPage(r *http.Request) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path.Clean(r.URL.Path), "/"), "/")
	return !reserved[first] && path.Ext(r.URL.Path) == "" && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// startPage says where things are.
func startPage() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		servePage(w, http.StatusOK, "stub/index.html")
	})
	return mux
}
