package upstream

import (
	"slices"
	"testing"
	"time"
)

// A breaker is led through its states on a clock of its own.
func TestBreaker(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	var turns []Circuit
	b := newBreaker(Policy{}.withDefaults(), func() time.Time { return now }, func(_, to Circuit) { turns = append(turns, to) })
	call := func(result outcome) bool {
		ticket, ok := b.allow()
		if ok {
			b.done(ticket, result)
		}
		return ok
	}
	want := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: let through %t, want %t", what, got, want)
		}
	}
	for range 20 {
		call(succeeded)
	}
	for range 19 {
		want("fewer than half fail", call(broke), true)
	}
	now = now.Add(11 * time.Second) // all of that is long ago
	for range 9 {
		want("too few to judge", call(broke), true)
	}
	for range 100 {
		want("clients that went away say nothing", call(unknown), true)
	}
	early, _ := b.allow()
	want("the tenth failure", call(broke), true)
	want("open", call(succeeded), false)
	now = now.Add(time.Second)
	probe, ok := b.allow()
	want("a probe", ok, true)
	want("one at a time", call(succeeded), false)
	b.done(early, succeeded) // it began before the outage
	want("what began earlier closes nothing", call(succeeded), false)
	b.done(probe, broke)
	want("open again", call(succeeded), false)
	now = now.Add(time.Second)
	hanging, ok := b.allow()
	want("another probe", ok, true)
	now = now.Add(time.Second)
	want("a probe that hangs holds nobody up", call(succeeded), true)
	b.done(hanging, broke)
	want("closed", call(succeeded), true)
	if state, since := b.current(); state != Closed || !since.Equal(now) {
		t.Errorf("%s since %s", state, since)
	}
	if want := []Circuit{Open, HalfOpen, Open, HalfOpen, Closed}; !slices.Equal(turns, want) {
		t.Errorf("turned %v, want %v", turns, want)
	}
}

// A probe whose client goes away is followed by the next one at once.
func TestAnAbandonedProbe(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	b := newBreaker(Policy{FailurePercent: 1}.withDefaults(), func() time.Time { return now }, func(Circuit, Circuit) {})
	for range fewest {
		ticket, _ := b.allow()
		b.done(ticket, broke)
	}
	now = now.Add(time.Second)
	ticket, ok := b.allow()
	if !ok {
		t.Fatal("no probe")
	}
	b.done(ticket, unknown)
	if _, ok := b.allow(); !ok {
		t.Error("the next probe waits")
	}
}

func TestABreakerThatIsSwitchedOff(t *testing.T) {
	t.Parallel()
	b := newBreaker(Policy{FailurePercent: -1}.withDefaults(), time.Now, func(Circuit, Circuit) {})
	for range 100 {
		ticket, ok := b.allow()
		if !ok {
			t.Fatal("refused")
		}
		b.done(ticket, broke)
	}
}

// Retries are a tenth of the calls in the long run.
func TestBudget(t *testing.T) {
	t.Parallel()
	b, spent := newBudget(), 0
	for range 1000 {
		b.earn()
		if b.spend() {
			spent++
		}
	}
	if spent < 100 || spent > 100+mostRetries+1 {
		t.Errorf("%d retries of 1000 calls", spent)
	}
}
