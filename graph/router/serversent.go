package router

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/sse"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// eventStream is an operation whose results go out as server-sent events.
type eventStream struct {
	caller *identity.Caller
	cancel context.CancelCauseFunc
}

func (s *eventStream) who() *identity.Caller { return s.caller }

func (s *eventStream) end(reason *fault.Error) {
	if reason == nil {
		reason = errDraining // else it would look as if nothing more can happen
	}
	s.cancel(reason)
}

// serveStream answers an operation with a stream: its results as events "next",
// and "complete". What is refused before it runs is answered as without a stream.
func (x *exchange) serveStream(ctx context.Context, op *operation, variables *astjson.Value, again rebind) {
	r := x.router
	caller, err := identity.FromContext(ctx)
	if err != nil {
		caller = nil
	}
	if op.trigger != nil {
		if _, err := r.admittedTo(ctx, op, variables); fault.Is(err, fault.CodeUnauthenticated) {
			x.refuseCaller(ctx, err)
			return
		} else if err != nil {
			x.refuseOperation(ctx, err)
			return
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &eventStream{caller: caller, cancel: cancel}
	if err := r.clients.add(s, r.streams.MaxConnections); err != nil {
		x.refuse(ctx, http.StatusServiceUnavailable, outcomeRefused, err)
		return
	}
	defer r.clients.remove(s)
	open := r.metrics.connections.WithLabelValues("sse")
	open.Inc()
	defer open.Dec()
	out, err := sse.NewWriter(x.w)
	if err != nil {
		r.log.WarnContext(ctx, "a stream could not begin", "error", err)
		return
	}
	var beating sync.WaitGroup
	beating.Go(func() { r.keepAlive(ctx, s, out) })
	admit := func(ctx context.Context) (context.Context, error) { return r.admitted(ctx, caller) }
	if op.trigger == nil {
		err = r.once(ctx, op, variables, admit, func(result []byte) error {
			x.slot.leave() // before a client that is slow to read
			return out.Next(result)
		})
	} else {
		x.slot.leave()
		ended := make(chan error, 1)
		begun := &stream{router: r, again: again, admit: admit, send: out.Next}
		begun.begin(ctx, op, variables, func(err error) { ended <- err })
		err = <-ended
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(errOver)
	beating.Wait()
	outcome := outcomeOK
	if f, ok := fault.As(err); ok {
		outcome = outcomeErrors
		_ = out.Next(r.errorsOnly(ctx, f)) // the client may be gone
	}
	_ = out.Complete() // likewise
	x.ended(ctx, outcome)
}

// once runs a query or mutation.
func (r *Router) once(ctx context.Context, op *operation, variables *astjson.Value, admit admit, send func([]byte) error) error {
	ctx, err := admit(ctx)
	if err != nil {
		return err
	}
	result, _, err := r.execute(ctx, op, variables)
	if err != nil {
		return err
	}
	return send(result)
}

// keepAlive finds out whether the client is still there and the caller still
// counts.
func (r *Router) keepAlive(ctx context.Context, s *eventStream, out *sse.Writer) {
	err := out.KeepAlive(ctx, r.streams.PingEvery, func() error {
		_, err := r.admitted(ctx, s.caller)
		if fault.Is(err, fault.CodeUnavailable) {
			return nil // it may be known again next time
		}
		return err
	})
	if err != nil {
		s.cancel(errors.Join(errOver, err))
	}
}
