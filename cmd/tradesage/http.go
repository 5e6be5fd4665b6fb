package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/graph/upstream"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/origin"
	"github.com/tradesage/tradesage/internal/telemetry"
	"github.com/tradesage/tradesage/web"
)

// check is one thing that must be there for requests to succeed.
type check struct {
	name string
	// test returns what is missing, a line each, or an error.
	test func(context.Context) ([]string, error)
	// needed is false where requests go on without it, perhaps with less detail.
	needed func() bool
}

func needed() bool      { return true }
func dispensable() bool { return false }

// readyTimeout bounds all checks of one /readyz together.
const readyTimeout = 3 * time.Second

// hardeningAge is how long an answer about the database's protections serves:
// the question reads every tenant's catalogue, and anybody may ask /readyz.
const hardeningAge = 15 * time.Second

// remember asks test at most once in age; an error is not kept. Callers that
// come while it asks wait for the same answer.
func remember(age time.Duration, now func() time.Time, test func(context.Context) ([]string, error)) func(context.Context) ([]string, error) {
	var mu sync.Mutex
	var missing []string
	var asked time.Time
	return func(ctx context.Context) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		if !asked.IsZero() && now().Sub(asked) < age {
			return slices.Clone(missing), nil
		}
		found, err := test(ctx)
		if err != nil {
			return nil, err
		}
		missing, asked = found, now()
		return slices.Clone(missing), nil
	}
}

type checkResult struct {
	OK      bool     `json:"ok"`
	Needed  bool     `json:"needed"`
	Missing []string `json:"missing,omitempty"`
}

// remoteCheck asks whether a service of another process is there. Until it has
// been seen once this process is not ready; later its absence is only named, since
// the others' fields go on.
func (a *app) remoteCheck(service string, way http.RoundTripper) check {
	var seen atomic.Bool
	at := strings.TrimSuffix(*a.config.Parts.url(service), "/graphql") + "/readyz"
	return check{service, func(ctx context.Context) ([]string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
		if err != nil {
			return nil, err
		}
		response, err := way.RoundTrip(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s answers %d", at, response.StatusCode)
			}
		}
		seen.CompareAndSwap(false, err == nil)
		if circuit := a.router.Circuits()[service]; circuit != upstream.Closed {
			return []string{"its circuit is " + circuit.String()}, err
		}
		return nil, err
	}, func() bool { return !seen.Load() }}
}

// readyHandler names what is missing. It answers 503 while a needed check
// fails. Errors are shown by their kind only; the log has them whole.
func readyHandler(checks []check, logger *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		type answer struct {
			name   string
			result checkResult
		}
		answers := make(chan answer, len(checks))
		for _, c := range checks {
			go func() {
				missing, err := c.test(ctx)
				if err != nil {
					logger.WarnContext(ctx, "not ready", "check", c.name, "error", err)
					missing = append(missing, "does not answer")
				}
				answers <- answer{c.name, checkResult{len(missing) == 0, c.needed(), missing}}
			}()
		}
		results, ready := map[string]checkResult{}, true
		for range checks {
			a := <-answers
			results[a.name] = a.result
			ready = ready && (a.result.OK || !a.result.Needed)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": ready, "checks": results}) // the client may be gone
	}
}

func live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"live"}` + "\n")) // the client may be gone
}

// publicHandler is everything on the public listener.
func (a *app) publicHandler(ready http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/graphql", a.router)
	mux.Handle("/schema.graphql", a.router.SchemaSDL())
	if a.ring != nil { // nobody signs in where there is none
		mux.Handle("GET /.well-known/jwks.json", a.ring)
	}
	mux.HandleFunc("GET /healthz", live)
	mux.HandleFunc("GET /health", live)
	mux.Handle("GET /readyz", ready)
	mux.Handle("/", a.console)
	mux.Handle("GET "+web.PlaygroundPath, a.playground)
	mux.Handle("GET "+web.PlaygroundPath+"/", a.playground)
	if a.mailbox != nil {
		mux.HandleFunc("GET /dev/mail", a.mailbox.ServeHTML)
		mux.HandleFunc("GET /dev/mail.json", a.mailbox.ServeJSON)
	}
	proxies, err := identity.ParseProxies(a.config.Limits.TrustedProxies)
	if err != nil { // validated with the configuration
		a.logger.Error("trusted proxies", "error", err)
	}
	return a.tracing.Handler(false,
		edge(proxies.WithClient, telemetry.Middleware(a.logger, origin.Handler(a.config.Origins, http.HandlerFunc(foreignPage), compressed(mux)))))
}

// foreignPage answers what the page of an origin that is not allowed has a browser
// send, in the words of the API.
func foreignPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write([]byte(`{"errors":[{"message":"pages of this origin may not use the API","extensions":{"code":"FORBIDDEN"}}]}`)) // the client may be gone
}

// everywhere is what every answer of the public listener carries; a page that
// needs another policy sets its own. All answers share the values.
var everywhere = http.Header{
	"X-Content-Type-Options": {"nosniff"},
	"X-Frame-Options":        {"DENY"},
	// No page of another origin may hold an answer as an image or a script; those
	// that are allowed read it by CORS.
	"Cross-Origin-Resource-Policy": {"same-origin"},
	"Referrer-Policy":              {"no-referrer"},
	"Content-Security-Policy":      {"default-src 'none'; frame-ancestors 'none'"},
}

// edge sets what every answer carries, and notes whom each request comes from.
func edge(client func(*http.Request) *http.Request, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		maps.Copy(h, everywhere)
		tellHTTPSOnly(h, r.TLS)
		next.ServeHTTP(w, client(r))
	})
}

// metricsHandler is what operators see, on a listener of its own.
func metricsHandler(metrics prometheus.Gatherer, ready http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", live)
	mux.Handle("GET /readyz", ready)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// serviceHandler is what other processes see of a subgraph.
func (a *app) serviceHandler(service *subgraph.Server, ready http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/graphql", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service.ServeHTTP(w, identity.WithForwardedClient(r))
	}))
	mux.HandleFunc("GET /healthz", live)
	mux.HandleFunc("GET /health", live)
	mux.Handle("GET /readyz", ready)
	return a.tracing.Handler(true, telemetry.Middleware(a.logger, mux))
}
