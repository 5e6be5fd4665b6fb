// Package people holds the traders of the benchmarks and their offices, in
// memory.
package people

import (
	"fmt"

	"github.com/google/uuid"
)

// Trader is a person who trades.
type Trader struct {
	ID          uuid.UUID
	Name, Email string
	Office      *Office
}

// IsEntity marks Trader as one that other subgraphs refer to.
func (*Trader) IsEntity() {}

// Office is a place of work.
type Office struct{ City, Country string }

// Traders is how many traders there are.
const Traders = 20

// TraderID is the id of the n-th trader.
func TraderID(n int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("0190a1b2-c3d4-7e5f-8a6b-%012x", n))
}

var traders = func() map[uuid.UUID]*Trader {
	offices := []*Office{{"Zürich", "CH"}, {"London", "GB"}, {"Singapore", "SG"}}
	all := make(map[uuid.UUID]*Trader, Traders)
	for n := range Traders {
		id := TraderID(n)
		all[id] = &Trader{
			ID: id, Name: fmt.Sprintf("Trader %d", n), Email: fmt.Sprintf("trader%d@desk.test", n),
			Office: offices[n%len(offices)],
		}
	}
	return all
}()

// Find returns a trader, or nil.
func Find(id uuid.UUID) *Trader { return traders[id] }
