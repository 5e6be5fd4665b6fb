package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/internal/tenant"
)

// verification is what every process needs to know who asks.
type verification struct {
	verifier    *auth.Verifier
	revocations *session.Revocations
	live        *session.Live
}

func (a *app) tokens() auth.TokenOptions {
	c := a.config.Identity
	return auth.TokenOptions{Issuer: c.Issuer, Audience: c.Audience, Lifetime: c.AccessTTL}
}

// buildVerifier makes what checks tokens, and waits until every revocation in
// force is known. There may be no keys yet, where auth has never run: then
// /readyz says so.
func (a *app) buildVerifier() (verification, error) {
	var v verification
	store, token := a.db.PlatformStore(a.login()), a.tokens()
	opener, err := a.config.keyOpener()
	if err != nil {
		return v, err
	}
	a.ring = auth.NewKeyRing(auth.KeyRingOptions{Source: auth.VerifierKeys(store, opener), TokenLifetime: token.Lifetime, Logger: a.logger})
	live := session.LiveOptions{Redis: a.redis, Logger: a.logger}
	if a.config.Parts.serves(serviceRouter) {
		live.Store = store // whoever sees all requests notes the use of sessions
	}
	v.live = session.NewLive(live)
	var members *db.Store
	if parts := a.config.Parts; parts.serves("user") || parts.serves("auth") {
		members = a.db.Store(db.ServiceUser) // the login that checks tokens may not see a tenant's memberships
	}
	if v.revocations, err = session.NewRevocations(session.RevocationsOptions{
		Store: store, Members: members, Redis: a.redis, TokenLifetime: token.Lifetime, Logger: a.logger,
	}); err != nil {
		return v, err
	}
	options := auth.VerifierOptions{Ring: a.ring, Store: &store.Store, Revocations: v.revocations, Token: token, Logger: a.logger}
	if a.config.Parts.serves(serviceRouter) {
		options.Live = v.live
	}
	if v.verifier, err = auth.NewVerifier(options); err != nil {
		return v, err
	}
	v.revocations.OnRevoked(a.endStreams)
	return v, nil
}

// follow reads keys and revocations, and goes on doing so. Whoever listens to
// revocations registers before it.
func (a *app) follow(ctx, background context.Context, v verification) error {
	if err := errors.Join(a.ring.Refresh(ctx), v.revocations.Load(ctx)); err != nil {
		return errNotYet{"keys and revocations cannot be read", fmt.Errorf("load keys and revocations: %w", err)}
	}
	a.run(background, "verifier's keys", a.ring.Run)
	a.run(background, "revocations", v.revocations.Run)
	a.run(background, "live sessions", v.live.Run)
	return nil
}

// buildAuth makes what signs in, and waits until it has keys to sign with.
func (a *app) buildAuth(ctx, background context.Context, revocations *session.Revocations) error {
	master, err := a.config.masterKey()
	if err != nil {
		return err
	}
	sealer, err := auth.NewSealer(master)
	if err != nil {
		return fmt.Errorf("TRADESAGE_MASTER_KEY: %w", err)
	}
	store, token := a.db.PlatformStore(db.ServiceAuth), a.tokens()
	keys := auth.NewKeys(auth.KeysOptions{Store: store, Sealer: sealer, TokenLifetime: token.Lifetime, Logger: a.logger})
	if err := keys.EnsureKeys(ctx); errors.Is(err, auth.ErrSealed) {
		return fmt.Errorf("token keys: %w", err)
	} else if err != nil {
		return errNotYet{"token keys cannot be read", fmt.Errorf("token keys: %w", err)}
	}
	ring := auth.NewKeyRing(auth.KeyRingOptions{Source: auth.IssuerKeys(store, sealer), TokenLifetime: token.Lifetime, Logger: a.logger})
	if err := ring.Refresh(ctx); err != nil {
		return fmt.Errorf("token keys: %w", err)
	}
	issuer, err := auth.NewIssuer(ring, token)
	if err != nil {
		return err
	}
	passwords, err := auth.NewPasswords(auth.PasswordOptions{})
	if err != nil {
		return err
	}
	if a.auth, err = auth.New(auth.Options{
		Store: store, Sealer: sealer, Issuer: issuer, Passwords: passwords, Revocations: revocations,
		Found:           func(ctx context.Context, f tenant.Founding) error { return a.tenants.Found(ctx, f) },
		SessionLifetime: a.config.Identity.SessionTTL, PublicURL: a.config.PublicURL, Logger: a.logger,
	}); err != nil {
		return err
	}
	a.run(background, "issuer's keys", ring.Run)
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
