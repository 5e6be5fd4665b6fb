package upstream

import (
	"sync"
	"time"
)

// Circuit says what happens to calls.
type Circuit int

// The states of a circuit, as tradesage_subgraph_circuit shows them.
const (
	// Closed lets all calls through.
	Closed Circuit = iota
	// HalfOpen lets one call through at a time, to see whether the subgraph is back.
	HalfOpen
	// Open refuses calls.
	Open
)

// String returns the state in words.
func (c Circuit) String() string {
	switch c {
	case HalfOpen:
		return "half-open"
	case Open:
		return "open"
	}
	return "closed"
}

// outcome is what a call tells of a subgraph.
type outcome int

const (
	succeeded outcome = iota
	broke
	unknown // the client went away first
)

const (
	// windowSeconds is how far back the breaker looks.
	windowSeconds = 10
	// fewest calls say anything about a share.
	fewest = 10
)

// breaker refuses calls while most of them would fail. A call's outcome counts
// only in the state in which it was let through: what began before an outage says
// nothing of the time after it.
type breaker struct {
	policy  Policy
	now     func() time.Time
	changed func(from, to Circuit)

	mu    sync.Mutex
	state Circuit
	since time.Time
	// epoch counts changes of state.
	epoch uint64
	// probed is when the last probe was let through.
	probed time.Time
	window [windowSeconds]struct {
		second          int64
		calls, failures int
	}
}

func newBreaker(policy Policy, now func() time.Time, changed func(from, to Circuit)) *breaker {
	return &breaker{policy: policy, now: now, changed: changed, since: now()}
}

func (b *breaker) current() (Circuit, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.since
}

// allow lets a call through, or not. done must be told its outcome with the ticket.
func (b *breaker) allow() (ticket uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == Closed {
		return b.epoch, true
	}
	now := b.now()
	if b.state == Open {
		if now.Sub(b.since) < b.policy.Pause {
			return 0, false
		}
		b.turn(HalfOpen, now)
	} else if now.Sub(b.probed) < b.policy.Pause {
		// A probe that hangs does not keep the next one waiting.
		return 0, false
	}
	b.probed = now
	return b.epoch, true
}

func (b *breaker) done(ticket uint64, result outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ticket != b.epoch {
		return
	}
	now := b.now()
	switch {
	case b.state == HalfOpen && result == succeeded:
		b.turn(Closed, now)
	case b.state == HalfOpen && result == broke:
		b.turn(Open, now)
	case b.state == HalfOpen:
		b.probed = time.Time{} // the next call is a probe
	case result != unknown && b.count(now, result == broke):
		b.turn(Open, now)
	}
}

// count notes an outcome and tells whether too many were failures.
func (b *breaker) count(now time.Time, failed bool) bool {
	second := now.Unix()
	slot := &b.window[second%windowSeconds]
	if slot.second != second {
		slot.second, slot.calls, slot.failures = second, 0, 0
	}
	slot.calls++
	if !failed {
		return false
	}
	slot.failures++
	calls, failures := 0, 0
	for _, s := range b.window {
		if second-s.second < windowSeconds {
			calls, failures = calls+s.calls, failures+s.failures
		}
	}
	return b.policy.FailurePercent > 0 && calls >= fewest && failures*100 >= b.policy.FailurePercent*calls
}

func (b *breaker) turn(to Circuit, now time.Time) {
	from := b.state
	b.state, b.since = to, now
	b.epoch++
	clear(b.window[:])
	b.changed(from, to)
}
