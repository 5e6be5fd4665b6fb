// Package resume lets a subscription of a subgraph outlive the subgraph: it is asked
// for again until the subgraph is back, after the last event that came where that can
// be said. It knows neither how a subgraph is asked nor what becomes of events.
package resume

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/upstream"
	"github.com/tradesage/tradesage/internal/fault"
)

// BrokenOff is why a subscription ended that might go on.
type BrokenOff struct{ Cause error }

func (e *BrokenOff) Error() string { return e.Cause.Error() }

// Unwrap returns the cause.
func (e *BrokenOff) Unwrap() error { return e.Cause }

// errLeaving is a subgraph that has said that it is about to end.
var errLeaving = errors.New("the subgraph is about to end")

// Policy is how subscriptions of one subgraph go on.
type Policy struct {
	Subgraph string
	// Within is how long a subscription waits for its subgraph; negative for not at all.
	Within time.Duration
	// Arguments names the subscription fields that can go on after an event, each with
	// the argument that takes the value of the event's field Cursor. Others begin anew,
	// and what happened meanwhile is lost.
	Arguments map[string]string
	Cursor    string
	Log       *slog.Logger
	// Resumed counts how often subscriptions were asked for again.
	Resumed prometheus.Counter
}

// Subscribe asks the subgraph once. It returns nil when the subgraph has ended the
// subscription, deliver's error, a *BrokenOff, or what is final.
type Subscribe func(ctx context.Context, query string, variables []byte, deliver func([]byte) error) error

// Follow delivers the events of a subscription until it or ctx ends or deliver fails.
// One that has not begun, or waits for too long, is UNAVAILABLE.
func Follow(ctx context.Context, p Policy, subscribe Subscribe, query string, variables []byte, deliver func([]byte) error) error {
	f := &following{deliver: deliver, query: query, variables: variables}
	if p.Cursor != "" && len(p.Arguments) > 0 && p.Within >= 0 {
		f.resumption = newResumption(p.Arguments, p.Cursor, &f.query)
	}
	for {
		err := subscribe(ctx, f.query, f.variables, f.take)
		var off *BrokenOff
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &off):
		case err == nil && f.held != nil:
			off = &BrokenOff{errLeaving}
		default:
			return err
		}
		if f.wait(ctx, p.Within) {
			p.Resumed.Inc()
			p.Log.DebugContext(ctx, "subscription is asked for again", "subgraph", p.Subgraph, "error", off.Cause)
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.Log.WarnContext(ctx, "subscription ends: its subgraph does not answer", "subgraph", p.Subgraph, "error", off.Cause)
		return fault.Unavailable("the " + p.Subgraph + " service does not answer").Because(off.Cause)
	}
}

// following is a subscription on its way through outages.
type following struct {
	deliver    func([]byte) error
	query      string
	variables  []byte
	resumption *resumption

	begun bool
	// last is the newest event, and held one that says that the subgraph is leaving:
	// clients hear of it only if it does not come back.
	last, held []byte
	// since is when the subgraph was lost, tries how often it was asked since then.
	since time.Time
	tries int
}

// take hands an event on.
func (f *following) take(event []byte) error {
	away := upstream.Unavailable(event)
	before := f.held
	f.held = nil
	if before != nil && f.tries == 0 { // it was about something else: the stream goes on
		if err := f.deliver(before); err != nil {
			return err
		}
	}
	if away && f.begun {
		f.held = event
		return nil
	}
	if !away {
		f.begun, f.tries, f.last = true, 0, event
	}
	return f.deliver(event)
}

const (
	firstResumption = 100 * time.Millisecond
	lastResumption  = time.Second
)

// wait pauses until the subgraph is asked again; false if it is not.
func (f *following) wait(ctx context.Context, within time.Duration) bool {
	now := time.Now()
	if f.tries == 0 {
		f.since = now
	}
	if !f.begun || within < 0 || now.Sub(f.since) >= within {
		return false
	}
	most := min(firstResumption<<min(f.tries, 8), lastResumption)
	f.tries++
	f.query, f.variables = f.resumption.after(f.last, f.query, f.variables)
	return upstream.Pause(ctx, most/2+rand.N(most)) //nolint:gosec // it spreads load, it hides nothing
}
