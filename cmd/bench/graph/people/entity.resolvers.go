package people

import (
	"context"

	"github.com/tradesage/tradesage/cmd/bench/desk/people"
	"github.com/tradesage/tradesage/cmd/bench/graph/people/generated"
	"github.com/tradesage/tradesage/cmd/bench/graph/people/model"
)

func (r *entityResolver) FindManyTraderByIDs(ctx context.Context, reps []*model.TraderByIDsInput) ([]*people.Trader, error) {
	out := make([]*people.Trader, len(reps))
	for i, rep := range reps {
		out[i] = people.Find(rep.ID)
	}
	return out, nil
}

func (r *Resolver) Entity() generated.EntityResolver { return &entityResolver{r} }

type entityResolver struct{ *Resolver }
