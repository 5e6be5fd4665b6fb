package router

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tradesage/tradesage/graph/upstream"
	"github.com/tradesage/tradesage/internal/fault"
)

// brokenOff is why a subscription of a remote subgraph ended that might go on.
type brokenOff struct{ cause error }

func (e *brokenOff) Error() string { return e.cause.Error() }
func (e *brokenOff) Unwrap() error { return e.cause }

// errLeaving is a subgraph that has said that it is about to end.
var errLeaving = errors.New("the subgraph is about to end")

// follow implements follower. A subscription that has begun outlives its subgraph
// for Streams.ResumeWithin: it is asked for again, after the last event that came
// where that can be said, until the subgraph is back. One that has not begun, or
// waits for too long, is UNAVAILABLE.
func (r *remoteFetcher) follow(ctx context.Context, query string, variables []byte, deliver func([]byte) error) error {
	f := &following{deliver: deliver, query: query, variables: variables}
	if r.way.Renews { // a service of ours
		f.resumption = newResumption(r.streams, &f.query)
	}
	for {
		err := r.subscribed(ctx, f.query, f.variables, f.take)
		var off *brokenOff
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &off):
		case err == nil && f.held != nil:
			off = &brokenOff{errLeaving}
		default:
			return err
		}
		if f.wait(ctx, r.streams.ResumeWithin) {
			r.resumed.Inc()
			r.log.DebugContext(ctx, "subscription is asked for again", "subgraph", r.name, "error", off.cause)
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.log.WarnContext(ctx, "subscription ends: its subgraph does not answer", "subgraph", r.name, "error", off.cause)
		return fault.Unavailable("the " + r.name + " service does not answer").Because(off.cause)
	}
}

// following is a subscription of a remote subgraph on its way through outages.
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
	return pause(ctx, most/2+rand.N(most)) //nolint:gosec // it spreads load, it hides nothing
}

// resumption is how a subscription goes on after an event.
type resumption struct {
	// prefix and suffix are the query around the argument's literal value.
	prefix, suffix string
	// root and cursor are the keys of an event's cursor.
	root, cursor string
}

// after is what the subgraph is asked to go on after an event; without a cursor in
// it, what it was asked before.
func (r *resumption) after(event []byte, query string, variables []byte) (string, []byte) {
	if r == nil || event == nil {
		return query, variables
	}
	var parsed struct {
		Data map[string]map[string]json.RawMessage
	}
	var cursor string
	if json.Unmarshal(event, &parsed) != nil || json.Unmarshal(parsed.Data[r.root][r.cursor], &cursor) != nil || cursor == "" {
		return query, variables
	}
	literal, err := json.Marshal(cursor)
	if err != nil { // a string always encodes
		return query, variables
	}
	return r.prefix + string(literal) + r.suffix, variables
}
