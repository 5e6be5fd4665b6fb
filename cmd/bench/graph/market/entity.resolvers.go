package market

import (
	"context"

	"github.com/tradesage/tradesage/cmd/bench/desk/market"
	"github.com/tradesage/tradesage/cmd/bench/graph/market/generated"
	"github.com/tradesage/tradesage/cmd/bench/graph/market/model"
)

func (r *entityResolver) FindManyInstrumentByIDs(ctx context.Context, reps []*model.InstrumentByIDsInput) ([]*market.Instrument, error) {
	out := make([]*market.Instrument, len(reps))
	for i, rep := range reps {
		out[i] = market.Find(rep.ID)
	}
	return out, nil
}

func (r *Resolver) Entity() generated.EntityResolver { return &entityResolver{r} }

type entityResolver struct{ *Resolver }
