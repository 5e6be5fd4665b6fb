package market

import (
	"context"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/cmd/bench/desk/market"
	"github.com/tradesage/tradesage/cmd/bench/graph/market/generated"
)

func (r *queryResolver) Instrument(ctx context.Context, id uuid.UUID) (*market.Instrument, error) {
	return market.Find(id), nil
}

func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

type queryResolver struct{ *Resolver }
