// Package market holds the instruments of the benchmarks and their prices, in
// memory.
package market

import (
	"fmt"

	"github.com/google/uuid"
)

// Instrument is something that is traded.
type Instrument struct {
	ID           uuid.UUID
	Symbol, Name string
	Venue        *Venue
	Quote        *Quote
}

// IsEntity marks Instrument as one that other subgraphs refer to.
func (*Instrument) IsEntity() {}

// Venue is a place where instruments are traded.
type Venue struct{ Code, Name string }

// Quote is the best prices of an instrument.
type Quote struct{ Bid, Ask string }

// Instruments is how many instruments there are.
const Instruments = 100

// InstrumentID is the id of the n-th instrument.
func InstrumentID(n int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("0190a1b2-c3d4-7e5f-9a6b-%012x", n))
}

var instruments = func() map[uuid.UUID]*Instrument {
	venues := []*Venue{{"XSWX", "SIX Swiss Exchange"}, {"XLON", "London Stock Exchange"}}
	all := make(map[uuid.UUID]*Instrument, Instruments)
	for n := range Instruments {
		id := InstrumentID(n)
		all[id] = &Instrument{
			ID: id, Symbol: fmt.Sprintf("SYM%d", n), Name: fmt.Sprintf("Instrument %d Inc.", n), Venue: venues[n%len(venues)],
			Quote: &Quote{fmt.Sprintf("%d.05", 100+n), fmt.Sprintf("%d.15", 100+n)},
		}
	}
	return all
}()

// Find returns an instrument, or nil.
func Find(id uuid.UUID) *Instrument { return instruments[id] }
