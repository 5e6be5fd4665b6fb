package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/graph"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/graph/upstream"
	"github.com/tradesage/tradesage/internal/events"
	"github.com/tradesage/tradesage/internal/identity"
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

// buildSubgraphs makes the domains of the subgraphs that this process serves, with
// the logins of those alone, and starts what they do in the background.
func (a *app) buildSubgraphs(ctx, background context.Context, m mode, who verification) error {
	parts := a.config.Parts
	a.rights = a.permissions(who.revocations)
	if len(parts.subgraphs()) == 0 {
		return a.follow(ctx, background, who)
	}
	hub, err := events.New(events.Options{Redis: a.redis, Logger: a.logger, Metrics: a.registry})
	if err != nil {
		return err
	}
	serving := subgraph.Options{
		Authenticate: authenticate(who.verifier), Recheck: who.verifier.Recheck,
		AllowMutations: who.revocations.AllowMutations, Logger: a.logger,
	}
	permissions := a.rights
	serving.Lacks = permissions.Lacks
	schemas := map[string]graphql.ExecutableSchema{}
	work := []part{{"live events", hub.Run}} // begins when revocations are known
	var users *user.Users
	// auth does what follows from changes of tenants and users, and founds tenants.
	if parts.serves("auth") || parts.serves("tenant") {
		if err := a.buildTenants(background, permissions, hub); err != nil {
			return err
		}
		schemas["tenant"] = tenantgraph.New(a.tenants)
	}
	if parts.serves("auth") || parts.serves("user") {
		if users, err = a.buildUsers(permissions, who.revocations, hub); err != nil {
			return err
		}
		schemas["user"] = usergraph.New(users, permissions)
	}
	if parts.serves("auth") {
		if err := a.buildAuth(ctx, background, who.revocations); err != nil {
			return err
		}
		schemas["auth"] = authgraph.New(a.auth)
		follows, err := a.buildJobs(m, users, hub)
		if err != nil {
			return err
		}
		serving.Mutated = follows.relay.Nudge // what a mutation announces is on its way at once
		a.checks = append(a.checks, follows.checks()...)
		work = append(work, part{"outbox relay", follows.relay.Run}, part{"jobs", follows.queue.Run})
	}
	if parts.serves("session") {
		schemas["session"] = sessiongraph.New(session.NewSessions(session.SessionsOptions{
			Store: a.db.Store(db.ServiceSession), Permissions: permissions, Live: who.live, Revocations: who.revocations, Events: hub,
		}))
	}
	a.local = map[string]*subgraph.Server{}
	for _, name := range parts.subgraphs() {
		a.local[name] = subgraph.New(name, schemas[name], serving)
	}
	if err := a.follow(ctx, background, who); err != nil {
		return err
	}
	for _, p := range work {
		a.run(background, p.name, p.run)
	}
	return nil
}

// part is something that a process does in the background.
type part struct {
	name string
	run  func(context.Context) error
}

// permissions answers what callers may do, from their tenants' own rows. A router
// by itself has no logins that see those, and asks the platform.
func (a *app) permissions(revocations *session.Revocations) *permission.Permissions {
	options := permission.Options{Store: a.db.Store(a.login()), Following: revocations.Healthy}
	if len(a.config.Parts.subgraphs()) == 0 {
		options.Platform = a.db.PlatformStore(a.login())
	}
	permissions := permission.New(options)
	revocations.OnRevoked(func(r session.Revocation) {
		if r.Kind == session.KindPermissions || r.Kind == session.KindUser {
			permissions.Drop(r.Tenant, r.Subject)
		}
	})
	return permissions
}

// buildTenants makes the tenants; where they are served, blanks are kept ready too.
func (a *app) buildTenants(background context.Context, permissions *permission.Permissions, hub *events.Hub) error {
	store := a.db.PlatformStore(db.ServiceTenant)
	refiller := tenant.NewRefiller(store, a.config.Blanks, a.logger)
	invitations, err := a.config.invitationMails()
	if err != nil {
		return err
	}
	if a.tenants, err = tenant.New(tenant.Options{
		Store: store, Permissions: permissions, Invitations: invitations, Refiller: refiller,
		Events: hub, Now: time.Now, Logger: a.logger,
	}); err != nil {
		return err
	}
	if a.config.Parts.serves("tenant") {
		a.run(background, "refiller", refiller.Run)
	}
	return nil
}

func (a *app) buildUsers(permissions *permission.Permissions, revocations *session.Revocations, hub *events.Hub) (*user.Users, error) {
	invitations, err := a.config.invitationMails()
	if err != nil {
		return nil, err
	}
	return user.New(user.Options{
		Store: a.db.Store(db.ServiceUser), Permissions: permissions, Invitations: invitations, Announcer: revocations,
		Events: hub, Logger: a.logger,
	})
}

// guarded are the mutations that check a password, a token or a code.
var guarded = []string{
	"login", "refreshSession", "switchTenant", "register", "verifyEmail", "acceptInvitation",
	"requestPasswordReset", "resetPassword", "changePassword", "confirmPassword",
}

// buildRouter puts the router before the subgraphs, be they in this process or not.
func (a *app) buildRouter(background context.Context, m mode, who verification) error {
	options := router.Options{
		Config: graph.Supergraph, Local: map[string]router.LocalSubgraph{}, Remote: map[string]router.Remote{},
		Fixed:         !a.config.Supergraph.given(),
		Streams:       a.config.streams(),
		FetchTimeout:  a.config.Upstream.FetchTimeout,
		Upstream:      a.config.Upstream.policy(),
		Introspection: a.config.introspection() == introspectionOpen, IntrospectionScope: a.config.introspectionScope(),
		Logger: a.logger, Metrics: a.registry, Observing: a.config.Observing.router(),
	}
	var plan func(*identity.Caller) string
	if !a.config.Supergraph.PublicOnly {
		plan = who.verifier.Plan
		options.Authenticate, options.Recheck = authenticate(who.verifier), who.verifier.Recheck
		options.AllowMutations, options.MissingScope = who.revocations.AllowMutations, a.rights.Lacks
	}
	limits, err := a.limit(&options, plan)
	if err != nil {
		return err
	}
	for name, local := range a.local {
		options.Local[name] = local
	}
	ways, err := a.waysTo(background, a.config.Parts.remote())
	if err != nil {
		return err
	}
	for name, way := range ways {
		options.Remote[name] = router.Remote{
			URL: *a.config.Parts.url(name), Transport: way, Renews: true, Timeout: a.config.Upstream.FetchTimeouts[name],
		}
		a.checks = append(a.checks, a.remoteCheck(name, way))
	}
	file, err := a.openFile(background, &options)
	if err != nil {
		return err
	}
	if a.router, err = router.New(background, options); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	if file != nil {
		a.run(background, "supergraph file", file.run)
	}
	if limits != nil {
		a.run(background, "limits file", limits.run)
	}
	if err := a.persist(background); err != nil {
		return err
	}
	a.streams.Store(a.router)
	if a.playground, err = web.Playground(web.PlaygroundOptions{Enabled: a.config.introspection() != introspectionOff, Accounts: m.accounts()}); err != nil {
		return fmt.Errorf("playground: %w", err)
	}
	if a.console, err = web.Console(); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// waysTo returns how each service is called: with certificates on both sides, or
// on this machine without.
func (a *app) waysTo(background context.Context, services []string) (map[string]http.RoundTripper, error) {
	ways := map[string]http.RoundTripper{}
	if len(services) == 0 {
		return ways, nil
	}
	certificates, err := a.config.Parts.certificates(serviceRouter, a.logger)
	if err != nil {
		return nil, err
	}
	for _, service := range services {
		if certificates == nil {
			ways[service] = upstream.Pool{Cleartext2: true}.Transport() // on this machine
			continue
		}
		if ways[service], err = certificates.Transport(service); err != nil {
			return nil, err
		}
	}
	if certificates != nil {
		a.run(background, "router's certificate", certificates.Run)
		expiry(a.registry, "router", certificates)
	}
	return ways, nil
}
