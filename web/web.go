// Package web serves the pages of the public listener: the console and the
// playground. What Node builds lies in dist and is compiled in; a page of stub
// stands in for what was not built, so that the program builds without Node.
package web

import (
	"embed"
	"io/fs"
	"net/http"
)

// dist/.keep is committed, so that the pattern matches before the first build.
//
//go:embed stub all:dist
var files embed.FS

// plainPolicy is for pages without scripts.
const plainPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// servePage answers a page of the stub.
func servePage(w http.ResponseWriter, status int, name string) {
	page, err := fs.ReadFile(files, name)
	if err != nil { // a name that is not compiled in
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", plainPolicy)
	w.WriteHeader(status)
	_, _ = w.Write(page) // the client may be gone
}
