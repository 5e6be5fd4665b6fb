package main

import (
	"context"
	"fmt"

	"github.com/tradesage/tradesage/internal/auth"
	members "github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/web"
)

// seedPassword is the password of every seeded account. It exists in dev only:
// nothing else calls seed.
const seedPassword = "tradesage-dev" //nolint:gosec // known to all on purpose

// seedAccounts are who can sign in after the first start of dev.
var seedAccounts = []struct{ email, tenant, role string }{
	{"admin@tradesage.test", "tradesage", "platform-admin"},
	{"owner@acme.test", "acme", "owner"},
	{"trader@acme.test", "acme", "trader"},
	{"owner@globex.test", "globex", "owner"},
}

var seedTenants = []struct{ slug, name string }{
	{"tradesage", "TradeSage"},
	{"acme", "Acme Trading"},
	{"globex", "Globex Capital"},
}

// accounts are those that the playground offers: in dev the seeded ones.
func (m mode) accounts() []web.Account {
	if m != modeDev {
		return nil
	}
	accounts := []web.Account{}
	for _, a := range seedAccounts {
		accounts = append(accounts, web.Account{Email: a.email, Password: seedPassword, Role: a.role, Tenant: a.tenant})
	}
	return accounts
}

// seed makes the tenants and accounts of dev; what is there already stays.
func (a *app) seed(ctx context.Context) error {
	for _, t := range seedTenants {
		tenant, err := a.tenants.EnsureTenant(ctx, t.slug, t.name)
		if err != nil {
			return fmt.Errorf("tenant %s: %w", t.slug, err)
		}
		for _, account := range seedAccounts {
			if account.tenant != t.slug {
				continue
			}
			id, err := a.auth.EnsureIdentity(ctx, auth.NewIdentity{Email: account.email, Password: seedPassword, Verified: true})
			if err != nil {
				return fmt.Errorf("account %s: %w", account.email, err)
			}
			if err := a.tenants.EnsureMember(ctx, members.Member{Tenant: tenant, Identity: id, Email: account.email, RoleKey: account.role}); err != nil {
				return fmt.Errorf("account %s: %w", account.email, err)
			}
		}
	}
	return nil
}
