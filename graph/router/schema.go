package router

import (
	"net/http"
	"strings"
)

// SchemaSDL serves the schema that clients see as GraphQL SDL, for GET and HEAD,
// with an ETag for conditional requests. @inaccessible parts are not in it.
func (r *Router) SchemaSDL() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		sdl, etag := r.current.Load().graph.published()
		header := w.Header()
		header.Set("Content-Type", "text/plain; charset=utf-8")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-cache") // ask again each time; the ETag makes it cheap
		header.Set("ETag", etag)
		// ServeContent would do more than needed; it has no name for the type either.
		if matchesETag(req.Header.Get("If-None-Match"), etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if req.Method == http.MethodGet {
			_, _ = w.Write([]byte(sdl)) // a client that is gone needs no answer
		}
	})
}

// published is the text of the client schema as it is served, and its ETag.
func (g *supergraph) published() (sdl, etag string) { return g.sdl, g.etag }

// matchesETag compares weakly (RFC 9110, 13.1.2).
func matchesETag(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == "*" || candidate == etag {
			return true
		}
	}
	return false
}
