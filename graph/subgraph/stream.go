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
func Channel[T any](ctx context.Context, stream Stream[T], err error) (<-chan *T, error) {
	if err != nil {
		return nil, err
	}
	out := make(chan *T)
	ended := func(err error) {
		if end, ok := ctx.Value(endingKey{}).(*ending); ok && ctx.Err() == nil {
			end.set(err)
		}
	}
	go func() {
		defer close(out)
		defer stream.Close()
		defer func() {
			if p := recover(); p != nil { // else it would end the process
				ended(fault.Internal(fmt.Errorf("panic: %v\n%s", p, debug.Stack())))
			}
		}()
		for {
			event, err := stream.Next(ctx)
			if err != nil {
				ended(err)
				return
			}
			select {
			case out <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

type endingKey struct{}

// ending is why a subscription ended, if not by itself.
type ending struct {
	mu  sync.Mutex
	err error
}

func (e *ending) set(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

func (e *ending) get() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

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
	if maxFields != noLimit {
		if err := s.repeats.check(ctx, params.Query, maxFields); err != nil {
			return deliver(ctx, encode(s.failed(ctx, err)))
		}
	}
	ctx = graphql.StartOperationTrace(ctx)
	operation, errs := s.executor.CreateOperationContext(ctx, params)
	if len(errs) > 0 {
		return deliver(ctx, encode(s.executor.DispatchError(graphql.WithOperationContext(ctx, operation), errs)))
	}
	if operation.Operation.Operation != ast.Subscription {
		return deliver(ctx, encode(s.run(ctx, params, maxFields)))
	}
	if err := errors.Join(s.checkSize(operation, maxFields), s.allow(operation)); err != nil {
		return deliver(ctx, encode(s.failed(ctx, err)))
	}
	operation.DisableIntrospection = !s.options.Introspection
	end := &ending{}
	next, ctx := s.executor.DispatchOperation(context.WithValue(ctx, endingKey{}, end), operation)
	for response := next(ctx); response != nil; response = next(ctx) {
		if err := deliver(ctx, encode(response)); err != nil {
			return err
		}
	}
	if err := end.get(); err != nil && ctx.Err() == nil {
		return deliver(ctx, encode(s.failed(ctx, err)))
	}
	return ctx.Err()
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
