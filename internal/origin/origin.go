// Package origin decides which origins' pages may use the API. It answers their
// browsers (CORS), and refuses (CSRF) what the pages of others have a browser send.
package origin

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/rs/cors"
)

// Allowed is a list of origins beside the server's own. An entry is a host, as
// console.example or localhost:5173, for pages of any scheme, or an origin, as
// https://console.example. An asterisk stands for any characters: *.example is
// every host below example, but not example itself.
type Allowed []string

// Validate says which entry cannot be the pattern of an origin.
func (a Allowed) Validate() error {
	for _, pattern := range a {
		scheme, host, ok := strings.Cut(pattern, "://")
		if !ok {
			scheme, host = "", pattern
		}
		if _, err := path.Match(pattern, "x"); err != nil || host == "" || strings.ContainsAny(host, "/?#@ ") || ok && scheme != "http" && scheme != "https" {
			return fmt.Errorf("%q is not a host, as console.example or *.example, nor an origin, as https://console.example", pattern)
		}
	}
	return nil
}

// Matches reports whether an Origin header is on the list. A page without an
// origin of its own ("null") never is.
func (a Allowed) Matches(header string) bool {
	at, err := url.Parse(header)
	if err != nil || at.Host == "" || at.Scheme == "" {
		return false
	}
	host := strings.ToLower(at.Host)
	for _, pattern := range a {
		value := host
		if strings.Contains(pattern, "://") {
			value = at.Scheme + "://" + host
		}
		if ok, err := path.Match(strings.ToLower(pattern), value); err == nil && ok {
			return true
		}
	}
	return false
}

// preflightAge is how long a browser may remember what it was told.
const preflightAge = 2 * time.Hour

// What pages of allowed origins may send, and what they may read of the answer
// beyond what every page may.
var (
	requestHeaders = []string{
		"Authorization", "Content-Type", "Content-Encoding", "X-Request-Id", "Last-Event-Id",
		"GraphQL-Require-Preflight", "Apollo-Require-Preflight", "X-Apollo-Operation-Name", "X-Requested-With",
		"Apollographql-Client-Name", "Apollographql-Client-Version", "GraphQL-Client-Name", "Traceparent", "Tracestate",
	}
	responseHeaders = []string{"X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy", "ETag", "WWW-Authenticate"}
)

// Handler lets pages of the server's own origin and of the allowed ones use next.
// Others' browsers are told that they may not read the answers, and requests of
// theirs that could change something are answered by refused. Requests that no
// browser made for a page pass. No cookies are ever asked for.
func Handler(allowed Allowed, refused, next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(refused)
	protected := protection.Handler(next)
	checked := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if header := r.Header.Get("Origin"); header != "" && allowed.Matches(header) {
			next.ServeHTTP(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
	return cors.New(cors.Options{
		AllowOriginFunc: allowed.Matches,
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders:  requestHeaders,
		ExposedHeaders:  responseHeaders,
		MaxAge:          int(preflightAge.Seconds()),
	}).Handler(checked)
}
