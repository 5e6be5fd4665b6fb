package tenant

import (
	"context"

	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/subgraphs/tenant/generated"
)

func (r *userResolver) Memberships(ctx context.Context, obj *tenant.User) ([]*tenant.Membership, error) {
	return batchesOf(ctx).memberships.Get(ctx, obj.ID)
}

func (r *Resolver) User() generated.UserResolver { return &userResolver{r} }

type userResolver struct{ *Resolver }
