package subgraph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/tradesage/tradesage/graph/sse"
	"github.com/tradesage/tradesage/internal/aside"
	"github.com/tradesage/tradesage/internal/fault"
)

const (
	heartbeatEvery = 15 * time.Second
	// expiryGrace is how long a stream on the subgraph's own port outlives the
	// access token that it began with.
	expiryGrace = 30 * time.Second
)

// Stream is a domain's subscription. Next waits for an event and fails when its
// context ends; Close may be called once Next has returned.
type Stream[T any] interface {
	Next(ctx context.Context) (*T, error)
	Close()
}

// Channel is how a resolver of a subscription returns its stream, or the error of
// making it. An error of the stream's later on ends the subscription and is shown
// to the client; a panic likewise, as INTERNAL.
//
// The stream is read by whoever runs the subscription: a goroutine for each would
// double what many subscribers take.
func Channel[T any](ctx context.Context, stream Stream[T], err error) (<-chan *T, error) {
	if err != nil {
		return nil, err
	}
	p, ok := ctx.Value(pumpKey{}).(*pump)
	if !ok || p.advance != nil {
		stream.Close()
		return nil, fault.Internal(errors.New("a stream outside of a subscription of one field"))
	}
	out := make(chan *T, 1)
	p.advance = func(ctx context.Context) error {
		event, err := stream.Next(ctx)
		if err == nil {
			out <- event // there is room: the one before has been taken
		}
		return err
	}
	p.poll, p.end = polled(stream, out), stream.Close
	return out, nil
}

type pumpKey struct{}

// pump fills the channel of a subscription's resolver.
type pump struct {
	// advance waits for one event; nil where no stream has begun.
	advance func(context.Context) error
	// poll looks for one event and does not wait; nil where the stream cannot say when
	// to look again.
	poll func(ctx context.Context, wake func()) (found bool, err error)
	end  func()
}

// wait fills in one event. It fails with what ended the stream.
func (p *pump) wait(ctx context.Context) (err error) {
	if p.advance == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil { // else it would end the process
			err = fault.Internal(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return p.advance(ctx)
}

func (p *pump) close() {
	if p.end != nil {
		p.end()
	}
}

// task is a crew.Task.
type task func()

// Run implements crew.Task.
func (t task) Run() { t() }

// Subscribe runs a subscription and hands each response, a whole one as JSON with
// its errors, to deliver, until the subscription ends, ctx ends or deliver fails.
// The caller's identity is taken from ctx.
func (s *Server) Subscribe(ctx context.Context, query, operationName string, variables []byte, deliver func([]byte) error) error {
	params := &graphql.RawParams{Query: query, OperationName: operationName}
	if len(variables) > 0 {
		if err := decodeObject(variables, &params.Variables); err != nil {
			return deliver(encode(s.failed(ctx, fault.InvalidInput("variables", "variables are not a JSON object"))))
		}
	}
	return s.subscribe(ctx, params, noLimit, func(_ context.Context, response []byte) error { return deliver(response) })
}

func (s *Server) subscribe(ctx context.Context, params *graphql.RawParams, maxFields int, deliver func(context.Context, []byte) error) error {
	// What the resolvers started ends with this call.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		err  error
		next graphql.ResponseHandler
		from = &pump{}
	)
	defer from.close()
	aside.Run(func() { next, ctx, err = s.beginStream(ctx, from, params, maxFields, deliver) })
	if next == nil {
		return err
	}
	return s.pump(ctx, from, next, deliver)
}

// pump delivers what happens until the end.
func (s *Server) pump(ctx context.Context, from *pump, next graphql.ResponseHandler, deliver func(context.Context, []byte) error) (err error) {
	events := func(f func()) { s.events.Add(task(f)) }
	for more := true; more; {
		if err := from.wait(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			return deliver(ctx, encode(s.failed(ctx, err)))
		}
		aside.On(events, func() {
			response := next(ctx)
			if more = response != nil; more {
				err = deliver(ctx, encode(response))
			}
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// beginStream begins a subscription; next is nil where it does not begin, and that
// has been delivered.
func (s *Server) beginStream(
	ctx context.Context, from *pump, params *graphql.RawParams, maxFields int, deliver func(context.Context, []byte) error,
) (next graphql.ResponseHandler, _ context.Context, _ error) {
	if maxFields != noLimit {
		if err := s.repeats.check(ctx, params.Query, maxFields); err != nil {
			return nil, ctx, deliver(ctx, encode(s.failed(ctx, err)))
		}
	}
	ctx = graphql.StartOperationTrace(ctx)
	operation, errs := s.executor.CreateOperationContext(ctx, params)
	if len(errs) > 0 {
		return nil, ctx, deliver(ctx, encode(s.executor.DispatchError(graphql.WithOperationContext(ctx, operation), errs)))
	}
	if operation.Operation.Operation != ast.Subscription {
		return nil, ctx, deliver(ctx, encode(s.run(ctx, params, maxFields)))
	}
	if err := errors.Join(s.checkSize(operation, maxFields), s.allow(operation)); err != nil {
		return nil, ctx, deliver(ctx, encode(s.failed(ctx, err)))
	}
	operation.DisableIntrospection = !s.options.Introspection
	next, ctx = s.executor.DispatchOperation(context.WithValue(ctx, pumpKey{}, from), operation)
	return next, ctx, nil
}

// errEnded ends a stream whose last event has been sent.
var errEnded = errors.New("ended")

var errDraining = fault.Unavailable("this service is about to end; subscribe again")

// serveStream answers an operation with a stream of events. Before each, the
// caller is checked again; a stream whose caller no longer counts, or whose token
// has expired and was not renewed, ends with UNAUTHENTICATED. renewals, nil
// without any, runs beside the stream and replaces its caller.
func (s *Server) serveStream(ctx context.Context, w http.ResponseWriter, params *graphql.RawParams, renewals func(*streamCaller) error) {
	out, err := sse.NewWriter(w)
	if err != nil {
		s.log.WarnContext(ctx, "a stream could not begin", "error", err)
		return
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	caller := newStreamCaller(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { s.keepAlive(ctx, out, caller, cancel) })
	if renewals != nil {
		go func() { // it ends with the request's body, after this handler
			if err := renewals(caller); err != nil {
				cancel(err)
			}
		}()
	}
	err = s.subscribe(ctx, params, s.options.MaxFields, func(ctx context.Context, response []byte) error {
		if err := s.recheck(ctx, caller); err != nil {
			return err
		}
		return out.Next(response)
	})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	cancel(errEnded)
	beside.Wait()
	if f, ok := fault.As(err); ok {
		_ = out.Next(encode(s.failed(ctx, f))) // the client may be gone
	}
	_ = out.Complete() // likewise
}

// keepAlive finds out whether the client is still there and the caller still
// counts.
func (s *Server) keepAlive(ctx context.Context, out *sse.Writer, caller *streamCaller, cancel context.CancelCauseFunc) {
	defer context.AfterFunc(s.ending, func() { cancel(errDraining) })()
	if err := out.KeepAlive(ctx, heartbeatEvery, func() error { return s.recheck(ctx, caller) }); err != nil {
		cancel(err)
	}
}

func (s *Server) recheck(ctx context.Context, of *streamCaller) error {
	caller := of.now.Load()
	if caller == nil {
		return nil
	}
	if time.Now().After(caller.Expires.Add(expiryGrace)) {
		return fault.Unauthenticated("the access token has expired; subscribe again with a new one")
	}
	if s.options.Recheck == nil {
		return nil
	}
	return s.options.Recheck(ctx, caller)
}
