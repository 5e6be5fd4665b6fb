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
