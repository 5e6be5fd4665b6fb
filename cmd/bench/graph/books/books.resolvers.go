package books

import (
	"context"

	"github.com/tradesage/tradesage/cmd/bench/desk/books"
	"github.com/tradesage/tradesage/cmd/bench/graph/books/generated"
)

func (r *queryResolver) Positions(ctx context.Context, first int) ([]*books.Position, error) {
	return books.Largest(first), nil
}

func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

type queryResolver struct{ *Resolver }
