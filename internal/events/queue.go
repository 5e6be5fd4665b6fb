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
	// filled holds a token if there is something to look at.
	filled chan struct{}

	mu      sync.Mutex
	entries []entry
	// lagged is whether the tenant's stream holds what entries does not.
	lagged bool
}

func newQueue() queue { return queue{filled: make(chan struct{}, 1)} }

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
		q.lagLocked()
	} else {
		q.entries = append(q.entries, e)
	}
	q.mu.Unlock()
	q.wake()
	return !full
}

// lag says that the stream holds more than the queue.
func (q *queue) lag() {
	q.mu.Lock()
	q.lagLocked()
	q.mu.Unlock()
	q.wake()
}

func (q *queue) lagLocked() { q.lagged, q.entries = true, nil }

func (q *queue) wake() {
	select {
	case q.filled <- struct{}{}:
	default: // it is awake
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

// take returns the oldest entry; it is false where there is none, or lagging.
func (q *queue) take() (entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 {
		return entry{}, false
	}
	e := q.entries[0]
	q.entries = slices.Delete(q.entries, 0, 1)
	if len(q.entries) == 0 && cap(q.entries) > queueKept {
		q.entries = nil
	}
	return e, true
}
