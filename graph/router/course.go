package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/router/internal/conform"
	"github.com/tradesage/tradesage/internal/fault"
)

// rebind prepares a running subscription's request for the supergraph that is in
// force now.
type rebind func(context.Context) (*operation, *astjson.Value, error)

// rebinding keeps of a request what a subscription needs to be prepared again; other
// operations need nothing.
func (r *Router) rebinding(op *operation, request request) rebind {
	if op.trigger == nil {
		return nil
	}
	kept := requestText{query: string(append([]byte(nil), request.query...)), name: string(append([]byte(nil), request.operationName...))}
	if request.variables != nil {
		kept.variables = request.variables.MarshalTo(nil)
	}
	return func(ctx context.Context) (*operation, *astjson.Value, error) {
		again, err := kept.request()
		if err != nil {
			return nil, nil, err
		}
		// It was charged when it began, and admitted by the limits of its caller.
		op, variables, _, err := r.bindOperation(ctx, r.policy.Load().widest, again)
		return op, variables, err
	}
}

// requestText is a request in memory of its own.
type requestText struct {
	query, name string
	variables   []byte
}

func (t *requestText) request() (request, error) {
	out := request{query: t.query, operationName: t.name}
	if t.variables == nil {
		return out, nil
	}
	var err error
	out.variables, err = astjson.ParseBytes(t.variables)
	return out, err
}

// course is a running subscription as it is planned at the moment.
type course struct {
	op        *operation
	variables *astjson.Value
	// query and input are what the trigger's subgraph is asked.
	query string
	input []byte
	// shape is what events may look like, nil where that is not looked at.
	shape *conform.Shape
}

func (r *Router) newCourse(ctx context.Context, op *operation, variables *astjson.Value) (*course, error) {
	query, input, err := r.triggerRequest(ctx, op, variables)
	c := &course{op: op, variables: variables, query: query, input: input}
	if remote, ok := op.trigger.follower.(*remoteFetcher); ok && err == nil {
		if schema := op.from.heldAgainst(remote); schema != nil {
			c.shape = conform.Compile(schema, query)
		}
	}
	return c, err
}

// sameTrigger is whether another plan asks the same subgraph for the same.
func (c *course) sameTrigger(other *course) bool {
	return sameFollower(c.op.trigger, other.op.trigger) && c.query == other.query && bytes.Equal(c.input, other.input)
}

func sameFollower(a, b *trigger) bool {
	before, remote := a.follower.(*remoteFetcher)
	if remote {
		after, ok := b.follower.(*remoteFetcher)
		return ok && before == after
	}
	_, ok := b.follower.(localFetcher)
	return ok && a.subgraph == b.subgraph // local subgraphs stay
}

// movedError ends a course that begins anew on another.
type movedError struct{ to *course }

func (*movedError) Error() string { return "the supergraph has changed" }

// follow runs a course until it ends, ctx ends, or another supergraph asks its
// subgraph otherwise: then the error is a *movedError.
func (r *Router) follow(ctx context.Context, begun *course, again rebind, deliver func(*course, []byte) error) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var now atomic.Pointer[course]
	now.Store(begun)
	var stop atomic.Pointer[func() bool]
	var watch func(of *generation)
	watch = func(of *generation) {
		unwatch := context.AfterFunc(of.superseded, func() {
			if inner.Err() != nil {
				return
			}
			next, err := r.replan(inner, again)
			switch {
			case err != nil:
				cancel(err)
			case next.sameTrigger(now.Load()):
				now.Store(next)
				watch(next.op.from)
			default:
				cancel(&movedError{next})
			}
		})
		stop.Store(&unwatch)
	}
	watch(begun.op.from)
	err := begun.op.trigger.follower.follow(inner, begun.query, begun.input, func(event []byte) error {
		return deliver(now.Load(), event)
	})
	(*stop.Load())()
	if cause := context.Cause(inner); cause != nil && ctx.Err() == nil {
		return cause
	}
	return err
}

// replan plans a subscription for the supergraph in force. Its error is the client's.
func (r *Router) replan(ctx context.Context, again rebind) (*course, error) {
	op, variables, err := again(ctx)
	if err == nil && op.trigger == nil {
		err = errors.New("it is no subscription any more")
	}
	var next *course
	if err == nil {
		next, err = r.newCourse(ctx, op, variables)
	}
	if err == nil {
		return next, nil
	}
	if fault.Is(err, fault.CodeUnavailable) || fault.Is(err, fault.CodeInternal) {
		return nil, err
	}
	why := err.Error()
	if f, ok := fault.As(err); ok {
		why = f.Message
	}
	return nil, fault.InvalidInput("query", fmt.Sprintf("the schema has changed and this subscription is no longer part of it: %s", why))
}
