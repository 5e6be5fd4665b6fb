package whole

import (
	"context"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/cmd/bench/desk/market"
	"github.com/tradesage/tradesage/cmd/bench/desk/whole"
	"github.com/tradesage/tradesage/cmd/bench/graph/whole/generated"
)

func (r *queryResolver) Positions(ctx context.Context, first int) ([]*whole.Position, error) {
	return whole.Largest(first), nil
}

func (r *queryResolver) Instrument(ctx context.Context, id uuid.UUID) (*market.Instrument, error) {
	return market.Find(id), nil
}

func (r *queryResolver) Trader(ctx context.Context, id uuid.UUID) (*whole.Trader, error) {
	return whole.Find(id), nil
}

func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

type queryResolver struct{ *Resolver }
