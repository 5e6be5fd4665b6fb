package tenant

import (
	"context"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/identity"
)

// CreateAndCrash claims the tenant as Create does and then does nothing more, as
// a process that is killed between the two transactions.
func (t *Tenants) CreateAndCrash(ctx context.Context, input CreateTenantInput) (uuid.UUID, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return uuid.Nil, err
	}
	body, err := t.invite(caller, input)
	if err != nil {
		return uuid.Nil, err
	}
	err = t.claim(ctx, claimOf(input), &body, func(*platformdb.Queries, platformdb.GetTenantRow) error { return nil })
	return body.Tenant, err
}

// FoundAndCrash claims the registration's tenant and, if fill is set, writes its
// own part too, as a process that is killed after that.
func (t *Tenants) FoundAndCrash(ctx context.Context, f Founding, fill bool) (uuid.UUID, error) {
	id, err := t.claimFor(ctx, f)
	if err != nil || !fill {
		return id, err
	}
	proof, _, err := t.store.Resolve(ctx, id)
	if err != nil {
		return id, err
	}
	return id, t.fill(ctx, proof, provisioning{Tenant: id, Founder: &founder{f.Owner, f.Email}})
}

// SlugFor is slugFor.
func SlugFor(name string, try int) string { return slugFor(name, try) }
