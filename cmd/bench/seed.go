package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/internal/tenant"
)

const (
	password = "a password for benchmarks"
	// trader is a member of each seeded tenant, with a hash that costs nothing, so
	// that a hundred sign-ins do not take the time.
	trader = "trader@bench.test"
	// storm is who signs in when signing in is what is measured: her hash costs what
	// the product's do.
	storm = "storm@bench.test"
	// admin creates tenants.
	admin = "admin@bench.test"
)

var cheapHash = argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// seeded is what is in the database.
type seeded struct{ tenants []string } // their slugs

// seed makes tenants and their members as the program itself would.
func (s *stack) seed(ctx context.Context) (out seeded, err error) {
	pools, err := db.Open(db.Config{URL: s.databaseURL(), Secret: s.databaseSecret(), ConnsPerService: 4})
	if err != nil {
		return out, err
	}
	defer pools.Close()
	tenants, err := openTenants(pools)
	if err != nil {
		return out, err
	}
	cheap, err := s.openAuth(pools, &cheapHash)
	if err != nil {
		return out, err
	}
	dear, err := s.openAuth(pools, nil)
	if err != nil {
		return out, err
	}
	member, err := cheap.EnsureIdentity(ctx, auth.NewIdentity{Email: trader, Password: password, Verified: true})
	if err != nil {
		return out, err
	}
	founder, err := cheap.EnsureIdentity(ctx, auth.NewIdentity{Email: admin, Password: password, Verified: true})
	if err != nil {
		return out, err
	}
	stormer, err := dear.EnsureIdentity(ctx, auth.NewIdentity{Email: storm, Password: password, Verified: true})
	if err != nil {
		return out, err
	}
	join := func(slug string, identity uuid.UUID, email, role string) error {
		proof, err := tenants.EnsureTenant(ctx, slug, "Tenant "+slug)
		if err != nil {
			return err
		}
		return tenants.EnsureMember(ctx, tenant.Member{Tenant: proof, Identity: identity, Email: email, RoleKey: role})
	}
	if err := join(tenant.PlatformSlug, founder, admin, "platform-admin"); err != nil {
		return out, err
	}
	for n := range pick(s.options, 100, 9) {
		out.tenants = append(out.tenants, fmt.Sprintf("bench-%03d", n))
	}
	if err := join(out.tenants[0], stormer, storm, tenant.RoleOwner); err != nil {
		return out, err
	}
	var group errgroup.Group
	group.SetLimit(4)
	for _, slug := range out.tenants {
		group.Go(func() error { return join(slug, member, trader, tenant.RoleOwner) })
	}
	return out, group.Wait()
}

func openTenants(pools *db.DB) (*tenant.Tenants, error) {
	store, logger := pools.PlatformStore(db.ServiceTenant), slog.New(slog.DiscardHandler)
	invitations, err := tenant.NewInvitationMails(make([]byte, 32), "http://bench.test")
	if err != nil {
		return nil, err
	}
	return tenant.New(tenant.Options{
		Store: store, Invitations: invitations, Refiller: tenant.NewRefiller(store, 0, logger), Now: time.Now, Logger: logger,
	})
}

// openAuth returns what makes identities; params are the costs of their hashes.
func (s *stack) openAuth(pools *db.DB, params *argon2id.Params) (*auth.Auth, error) {
	issuer, _, sealer, err := s.openIssuer(pools)
	if err != nil {
		return nil, err
	}
	passwords, err := auth.NewPasswords(auth.PasswordOptions{Params: params})
	if err != nil {
		return nil, err
	}
	return auth.New(auth.Options{Store: pools.PlatformStore(db.ServiceAuth), Sealer: sealer, Issuer: issuer, Passwords: passwords})
}

const (
	issuedBy  = "http://bench.test"
	issuedFor = "bench"
)

// openIssuer returns what makes tokens, once its keys are read.
func (s *stack) openIssuer(pools *db.DB) (*auth.Issuer, *auth.KeyRing, *auth.Sealer, error) {
	master, err := base64.StdEncoding.DecodeString(s.master)
	if err != nil {
		return nil, nil, nil, err
	}
	sealer, err := auth.NewSealer(master)
	if err != nil {
		return nil, nil, nil, err
	}
	token := auth.TokenOptions{Issuer: issuedBy, Audience: issuedFor, Lifetime: time.Hour}
	ring := auth.NewKeyRing(auth.KeyRingOptions{Source: auth.IssuerKeys(pools.PlatformStore(db.ServiceAuth), sealer), TokenLifetime: token.Lifetime})
	issuer, err := auth.NewIssuer(ring, token)
	return issuer, ring, sealer, err
}
