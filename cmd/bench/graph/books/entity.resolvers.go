package books

import (
	"context"

	"github.com/tradesage/tradesage/cmd/bench/desk/books"
	"github.com/tradesage/tradesage/cmd/bench/graph/books/generated"
	"github.com/tradesage/tradesage/cmd/bench/graph/books/model"
)

func (r *entityResolver) FindManyTraderByIDs(ctx context.Context, reps []*model.TraderByIDsInput) ([]*books.Trader, error) {
	out := make([]*books.Trader, len(reps))
	for i, rep := range reps {
		out[i] = &books.Trader{ID: rep.ID}
	}
	return out, nil
}

func (r *Resolver) Entity() generated.EntityResolver { return &entityResolver{r} }

type entityResolver struct{ *Resolver }
