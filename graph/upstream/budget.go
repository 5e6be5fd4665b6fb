package upstream

import "sync"

const (
	// mostRetries can be saved up; earned is what a call adds, so that in the long
	// run retries are a tenth of the calls.
	mostRetries = 10
	earned      = 0.1
)

// budget bounds retries of a subgraph by its calls: when all of them fail, retries
// would multiply the load of who struggles already.
type budget struct {
	mu   sync.Mutex
	left float64
}

func newBudget() *budget { return &budget{left: mostRetries} }

func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.left+earned, mostRetries)
}

func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
