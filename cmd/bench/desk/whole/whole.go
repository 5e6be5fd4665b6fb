// Package whole joins the data of people, books and market as a program would in
// which they were never apart: the domain of the monolith that the router is
// measured against.
package whole

import (
	"context"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/cmd/bench/desk/books"
	"github.com/tradesage/tradesage/cmd/bench/desk/market"
	"github.com/tradesage/tradesage/cmd/bench/desk/people"
)

// Trader is a person who trades.
type Trader struct{ people.Trader }

// Find returns a trader, or nil.
func Find(id uuid.UUID) *Trader {
	if t := people.Find(id); t != nil {
		return &Trader{*t}
	}
	return nil
}

// Office is a place of work.
type Office = people.Office

// Positions returns the trader's positions.
func (*Trader) Positions(_ context.Context, first int) ([]*Position, error) {
	return Largest(first), nil
}

// Position is so much of an instrument.
type Position struct{ books.Position }

// Largest returns the first positions.
func Largest(first int) []*Position {
	rows := books.Largest(first)
	out := make([]*Position, len(rows))
	for i, row := range rows {
		out[i] = &Position{*row}
	}
	return out
}

// Instrument returns what is held.
func (p *Position) Instrument(context.Context) (*Instrument, error) {
	return market.Find(p.Position.Instrument().ID), nil
}

// Instrument is something that is traded.
type Instrument = market.Instrument

// Venue is a place where instruments are traded.
type Venue = market.Venue

// Quote is the best prices of an instrument.
type Quote = market.Quote
