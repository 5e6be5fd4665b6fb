package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/internal/footprint"
	"github.com/tradesage/tradesage/internal/mail"
	"github.com/tradesage/tradesage/internal/permission"
	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/internal/telemetry"
	"github.com/tradesage/tradesage/internal/tenant"
)

// mode is what a process may do beyond serving.
type mode int

const (
	// modeServe refuses to start on a database that lacks protections.
	modeServe mode = iota
	// modeDev keeps mail in a mailbox that anyone on this machine can read.
	modeDev
)

// app is one serving process: what build made and serve runs.
type app struct {
	config   config
	logger   *slog.Logger
	registry *prometheus.Registry
	db       *db.DB
	redis    *redis.Client
	ring     *auth.KeyRing
	auth     *auth.Auth      // where auth is served
	tenants  *tenant.Tenants // where auth or tenant are served
	router   *router.Router  // where it is served
	// streams is the router, for revocations, which are followed before it is made.
	streams atomic.Pointer[router.Router]
	// rights tells what callers may do.
	rights *permission.Permissions
	// local are the subgraphs of this process.
	local   map[string]*subgraph.Server
	mailbox *mail.Mailbox
	// playground is where people try the API, console where they work.
	playground, console http.Handler
	checks              []check
	tracing             *telemetry.Tracing

	pacer      *footprint.Pacer
	stop       context.CancelFunc
	background sync.WaitGroup
	broken     chan error
}

// build opens everything a serving process needs and starts its background
// work, which close ends.
func build(ctx context.Context, c config, logger *slog.Logger, m mode) (_ *app, err error) {
	a := &app{config: c, logger: logger, registry: prometheus.NewRegistry(), broken: make(chan error, 1)}
	a.pacer = footprint.Keep(c.Memory.options())
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if c.Supergraph.PublicOnly {
		return a, a.buildRouter(background, m, verification{})
	}
	if err := c.checkKeys(); err != nil {
		return nil, err
	}
	if a.tracing, err = c.Observing.tracing(ctx, c.Parts.named(), logger); err != nil {
		return nil, err
	}
	c.Database.traced = a.tracing != nil
	if a.db, err = c.Database.open(logger); err != nil {
		return nil, err
	}
	if err := a.requireHardening(ctx, c.AllowUnhardened); err != nil {
		return nil, err
	}
	if a.redis, err = openRedis(c.RedisURL, logger); err != nil {
		return nil, err
	}
	who, err := a.buildVerifier()
	if err != nil {
		return nil, err
	}
	a.checks = a.readiness(who.revocations)
	if err := a.buildSubgraphs(ctx, background, m, who); err != nil {
		return nil, err
	}
	if c.Parts.serves(serviceRouter) {
		if err := a.buildRouter(background, m, who); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// tracesWithin bounds the sending of the last traces.
const tracesWithin = 2 * time.Second

// login is the one with which this process asks what every process asks.
func (a *app) login() db.Service {
	if a.config.Parts.serves(serviceRouter) {
		return db.ServiceRouter
	}
	return db.ServiceVerify
}

// requireHardening refuses a database that lacks protections.
func (a *app) requireHardening(ctx context.Context, allow bool) error {
	missing, err := a.db.Hardening(ctx, a.login())
	if err != nil {
		return errNotYet{"postgresql does not answer", fmt.Errorf("database: %w", err)}
	}
	if len(missing) == 0 {
		return nil
	}
	if !allow {
		return errNotYet{"the database is not migrated", fmt.Errorf("the database lacks protections; run tradesage migrate with an administrator's URL:\n  %s", strings.Join(missing, "\n  "))}
	}
	for _, m := range missing {
		a.logger.WarnContext(ctx, "the database lacks a protection", "missing", m)
	}
	return nil
}

// strict is whether this process serves a hardened database only.
func (a *app) strict() bool { return !a.config.AllowUnhardened }

// readiness lists what /readyz asks.
func (a *app) readiness(revocations *session.Revocations) []check {
	return []check{
		{"postgresql", func(ctx context.Context) ([]string, error) { return nil, a.db.Ping(ctx, a.login()) }, needed},
		{"hardening", remember(hardeningAge, time.Now, func(ctx context.Context) ([]string, error) {
			return a.db.Hardening(ctx, a.login())
		}), a.strict},
		{"redis", func(ctx context.Context) ([]string, error) { return nil, a.redis.Ping(ctx).Err() }, dispensable},
		{"token keys", func(context.Context) ([]string, error) {
			if !a.ring.HasKeys() {
				return []string{"there are none yet: auth makes them when it starts first"}, nil
			}
			return nil, nil
		}, needed},
		{"revocations", func(context.Context) ([]string, error) {
			if !revocations.Healthy() {
				return []string{fmt.Sprintf("the revocation feed is %s old", revocations.Age().Round(time.Second))}, nil
			}
			return nil, nil
		}, needed},
	}
}

// run keeps a part of the process going until close; its failure ends serve.
func (a *app) run(ctx context.Context, name string, part func(context.Context) error) {
	a.background.Go(func() {
		if err := part(ctx); err != nil && ctx.Err() == nil {
			select {
			case a.broken <- fmt.Errorf("%s: %w", name, err):
			default: // serve ends already
			}
		}
	})
}

// close ends the background work and every connection.
func (a *app) close() {
	a.stop()
	a.background.Wait()
	a.pacer.Stop()
	if a.redis != nil {
		_ = a.redis.Close()
	}
	if a.db != nil {
		a.db.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), tracesWithin)
	defer cancel()
	if err := a.tracing.Close(ctx); err != nil {
		a.logger.Warn("the last traces are lost", "error", err)
	}
}
