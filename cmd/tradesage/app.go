package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/graph"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/internal/events"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/mail"
	"github.com/tradesage/tradesage/internal/permission"
	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/internal/user"
	authgraph "github.com/tradesage/tradesage/subgraphs/auth"
	sessiongraph "github.com/tradesage/tradesage/subgraphs/session"
	tenantgraph "github.com/tradesage/tradesage/subgraphs/tenant"
	usergraph "github.com/tradesage/tradesage/subgraphs/user"
	"github.com/tradesage/tradesage/web"
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
	auth     *auth.Auth
	tenants  *tenant.Tenants
	router   *router.Router
	// streams is the router, for revocations, which are followed before it is made.
	streams atomic.Pointer[router.Router]
	mailbox *mail.Mailbox
	// playground is where people try the API.
	playground http.Handler
	checks     []check

	stop       context.CancelFunc
	background sync.WaitGroup
	broken     chan error
}

// build opens everything a serving process needs and starts its background
// work, which close ends.
func build(ctx context.Context, c config, logger *slog.Logger, m mode) (_ *app, err error) {
	tuneMemory()
	a := &app{config: c, logger: logger, registry: prometheus.NewRegistry(), broken: make(chan error, 1)}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	master, err := c.masterKey()
	if err != nil {
		return nil, err
	}
	if a.db, err = c.Database.open(logger); err != nil {
		return nil, err
	}
	if err := a.requireHardening(ctx, c.AllowUnhardened); err != nil {
		return nil, err
	}
	if a.redis, err = openRedis(c.RedisURL, logger); err != nil {
		return nil, err
	}

	who, err := a.buildIdentity(ctx, background, master)
	if err != nil {
		return nil, err
	}
	hub, err := events.New(events.Options{Redis: a.redis, Logger: logger, Metrics: a.registry})
	if err != nil {
		return nil, err
	}
	refiller := tenant.NewRefiller(a.db.PlatformStore(db.ServiceTenant), c.Blanks, logger)
	invitations, err := c.invitationMails()
	if err != nil {
		return nil, err
	}
	if a.tenants, err = tenant.New(tenant.Options{
		Store: a.db.PlatformStore(db.ServiceTenant), Permissions: who.permissions, Invitations: invitations, Refiller: refiller,
		Events: hub, Now: time.Now, Logger: logger,
	}); err != nil {
		return nil, err
	}
	users, err := user.New(user.Options{
		Store: a.db.Store(db.ServiceUser), Permissions: who.permissions, Invitations: invitations, Announcer: who.revocations,
		Events: hub, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	sessions := session.NewSessions(session.SessionsOptions{
		Store: a.db.Store(db.ServiceSession), Permissions: who.permissions, Live: who.live, Revocations: who.revocations, Events: hub,
	})
	work, err := a.buildJobs(m, users, hub)
	if err != nil {
		return nil, err
	}

	// What a mutation announces is on its way at once.
	serving := subgraph.Options{Logger: logger, Recheck: who.verifier.Recheck, Mutated: work.relay.Nudge}
	if err := a.buildRouter(background, who, serving, map[string]graphql.ExecutableSchema{
		"auth":    authgraph.New(a.auth),
		"tenant":  tenantgraph.New(a.tenants),
		"user":    usergraph.New(users, who.permissions),
		"session": sessiongraph.New(sessions),
	}); err != nil {
		return nil, err
	}
	if a.playground, err = web.Playground(web.PlaygroundOptions{Enabled: c.Introspection, Accounts: m.accounts()}); err != nil {
		return nil, fmt.Errorf("playground: %w", err)
	}
	a.run(background, "refiller", refiller.Run)
	a.run(background, "outbox relay", work.relay.Run)
	a.run(background, "jobs", work.queue.Run)
	a.run(background, "live events", hub.Run)
	a.checks = append(a.readiness(who.revocations), work.checks()...)
	return a, nil
}

// identities is the part of a process that signs in and that verifies.
type identities struct {
	verifier    *auth.Verifier
	revocations *session.Revocations
	live        *session.Live
	permissions *permission.Permissions
}

// buildIdentity makes what signs in and what verifies, and waits until both
// have their keys and every revocation in force is known.
func (a *app) buildIdentity(ctx, background context.Context, master []byte) (identities, error) {
	var parts identities
	issuing, verifying := a.db.PlatformStore(db.ServiceAuth), a.db.PlatformStore(db.ServiceRouter)
	token := auth.TokenOptions{Issuer: a.config.Identity.Issuer, Audience: a.config.Identity.Audience, Lifetime: a.config.Identity.AccessTTL}
	sealer, err := auth.NewSealer(master)
	if err != nil {
		return parts, fmt.Errorf("TRADESAGE_MASTER_KEY: %w", err)
	}
	keys := auth.NewKeys(auth.KeysOptions{Store: issuing, Sealer: sealer, TokenLifetime: token.Lifetime, Logger: a.logger})
	if err := keys.EnsureKeys(ctx); err != nil {
		return parts, fmt.Errorf("token keys: %w", err)
	}
	opener, err := a.config.keyOpener()
	if err != nil {
		return parts, err
	}
	issuerRing := auth.NewKeyRing(auth.KeyRingOptions{Source: auth.IssuerKeys(issuing, sealer), TokenLifetime: token.Lifetime, Logger: a.logger})
	a.ring = auth.NewKeyRing(auth.KeyRingOptions{Source: auth.VerifierKeys(verifying, opener), TokenLifetime: token.Lifetime, Logger: a.logger})
	parts.live = session.NewLive(session.LiveOptions{Redis: a.redis, Store: verifying, Logger: a.logger})
	if parts.revocations, err = session.NewRevocations(session.RevocationsOptions{
		Store: verifying, Redis: a.redis, TokenLifetime: token.Lifetime, Logger: a.logger,
	}); err != nil {
		return parts, err
	}
	parts.permissions = permission.New(permission.Options{Store: a.db.Store(db.ServiceUser), Following: parts.revocations.Healthy})
	parts.revocations.OnRevoked(func(r session.Revocation) {
		if r.Kind == session.KindPermissions || r.Kind == session.KindUser {
			parts.permissions.Drop(r.Tenant, r.Subject)
		}
	})
	if parts.verifier, err = auth.NewVerifier(auth.VerifierOptions{
		Ring: a.ring, Store: &verifying.Store, Revocations: parts.revocations, Live: parts.live, Token: token, Logger: a.logger,
	}); err != nil {
		return parts, err
	}
	parts.revocations.OnRevoked(a.endStreams)
	if err := errors.Join(issuerRing.Refresh(ctx), a.ring.Refresh(ctx), parts.revocations.Load(ctx)); err != nil {
		return parts, fmt.Errorf("load keys and revocations: %w", err)
	}
	issuer, err := auth.NewIssuer(issuerRing, token)
	if err != nil {
		return parts, err
	}
	passwords, err := auth.NewPasswords(auth.PasswordOptions{})
	if err != nil {
		return parts, err
	}
	if a.auth, err = auth.New(auth.Options{
		Store: issuing, Sealer: sealer, Issuer: issuer, Passwords: passwords, Revocations: parts.revocations,
		Found:           func(ctx context.Context, f tenant.Founding) error { return a.tenants.Found(ctx, f) },
		SessionLifetime: a.config.Identity.SessionTTL, PublicURL: a.config.PublicURL, Logger: a.logger,
	}); err != nil {
		return parts, err
	}
	a.run(background, "issuer's keys", issuerRing.Run)
	a.run(background, "verifier's keys", a.ring.Run)
	a.run(background, "revocations", parts.revocations.Run)
	a.run(background, "live sessions", parts.live.Run)
	return parts, nil
}

// buildRouter puts the subgraphs behind the router, in this process.
func (a *app) buildRouter(background context.Context, who identities, options subgraph.Options, schemas map[string]graphql.ExecutableSchema) error {
	local := map[string]router.LocalSubgraph{}
	for name, schema := range schemas {
		local[name] = subgraph.New(name, schema, options)
	}
	var err error
	a.router, err = router.New(background, router.Options{
		Config: graph.Supergraph, Local: local, Authenticate: authenticate(who.verifier), Recheck: who.verifier.Recheck,
		AllowMutations: who.revocations.AllowMutations, Streams: router.Streams{Origins: a.config.Origins},
		Introspection: a.config.Introspection, Logger: a.logger, Metrics: a.registry,
	})
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	a.streams.Store(a.router)
	return nil
}

// endStreams closes the connections that a revocation concerns.
func (a *app) endStreams(r session.Revocation) {
	if open := a.streams.Load(); open != nil {
		open.EndSessions(r.Concerns)
	}
}

// authenticate tells the caller of a request; none if it brings no token.
func authenticate(verifier *auth.Verifier) func(*http.Request) (*identity.Caller, error) {
	return func(r *http.Request) (*identity.Caller, error) {
		token, err := auth.BearerToken(r)
		if err != nil || token == "" {
			return nil, err
		}
		return verifier.Authenticate(r.Context(), token)
	}
}

// requireHardening refuses a database that lacks protections.
func (a *app) requireHardening(ctx context.Context, allow bool) error {
	missing, err := a.db.Hardening(ctx, db.ServiceRouter)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if len(missing) == 0 {
		return nil
	}
	if !allow {
		return fmt.Errorf("the database lacks protections; run tradesage migrate with an administrator's URL:\n  %s", strings.Join(missing, "\n  "))
	}
	for _, m := range missing {
		a.logger.WarnContext(ctx, "the database lacks a protection", "missing", m)
	}
	return nil
}

// readiness lists what /readyz asks.
func (a *app) readiness(revocations *session.Revocations) []check {
	return []check{
		{"postgresql", func(ctx context.Context) ([]string, error) { return nil, a.db.Ping(ctx, db.ServiceRouter) }, true},
		{"hardening", remember(hardeningAge, time.Now, func(ctx context.Context) ([]string, error) {
			return a.db.Hardening(ctx, db.ServiceRouter)
		}), !a.config.AllowUnhardened},
		{"redis", func(ctx context.Context) ([]string, error) { return nil, a.redis.Ping(ctx).Err() }, false},
		{"revocations", func(context.Context) ([]string, error) {
			if !revocations.Healthy() {
				return []string{fmt.Sprintf("the revocation feed is %s old", revocations.Age().Round(time.Second))}, nil
			}
			return nil, nil
		}, true},
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
	if a.redis != nil {
		_ = a.redis.Close()
	}
	if a.db != nil {
		a.db.Close()
	}
}

// tuneMemory collects garbage less often than Go's default unless GOGC says
// otherwise: requests make little that lives on.
func tuneMemory() {
	if debug.SetGCPercent(400) != 100 {
		debug.SetGCPercent(100)
	}
}
