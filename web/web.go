// Package web serves the pages of the public listener: for now one that says
// where things are, in place of the console.
package web

import (
	_ "embed"
	"net/http"
)

//go:embed stub/index.html
var stub []byte

// Handler serves the page.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_, _ = w.Write(stub) // the client may be gone
	})
}
