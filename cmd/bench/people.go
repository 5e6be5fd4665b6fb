package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/internal/tenant"
)

// crowdTenant has thousands of users, each of whom follows what happens in it.
const crowdTenant = "bench-crowd"

// crowdSettings let the server take tokens that are made here: ten thousand people's
// sign-ins are not what is measured.
var crowdSettings = []string{"TRADESAGE_DATABASE_CONNS_PER_SHARD=4", "TRADESAGE_ISSUER=" + issuedBy, "TRADESAGE_AUDIENCE=" + issuedFor}

// people makes n users of a tenant, who may see its record, and returns an access
// token of each, of a session of its own. The server's keys must exist.
func (s *stack) people(ctx context.Context, slug string, n int) ([]string, error) {
	pools, err := db.Open(db.Config{URL: s.databaseURL(), Secret: s.databaseSecret(), ConnsPerService: 4})
	if err != nil {
		return nil, err
	}
	defer pools.Close()
	tenants, err := openTenants(pools)
	if err != nil {
		return nil, err
	}
	identities, err := s.openAuth(pools, &cheapHash)
	if err != nil {
		return nil, err
	}
	issuer, keys, _, err := s.openIssuer(pools)
	if err != nil {
		return nil, err
	}
	if err := keys.Refresh(ctx); err != nil {
		return nil, err
	}
	proof, err := tenants.EnsureTenant(ctx, slug, "Tenant "+slug)
	if err != nil {
		return nil, err
	}
	join := func(email, role string) (uuid.UUID, error) {
		identity, err := identities.EnsureIdentity(ctx, auth.NewIdentity{Email: email, Password: password, Verified: true})
		if err != nil {
			return uuid.Nil, err
		}
		return identity, tenants.EnsureMember(ctx, tenant.Member{Tenant: proof, Identity: identity, Email: email, RoleKey: role})
	}
	if _, err := join(storm, tenant.RoleOwner); err != nil {
		return nil, err
	}
	tokens := make([]string, n)
	var group errgroup.Group
	group.SetLimit(4)
	for i := range tokens {
		group.Go(func() error {
			identity, err := join(fmt.Sprintf("person-%05d@bench.test", i), tenant.RoleAdmin)
			if err != nil {
				return err
			}
			now := time.Now()
			tokens[i], _, err = issuer.Issue(auth.Grant{
				Subject: identity, Session: uuid.New(), Tenant: proof.ID(), Epoch: 1,
				Methods: []string{"pwd"}, AuthTime: now, Ends: now.Add(time.Hour),
			})
			return err
		})
	}
	return tokens, group.Wait()
}
