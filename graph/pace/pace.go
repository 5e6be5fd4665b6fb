// Package pace says how many operations of a tenant that has most of them should run
// at once: many while operations take about as long as they take alone, since most of
// them then wait for something that is not scarce, and few once they take much longer.
// Then they wait for each other, for cores or connections, where nobody takes turns,
// and what the one tenant does not run is there for the others.
//
// It knows no operation but by a Task, what is alike of many.
package pace

import (
	"context"
	"sync/atomic"
	"time"
)

// Options bound a pace. Least and Most are at least 1.
type Options struct {
	// Least is how many of the tenant run at once at the least, Most at the most.
	Least, Most int
	// Set is told each change.
	Set func(int)
	// Contended tells whether one tenant has most, beside others: while none does, more
	// may run.
	Contended func() bool
}

const (
	// stretched is an operation that took so many times as long as its like at best.
	stretched = 4
	// window is how long what one decision is made of is gathered.
	window = 50 * time.Millisecond
	// fewest is how many operations must have run for fewer to be allowed.
	fewest = 8
	// fading lets a task's best time rise by a part in so many with each run, so that
	// it is not for ever what it once was.
	fading = 1 << 16
)

// Pace is how many operations of one tenant should run at once. It is safe for concurrent use.
type Pace struct {
	options   Options
	now       int
	ran, long atomic.Int64
}

// Task is what is alike of many operations: how long one takes at best.
type Task struct{ best atomic.Int64 }

// New returns a pace that begins with Options.Most.
func New(o Options) *Pace {
	o.Least = min(o.Least, o.Most)
	return &Pace{options: o, now: o.Most}
}

// Ran notes how long one of a task took. A nil pace notes nothing.
func (p *Pace) Ran(t *Task, took time.Duration) {
	if p == nil {
		return
	}
	p.ran.Add(1)
	best := t.best.Load()
	if best == 0 || int64(took) < best {
		t.best.Store(max(int64(took), 1)) // one of two at the same moment is good enough
		return
	}
	if int64(took) >= stretched*best {
		p.long.Add(1)
		t.best.Store(best + best/fading + 1)
	}
}

// Run keeps the pace until ctx ends.
func (p *Pace) Run(ctx context.Context) {
	ticker := time.NewTicker(window)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.Decide()
		}
	}
}

// Decide takes what ran since the last time into account. One goroutine calls it.
func (p *Pace) Decide() {
	ran, long := p.ran.Swap(0), p.long.Swap(0)
	next := p.now
	switch contended := p.options.Contended(); {
	case contended && ran < fewest: // too few to tell
		return
	case contended && 2*long > ran:
		next = max(p.now-max(p.now/4, 1), p.options.Least)
	case !contended || 4*long < ran:
		next = min(p.now+max(p.now/8, 1), p.options.Most)
	}
	if next != p.now {
		p.now = next
		p.options.Set(next)
	}
}
