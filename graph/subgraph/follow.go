package subgraph

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/99designs/gqlgen/graphql"

	"github.com/tradesage/tradesage/internal/aside"
	"github.com/tradesage/tradesage/internal/fault"
)

// Polled is a Stream that tells of events, so that nobody need wait for them. Poll
// returns the next one, or nil where there is none yet; then it calls wake once,
// perhaps before it returns, when there may be one. Before it waits for something
// else, it yields (aside.Yield).
type Polled[T any] interface {
	Poll(ctx context.Context, wake func()) (*T, error)
}

// Follow is Subscribe without a goroutine that waits for events: it returns when the
// subscription has begun, and calls over once at the end, perhaps before it returns,
// with what Subscribe would return. deliver is not called by several at once; before
// it waits long, it yields. The caller ends ctx after over.
//
// It may block for the whole subscription, where the domain's stream is not Polled.
func (s *Server) Follow(
	ctx context.Context, query, operationName string, variables []byte, deliver func(context.Context, []byte) error, over func(error),
) {
	params := &graphql.RawParams{Query: query, OperationName: operationName}
	if len(variables) > 0 {
		if err := decodeObject(variables, &params.Variables); err != nil {
			over(deliver(ctx, encode(s.failed(ctx, fault.InvalidInput("variables", "variables are not a JSON object")))))
			return
		}
	}
	f := &following{server: s, deliver: deliver, over: over}
	var err error
	f.next, f.ctx, err = s.beginStream(aside.Yielding(ctx, f.yield), &f.from, params, noLimit, deliver)
	if f.next == nil {
		f.finish(err)
		return
	}
	if f.from.poll == nil {
		f.finish(s.pump(f.ctx, &f.from, f.next, deliver))
		return
	}
	f.state.Store(followingRuns)
	f.forget = context.AfterFunc(ctx, f.wake)
	s.events.Add(f)
}

// following is a subscription that a crew brings forward whenever something may have
// happened.
type following struct {
	server  *Server
	ctx     context.Context
	from    pump
	next    graphql.ResponseHandler
	deliver func(context.Context, []byte) error
	over    func(error)
	forget  func() bool
	state   atomic.Int32
	// relieve is the crew's, while it runs.
	relieve func()
}

// The states of a following.
const (
	followingRests = iota
	followingRuns  // or waits for its turn
	followingAgain // runs, and something may have happened that it has not seen
)

// wake brings it forward.
func (f *following) wake() {
	for {
		switch f.state.Load() {
		case followingRests:
			if f.state.CompareAndSwap(followingRests, followingRuns) {
				f.server.events.Add(f)
				return
			}
		case followingRuns:
			if f.state.CompareAndSwap(followingRuns, followingAgain) {
				return
			}
		default:
			return
		}
	}
}

func (f *following) yield() {
	if f.relieve != nil {
		f.relieve()
	}
}

// Run implements crew.Task.
func (f *following) Run() { f.RunYielding(func() {}) }

// RunYielding implements crew.Yielding: it delivers what has happened.
func (f *following) RunYielding(relieve func()) {
	f.relieve = relieve
	for {
		more, err := f.step()
		if !more {
			f.finish(err) // and stays in a state in which nobody wakes it
			return
		}
		if f.state.CompareAndSwap(followingRuns, followingRests) {
			return // perhaps another runs it already
		}
		f.state.Store(followingRuns)
	}
}

// step delivers all that there is; it is false at the end.
func (f *following) step() (more bool, err error) {
	defer func() {
		if p := recover(); p != nil { // else it would end the process
			more, err = false, fault.Internal(fmt.Errorf("panic in a subscription: %v\n%s", p, debug.Stack()))
		}
	}()
	for {
		if f.ctx.Err() != nil {
			return false, f.ctx.Err()
		}
		found, err := f.from.look(f.ctx, f.wake)
		switch {
		case f.ctx.Err() != nil:
			return false, f.ctx.Err()
		case err != nil:
			return false, f.deliver(f.ctx, encode(f.server.failed(f.ctx, err)))
		case !found:
			return true, nil
		}
		response := f.next(f.ctx)
		if response == nil {
			return false, f.ctx.Err()
		}
		if err := f.deliver(f.ctx, encode(response)); err != nil {
			return false, err
		}
	}
}

func (f *following) finish(err error) {
	if f.forget != nil {
		f.forget()
	}
	f.from.close()
	f.over(err)
}

// look fills in one event; it is false where there is none, and wake will be called.
// It fails with what ended the stream.
func (p *pump) look(ctx context.Context, wake func()) (found bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Internal(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return p.poll(ctx, wake)
}

// polled is how a pump polls a stream, nil where that cannot be.
func polled[T any](stream Stream[T], out chan<- *T) func(context.Context, func()) (bool, error) {
	source, ok := stream.(Polled[T])
	if !ok {
		return nil
	}
	return func(ctx context.Context, wake func()) (bool, error) {
		event, err := source.Poll(ctx, wake)
		if err != nil || event == nil {
			return false, err
		}
		out <- event // there is room: the one before has been taken
		return true, nil
	}
}
