package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
	"github.com/tradesage/tradesage/web"
)

// check is one thing that must be there for requests to succeed.
type check struct {
	name string
	// test returns what is missing, a line each, or an error.
	test func(context.Context) ([]string, error)
	// needed is false where requests go on without it, perhaps with less detail.
	needed bool
}

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
				answers <- answer{c.name, checkResult{len(missing) == 0, c.needed, missing}}
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
func (a *app) publicHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/graphql", a.router)
	mux.Handle("GET /schema.graphql", a.router.SchemaSDL())
	mux.Handle("GET /.well-known/jwks.json", a.ring)
	mux.HandleFunc("GET /healthz", live)
	mux.HandleFunc("GET /health", live)
	mux.Handle("GET /readyz", readyHandler(a.checks, a.logger))
	mux.Handle("GET /{$}", web.Handler())
	mux.Handle("GET "+web.PlaygroundPath, a.playground)
	mux.Handle("GET "+web.PlaygroundPath+"/", a.playground)
	if a.mailbox != nil {
		mux.HandleFunc("GET /dev/mail", a.mailbox.ServeHTML)
		mux.HandleFunc("GET /dev/mail.json", a.mailbox.ServeJSON)
	}
	return telemetry.Middleware(a.logger, edge(mux))
}

// edge sets what every answer of the public listener carries, and notes whom
// each request comes from; a page that needs another policy sets its own.
func edge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		tellHTTPSOnly(h, r.TLS)
		next.ServeHTTP(w, identity.WithClient(r))
	})
}

// metricsHandler is what operators see, on a listener of its own.
func metricsHandler(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /healthz", live)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// newServer sets the time limits that keep slow clients from holding a server.
func newServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// serve answers on both listeners until ctx ends, then lets requests that are
// under way finish within the drain time. ready is called once both listen.
func (a *app) serve(ctx context.Context, s sockets, ready func()) error {
	public, metrics := newServer(a.publicHandler(), a.logger), newServer(metricsHandler(a.registry), a.logger)
	metrics.ReadTimeout = 0 // a CPU profile takes as long as it was asked to
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := a.secure(ctx, public); err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() {
		if public.TLSConfig != nil {
			failed <- public.ServeTLS(s.public, "", "") // the certificate is in the configuration
		} else {
			failed <- public.Serve(s.public)
		}
	}()
	go func() { failed <- metrics.Serve(s.metrics) }()
	ready()
	var err error
	select {
	case err = <-failed:
	case err = <-a.broken:
	case <-ctx.Done():
		a.logger.InfoContext(ctx, "draining", "for_at_most", a.config.DrainTime.String())
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.DrainTime)
	defer cancel()
	// Those who are connected hear of it first: they go on elsewhere.
	streams := a.router.Shutdown(drain)
	shutdown := errors.Join(streams, public.Shutdown(drain))
	if errors.Is(shutdown, context.DeadlineExceeded) {
		shutdown = fmt.Errorf("requests were still running after %s", a.config.DrainTime)
	}
	return errors.Join(err, shutdown, metrics.Close())
}
