// Package books holds the positions of the benchmarks, in memory. Of traders and
// instruments it knows the ids.
package books

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/cmd/bench/desk/market"
)

// Trader refers to a trader by its id.
type Trader struct{ ID uuid.UUID }

// IsEntity marks Trader as one that other subgraphs refer to.
func (*Trader) IsEntity() {}

// Positions returns the trader's positions.
func (*Trader) Positions(_ context.Context, first int) ([]*Position, error) {
	return Largest(first), nil
}

// Position is so much of an instrument.
type Position struct {
	ID           uuid.UUID
	Quantity     int
	AveragePrice string
	instrument   uuid.UUID
}

// Instrument returns what is held; it asks nobody.
func (p *Position) Instrument() *Instrument { return &Instrument{ID: p.instrument} }

// Instrument refers to an instrument by its id.
type Instrument struct{ ID uuid.UUID }

// IsEntity marks Instrument as one that another subgraph resolves.
func (*Instrument) IsEntity() {}

var positions = func() []*Position {
	all := make([]*Position, market.Instruments)
	for n := range all {
		all[n] = &Position{
			ID:       uuid.MustParse(fmt.Sprintf("0190a1b2-c3d4-7e5f-aa6b-%012x", n)),
			Quantity: 1000 - n, AveragePrice: fmt.Sprintf("%d.10", 100+n), instrument: market.InstrumentID(n),
		}
	}
	return all
}()

// Largest returns the first positions.
func Largest(first int) []*Position { return positions[:min(max(first, 0), len(positions))] }
