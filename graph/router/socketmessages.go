package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wundergraph/astjson"
	"go.opentelemetry.io/otel/trace"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// handle does what one message asks for.
func (s *socket) handle(m message) {
	switch m.Type {
	case messageInit:
		s.init(m.Payload)
	case messagePing:
		s.pong(m.Payload)
	case messagePong:
	case messageSubscribe:
		s.subscribe(m)
	case messageComplete:
		s.complete(m.ID)
	default:
		s.close(closeBadRequest, "unknown type of message")
	}
}

// init is the client's greeting, with or without a token.
func (s *socket) init(payload json.RawMessage) {
	s.mu.Lock()
	again := s.inited
	s.inited = true
	s.mu.Unlock()
	if again {
		s.close(closeTooManyInits, "connection_init came twice")
		return
	}
	given, ok := readCredentials(payload)
	if !ok {
		s.close(closeBadRequest, "the payload of connection_init must be an object; its authorization a string")
		return
	}
	if given.ClientName != nil {
		s.client.Store(given.ClientName)
	}
	if given.Authorization != nil {
		if err := s.authenticate(*given.Authorization); err != nil {
			s.refused(err)
			return
		}
	}
	// A sign-in that ended while the socket opened found no socket to close.
	if _, err := s.admit(s.running); err != nil {
		s.refused(err)
		return
	}
	s.mu.Lock()
	s.acked = true
	if s.greeting != nil {
		s.greeting.Stop()
		s.greeting = nil // what is due no more need not be kept
	}
	s.mu.Unlock()
	s.bound()
	_ = s.write(render(messageAck, "", nil)) // reading tells of a broken socket
}

// pong answers a ping; one with an authorization renews the connection's token.
func (s *socket) pong(payload json.RawMessage) {
	given, ok := readCredentials(payload)
	if !ok {
		s.close(closeBadRequest, "the payload of ping must be an object; its authorization a string")
		return
	}
	var answer []byte
	if given.Authorization != nil {
		if !s.acknowledged() {
			s.close(closeUnauthorized, "connection_init must come first")
			return
		}
		if err := s.authenticate(*given.Authorization); err != nil {
			if fault.Is(err, fault.CodeUnavailable) {
				s.refused(err)
				return
			}
			s.close(closeForbidden, "the new token is not accepted")
			return
		}
		if caller := s.caller.Load(); caller != nil {
			answer = fmt.Appendf(nil, `{"renewedUntil":%q}`, caller.Expires.UTC().Format(time.RFC3339))
		}
	}
	_ = s.write(render(messagePong, "", answer)) // reading tells of a broken socket
}

// socketOperation is one that runs on a socket.
type socketOperation struct {
	id     string
	socket *socket
	start  time.Time
	// stream is set for a subscription.
	stream   atomic.Pointer[stream]
	cancel   context.CancelFunc
	finished atomic.Bool

	// ending is true from before its last message is sent.
	ending atomic.Bool
	mu     sync.Mutex // held while one of its messages is sent
	over   bool
}

func (s *socket) subscribe(m message) {
	op := s.begin(m)
	if op == nil {
		return
	}
	// Sent from here, so that a client cannot pile up refusals that it does not read.
	op.fail(s.running, fault.RateLimited(
		fmt.Sprintf("at most %d operations run at once on a connection", s.router.streams.MaxOperations), time.Second))
}

// begin starts an operation, or returns it where there are too many.
func (s *socket) begin(m message) (refused *socketOperation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return nil
	case !s.acked:
		s.closeLocked(closeUnauthorized, "connection_init must come first")
		return nil
	case m.ID == "" || len(m.ID) > maxOperationID || len(m.Payload) == 0:
		s.closeLocked(closeBadRequest, fmt.Sprintf("subscribe needs a payload and an id of 1 to %d bytes", maxOperationID))
		return nil
	case s.operations[m.ID] != nil && !s.operations[m.ID].ending.Load():
		s.closeLocked(closeDuplicateID, "an operation with this id is running")
		return nil
	}
	ctx, cancel := context.WithCancel(s.running)
	op := &socketOperation{id: m.ID, socket: s, start: time.Now(), cancel: cancel}
	if len(s.operations) >= s.router.streams.MaxOperations {
		cancel()
		return op
	}
	s.operations[m.ID] = op
	s.work.Add(1) // until finish
	go op.run(ctx, m.Payload)
	return nil
}

// complete ends an operation that the client wants no more of. Nothing is sent
// for it afterwards, so that its id can be used again at once.
func (s *socket) complete(id string) {
	s.mu.Lock()
	op := s.operations[id]
	delete(s.operations, id)
	s.mu.Unlock()
	if op == nil {
		return // it ended by itself a moment ago
	}
	op.cancel()
	op.mu.Lock()
	defer op.mu.Unlock()
	op.over = true
}

// run runs the operation of a payload, to its end or until its events come from a
// source that it shares.
func (o *socketOperation) run(ctx context.Context, payload []byte) {
	ctx, span := telemetry.Span(ctx, "operation")
	var op *operation
	var held slot
	done := func(err error) {
		held.leave() // before a client that is slow to read
		o.finish(ctx, span, op, err)
	}
	defer func() {
		if p := recover(); p != nil {
			done(fault.Internal(fmt.Errorf("panic: %v\n%s", p, debug.Stack())))
		}
	}()
	r := o.socket.router
	asking := o.socket.asking(ctx)
	class := r.classOf(asking)
	if err := held.enter(asking, r, class); err != nil {
		done(err)
		return
	}
	request, err := parseRequest(payload)
	if err != nil {
		class.count(err)
		if _, limited := r.take(asking, class, nil, 0, nil); limited != nil {
			err = limited
		}
		done(err)
		return
	}
	var variables *astjson.Value
	r.countClient(asking)
	if op, variables, _, err = r.bind(asking, class, &request); err == nil {
		err = held.suit(asking, r, class, op)
	}
	if err != nil {
		done(err)
		return
	}
	send := func(result []byte) error {
		held.leave() // likewise
		return o.send(messageNext, result)
	}
	if op.trigger == nil {
		done(r.once(ctx, op, variables, o.socket.admit, send))
		return
	}
	held.leave()
	s := &stream{router: r, again: r.rebinding(op, request), admit: o.socket.admit, send: send}
	o.stream.Store(s)
	s.begin(ctx, op, variables, done)
}

// finish is called once the operation, nil if it is unknown, has come to its end.
func (o *socketOperation) finish(ctx context.Context, span trace.Span, op *operation, err error) {
	if !o.finished.CompareAndSwap(false, true) {
		return
	}
	defer o.socket.work.Done()
	defer o.cancel()
	defer span.End()
	outcome := outcomeOK
	switch f, ok := fault.As(err); {
	case err == nil:
		o.socket.throttled.Store(0)
		o.last(messageComplete, nil)
	case ctx.Err() != nil || errors.Is(err, errOver):
		// Nobody waits for an answer.
	case ok && f.Code == fault.CodeUnauthenticated && o.socket.caller.Load() != nil:
		outcome = outcomeRefused
		o.socket.refused(err)
	default:
		outcome = outcomeErrors
		o.fail(ctx, err)
		if ok && f.Code == fault.CodeRateLimited {
			outcome = outcomeRefused
			o.socket.throttle()
		}
	}
	if caller := o.socket.caller.Load(); caller != nil {
		ctx = identity.NewContext(ctx, caller)
	}
	o.socket.router.observe(ctx, op, outcome, o.start)
	describe(ctx, span, op, outcome)
}

func (o *socketOperation) send(kind string, payload []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return errOver
	}
	return o.socket.write(render(kind, o.id, payload))
}

// last sends the operation's last message. From here on its id can be used again:
// a client that has this message may do so at once. One that completes the
// operation at the same moment is made to wait in complete, so that it does not
// take this message for the end of the next one.
func (o *socketOperation) last(kind string, payload []byte) {
	o.ending.Store(true)
	_ = o.send(kind, payload) // reading tells of a broken socket
	o.socket.mu.Lock()
	defer o.socket.mu.Unlock()
	if o.socket.operations[o.id] == o {
		delete(o.socket.operations, o.id)
	}
}

// fail ends the operation with an error.
func (o *socketOperation) fail(ctx context.Context, err error) {
	list, encodeErr := json.Marshal(o.socket.router.present(ctx, err))
	if encodeErr != nil { // only strings and numbers in there
		o.socket.close(closeInternal, clienterr.InternalMessage)
		return
	}
	o.last(messageError, list)
}
