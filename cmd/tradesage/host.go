package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// host is what others reach of a process. It answers from the first moment: until
// the process has what it needs, /readyz says what is missing and everything else
// is UNAVAILABLE.
type host struct {
	config   config
	logger   *slog.Logger
	registry *prometheus.Registry
	servers  map[*http.Server]net.Listener
	public   *door
	metrics  *door
	services map[string]*door
	// missing is what the process waits for.
	missing atomic.Pointer[string]
	// leaving is set once the process is about to end.
	leaving    atomic.Bool
	failed     chan error
	background sync.WaitGroup
}

// door is one listener's handler, which changes once.
type door struct{ behind atomic.Pointer[http.Handler] }

func (d *door) lead(to http.Handler) { d.behind.Store(&to) }

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*d.behind.Load()).ServeHTTP(w, r) }

// newHost makes a server for each listener. ctx ends the following of certificates.
func newHost(ctx context.Context, c config, s sockets, logger *slog.Logger) (*host, error) {
	h := &host{
		config: c, logger: logger, registry: prometheus.NewRegistry(),
		servers: map[*http.Server]net.Listener{}, services: map[string]*door{}, failed: make(chan error, 1),
	}
	h.waitFor("the start")
	waiting := h.waiting()
	newDoor := func(listener net.Listener) (*http.Server, *door) {
		d := &door{}
		d.lead(waiting)
		server := newServer(d, logger)
		h.servers[server] = listener
		return server, d
	}
	var server *http.Server
	server, h.metrics = newDoor(s.metrics)
	server.ReadTimeout = 0 // a CPU profile takes as long as it was asked to
	h.metrics.lead(metricsHandler(h.registry, waiting))
	if s.public != nil {
		server, h.public = newDoor(s.public)
		if err := h.secure(ctx, server); err != nil {
			return nil, err
		}
	}
	for name, listener := range s.services {
		server, h.services[name] = newDoor(listener)
		if err := h.secureService(ctx, name, server); err != nil {
			return nil, err
		}
	}
	return h, nil
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

// waiting answers until the process can.
func (h *host) waiting() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", live)
	mux.HandleFunc("GET /health", live)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { notReady(w, "start", *h.missing.Load()) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(telemetry.HeaderRequestID)
		if !telemetry.ValidRequestID(id) {
			id = telemetry.NewRequestID()
		}
		w.Header().Set(telemetry.HeaderRequestID, id)
		unavailable(w, map[string]any{"errors": []any{map[string]any{
			"message":    "this server is starting; try again shortly",
			"extensions": map[string]any{"code": fault.CodeUnavailable, "requestId": id},
		}}})
	})
	return edge(identity.WithClient, mux)
}

// notReady is the answer of /readyz without looking at anything.
func notReady(w http.ResponseWriter, check, missing string) {
	unavailable(w, map[string]any{"ready": false, "checks": map[string]checkResult{
		check: {OK: false, Needed: true, Missing: []string{missing}},
	}})
}

func unavailable(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

// waitFor says what is missing.
func (h *host) waitFor(what string) { h.missing.Store(&what) }

// open lets requests in.
func (h *host) open(a *app) {
	ready := h.staying(readyHandler(a.checks, a.logger))
	h.metrics.lead(metricsHandler(prometheus.Gatherers{h.registry, a.registry}, ready))
	for name, d := range h.services {
		d.lead(h.goElsewhere(a.serviceHandler(a.local[name], ready)))
	}
	if h.public != nil {
		h.public.lead(h.goElsewhere(a.publicHandler(ready)))
	}
}

// staying is /readyz: not ready any more once the process is about to end.
func (h *host) staying(ready http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.leaving.Load() {
			notReady(w, "end", "this process is about to end")
			return
		}
		ready.ServeHTTP(w, r)
	})
}

// goElsewhere asks clients, once the process is about to end, to open their next
// connection elsewhere. In HTTP/2 it becomes a GOAWAY that lets requests finish.
func (h *host) goElsewhere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// listen begins to answer.
func (h *host) listen() {
	for server, listener := range h.servers {
		go func() {
			err := error(nil)
			if server.TLSConfig != nil {
				err = server.ServeTLS(listener, "", "") // the certificate is in the configuration
			} else {
				err = server.Serve(listener)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				h.fail(err)
			}
		}()
	}
}

// run keeps a part of the host going until ctx ends; its failure ends the process.
func (h *host) run(ctx context.Context, name string, part func(context.Context) error) {
	h.background.Go(func() {
		if err := part(ctx); err != nil && ctx.Err() == nil {
			h.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

func (h *host) fail(err error) {
	select {
	case h.failed <- err:
	default: // the process ends already
	}
}

// close ends all servers at once.
func (h *host) close() {
	for server := range h.servers {
		_ = server.Close()
	}
	h.background.Wait()
}

// serve answers on all listeners until ctx ends. Then it goes on for the drain
// delay, in which load balancers see that it is not ready any more, and lets
// requests that are under way finish within the drain time. begin is tried for as long as what the process
// needs is not there, at most for the configuration's start wait; ready is called
// once requests are let in.
func serve(ctx context.Context, c config, s sockets, logger *slog.Logger, begin func(context.Context) (*app, error), ready func()) error {
	ctx, stop := context.WithCancel(ctx)
	h, err := newHost(ctx, c, s, logger)
	if err != nil {
		stop()
		return err
	}
	defer h.close() // after stop
	defer stop()
	h.listen()
	a, err := h.await(ctx, begin)
	if err != nil {
		return err
	}
	defer a.close()
	h.open(a)
	ready()
	select {
	case err = <-h.failed:
	case err = <-a.broken:
	case <-ctx.Done():
		logger.InfoContext(ctx, "draining", "requests_taken_for", c.DrainDelay.String(), "for_at_most", c.DrainTime.String())
		h.leaving.Store(true)
		select {
		case err = <-h.failed:
		case err = <-a.broken:
		case <-time.After(c.DrainDelay):
		}
	}
	return errors.Join(err, h.drain(ctx, a))
}

// errNotYet says that something which the process needs is not there yet.
type errNotYet struct {
	// what may be shown to everybody.
	what string
	error
}

// Unwrap returns why.
func (e errNotYet) Unwrap() error { return e.error }

const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 2 * time.Second
)

// await makes the process as soon as what it needs is there.
func (h *host) await(ctx context.Context, begin func(context.Context) (*app, error)) (*app, error) {
	deadline := time.Now().Add(h.config.StartWait)
	for pause := firstRetry; ; pause = min(2*pause, longestRetry) {
		a, err := begin(ctx)
		var missing errNotYet
		if !errors.As(err, &missing) || ctx.Err() != nil {
			return a, err
		}
		if time.Now().Add(pause).After(deadline) {
			return nil, err
		}
		h.waitFor(missing.what)
		if pause == firstRetry {
			h.logger.WarnContext(ctx, "waiting to start", "for_at_most", h.config.StartWait.String(), "missing", missing.what, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-h.failed:
			return nil, err
		case <-time.After(pause):
		}
	}
}

// drain lets everybody finish within the drain time.
func (h *host) drain(ctx context.Context, a *app) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.config.DrainTime)
	defer cancel()
	for _, service := range a.local {
		service.EndStreams()
	}
	ends := make(chan error, len(h.servers)+1)
	go func() {
		if a.router == nil {
			ends <- nil
			return
		}
		ends <- a.router.Shutdown(ctx) // those who are connected go on elsewhere
	}()
	for server := range h.servers {
		go func() { ends <- server.Shutdown(ctx) }()
	}
	var all []error
	for range cap(ends) {
		err := <-ends
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("requests were still running after %s", h.config.DrainTime)
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}
