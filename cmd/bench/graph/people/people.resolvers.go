package people

import (
	"context"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/cmd/bench/desk/people"
	"github.com/tradesage/tradesage/cmd/bench/graph/people/generated"
)

func (r *queryResolver) Trader(ctx context.Context, id uuid.UUID) (*people.Trader, error) {
	return people.Find(id), nil
}

func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

type queryResolver struct{ *Resolver }
