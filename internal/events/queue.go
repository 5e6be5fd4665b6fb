package events

import (
	"slices"
	"sync"
)

const (
	// queueLength bounds what waits in memory for one subscription. One that is
	// further behind reads its tenant's stream instead.
	queueLength = 32
	// queueKept is for how many an empty queue keeps room: most never hold more, and
	// thousands of them are empty.
	queueKept = 2
)

// queue is what waits in memory for one subscription, which takes it.
type queue struct {
	mu      sync.Mutex
	entries []entry
	// lagged is whether the tenant's stream holds what entries does not.
	lagged bool
	// wake is called once when there is something to look at; nil if nobody waits.
	wake func()
}

// add queues an entry. It is false where there is no room for it: then the queue is
// lagging.
func (q *queue) add(e entry) bool {
	q.mu.Lock()
	if q.lagged { // e is in the stream
		q.mu.Unlock()
		return true
	}
	full := len(q.entries) >= queueLength
	if full {
		q.lagged, q.entries = true, nil
	} else {
		q.entries = append(q.entries, e)
	}
	q.unlockAndWake()
	return !full
}

// lag says that the stream holds more than the queue.
func (q *queue) lag() {
	q.mu.Lock()
	q.lagged, q.entries = true, nil
	q.unlockAndWake()
}

func (q *queue) unlockAndWake() {
	wake := q.wake
	q.wake = nil
	q.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// caughtUp ends lagging, and reports whether there was any: what is in the stream now
// has to be read.
func (q *queue) caughtUp() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.lagged
	q.lagged = false
	return was
}

// What take has found.
const (
	taken   = iota
	lagging // the stream has to be read
	empty   // wake is called when it no longer is
)

// take returns the oldest entry.
func (q *queue) take(wake func()) (entry, int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.lagged:
		return entry{}, lagging
	case len(q.entries) == 0:
		q.wake = wake
		return entry{}, empty
	}
	e := q.entries[0]
	q.entries = slices.Delete(q.entries, 0, 1)
	if len(q.entries) == 0 && cap(q.entries) > queueKept {
		q.entries = nil
	}
	return e, taken
}
