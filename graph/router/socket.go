package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/aside"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// socket is one client's WebSocket. Its goroutine reads; each operation that does
// not share its events with others has another one.
type socket struct {
	router *Router
	conn   *websocket.Conn
	origin origin
	// ctx is what is known of the request that opened the socket and never ends, which
	// keeps nothing for each that waits in it; what waits ends with wire. running ends
	// with the operations.
	ctx, running context.Context
	stop         context.CancelFunc

	caller atomic.Pointer[identity.Caller]
	bearer atomic.Pointer[bearer]
	// client is what the client's greeting calls it.
	client atomic.Pointer[string]
	// throttled counts operations in a row that a rate limit refused.
	throttled atomic.Int32

	mu         sync.Mutex
	wire       net.Conn // what conn speaks over
	operations map[string]*socketOperation
	inited     bool // connection_init has come
	acked      bool
	closing    bool
	// greeting, pinging and expiry are when something is due.
	greeting, pinging, expiry *time.Timer
	work                      sync.WaitGroup
}

// maxCloseReason is what a close frame holds (RFC 6455, 5.5).
const maxCloseReason = 123

// closeWithin is how long a client may take to answer the end of its socket.
const closeWithin = 2 * time.Second

func isUpgrade(req *http.Request) bool {
	return req.Method == http.MethodGet && slices.ContainsFunc(req.Header.Values("Upgrade"), func(v string) bool {
		return strings.EqualFold(strings.TrimSpace(v), "websocket")
	})
}

// serveSocket accepts a WebSocket, which then goes on in a goroutine of its own:
// that of the request holds some 20 kB of net/http's for as long as it lives. A page
// of another origin is refused with 403, a bad Authorization header as over HTTP.
func (x *exchange) serveSocket(ctx context.Context, req *http.Request) {
	r := x.router
	s := &socket{router: r, operations: map[string]*socketOperation{}, origin: originOf(req), ctx: outliving(ctx)}
	s.running, s.stop = context.WithCancel(s.ctx)
	if header := req.Header.Get("Authorization"); header != "" {
		if err := s.authenticate(header); err != nil {
			s.finish()
			x.refuseCaller(ctx, err)
			return
		}
	}
	class := r.classOf(s.asking(ctx))
	if err := r.takeFromAddress(ctx, class, class.rates.Sockets); err != nil {
		s.finish()
		x.refuseOperation(ctx, err)
		return
	}
	if err := r.clients.add(s, r.streams.MaxConnections); err != nil {
		s.finish()
		x.refuse(ctx, http.StatusServiceUnavailable, outcomeRefused, err)
		return
	}
	taken := &taking{ResponseWriter: x.w}
	conn, err := websocket.Accept(taken, req, &websocket.AcceptOptions{
		Subprotocols: []string{subprotocol}, OriginPatterns: r.streams.Origins,
	})
	if err != nil {
		r.log.DebugContext(ctx, "WebSocket refused", "error", err)
		s.finish()
		r.clients.remove(s)
		status, err := taken.refusal()
		outcome := outcomeInvalid
		if status == http.StatusForbidden {
			outcome = outcomeRefused
		}
		x.refuse(ctx, status, outcome, err)
		return
	}
	go s.serve(conn, taken.conn)
}

// serve speaks graphql-transport-ws over conn until the client or the server ends
// it.
func (s *socket) serve(conn *websocket.Conn, wire net.Conn) {
	r := s.router
	defer r.clients.remove(s)
	defer s.finish() // whoever waits for all clients waits for what they run, too
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p)
		}
	}()
	s.mu.Lock()
	s.conn, s.wire = conn, wire
	closing := s.closing // ended between add and here
	s.mu.Unlock()
	defer func() { _ = conn.CloseNow() }()
	open := r.metrics.connections.WithLabelValues("websocket")
	open.Inc()
	defer open.Dec()
	if closing {
		_ = conn.Close(closeGoingAway, "going away")
		return
	}
	if conn.Subprotocol() != subprotocol {
		_ = conn.Close(closeNotAcceptable, "the subprotocol must be "+subprotocol)
		return
	}
	conn.SetReadLimit(maxGreeting) // more once somebody has said who they are
	s.after(&s.greeting, r.streams.InitWithin, s.initTimedOut)
	s.after(&s.pinging, r.streams.PingEvery, s.ping)
	s.read()
}

// finish waits for what runs on the socket.
func (s *socket) finish() {
	s.mu.Lock()
	s.closing = true
	for _, t := range []*time.Timer{s.greeting, s.pinging, s.expiry} {
		if t != nil {
			t.Stop()
		}
	}
	s.mu.Unlock()
	s.stop()
	s.work.Wait()
}

// after runs fn later unless the socket ends first; it replaces what was due
// before on this timer.
func (s *socket) after(timer **time.Timer, d time.Duration, fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *timer != nil {
		(*timer).Stop()
	}
	if !s.closing {
		*timer = time.AfterFunc(d, fn)
	}
}

func (s *socket) initTimedOut() {
	s.mu.Lock()
	inited := s.inited
	s.mu.Unlock()
	if !inited {
		s.close(closeInitTimeout, "connection_init did not come in time")
	}
}

// ping finds out whether the client is still there, and whether the caller still
// counts where no event asks.
func (s *socket) ping() {
	// Not s.running: with its end the connection would be cut, and the client would
	// not hear why.
	ctx, cancel := context.WithTimeout(s.ctx, s.router.streams.WriteWithin)
	defer cancel()
	if err := s.conn.Ping(ctx); err != nil {
		if s.running.Err() == nil {
			_ = s.conn.CloseNow()
		}
		return
	}
	// What cannot be told now may be known next time.
	if _, err := s.admit(ctx); err != nil && !fault.Is(err, fault.CodeUnavailable) {
		s.refused(err)
		return
	}
	if s.acknowledged() {
		s.bound() // the plan of the caller's tenant may be another
	}
	s.after(&s.pinging, s.router.streams.PingEvery, s.ping)
}

func (s *socket) who() *identity.Caller { return s.caller.Load() }

func (s *socket) end(reason *fault.Error) {
	if reason == nil {
		s.close(closeGoingAway, "going away")
		return
	}
	s.close(closeUnauthorized, reason.Message)
}

// close says why and closes; it does not wait. Nothing is sent after it.
func (s *socket) close(code websocket.StatusCode, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(code, reason)
}

func (s *socket) closeLocked(code websocket.StatusCode, reason string) {
	if s.closing {
		return
	}
	s.closing = true
	s.stop()
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxCloseReason)], "")
	if s.conn != nil {
		go func() { _ = s.conn.Close(code, reason) }() // it waits for the client's answer
		// Nothing but the connection's own end cuts that short.
		time.AfterFunc(closeWithin, func() {
			_ = s.wire.Close() // closed already if the client has answered
		})
	}
}

// refused closes the socket because of the caller: 4401 if the sign-in has ended,
// 4403 if a new token helps, 1013 if it cannot be told.
func (s *socket) refused(err error) {
	f, ok := fault.As(err)
	switch {
	case !ok:
		s.router.log.WarnContext(s.ctx, "authentication failed", "error", err)
		s.close(closeForbidden, signInFirst)
	case f.Code == fault.CodeUnavailable:
		s.close(closeTryAgain, f.Message)
	case errors.Is(err, errExpired):
		s.close(closeForbidden, f.Message)
	case s.acknowledged() && f.Code == fault.CodeUnauthenticated:
		s.close(closeUnauthorized, f.Message)
	default:
		s.close(closeForbidden, f.Message)
	}
}

func (s *socket) acknowledged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// admit is the context of the caller as they are now.
func (s *socket) admit(ctx context.Context) (context.Context, error) {
	return s.router.admitted(withBearer(ctx, s.bearer.Load()), s.caller.Load())
}

// write sends one message. It fails for a client that does not take it in time,
// whose socket is closed by that.
func (s *socket) write(text []byte) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.router.streams.WriteWithin)
	defer cancel()
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	if closing {
		return errOver
	}
	return s.conn.Write(ctx, websocket.MessageText, text)
}

// authenticate takes a token over: the first one, or a newer one of the same
// session.
func (s *socket) authenticate(header string) error {
	if s.router.options.Authenticate == nil {
		if header != "" && s.router.passesTokens() { // unread, to the subgraphs that check it
			s.pass(header)
		}
		return nil
	}
	caller, err := s.router.options.Authenticate(s.origin.request(s.ctx, header))
	if err != nil {
		return err
	}
	if caller == nil {
		return fault.Unauthenticated(signInFirst)
	}
	if old := s.caller.Load(); old != nil && (old.Subject != caller.Subject || old.Session != caller.Session || old.Tenant != caller.Tenant) {
		return fault.Forbidden("a connection keeps its session; connect again to change it")
	}
	s.caller.Store(caller)
	if s.router.passesTokens() && !s.pass(header) {
		s.mu.Lock()
		for _, op := range s.operations {
			if running := op.stream.Load(); running != nil && running.feed.Load() != nil {
				running.feed.Load().offer(header, caller.Expires)
			}
		}
		s.mu.Unlock()
	}
	s.expireWith(caller)
	return nil
}

// pass keeps a token for subgraphs of other processes; true for the first one.
func (s *socket) pass(header string) bool {
	if s.bearer.CompareAndSwap(nil, newBearer(header)) {
		return true
	}
	s.bearer.Load().replace(header)
	return false
}

// expireWith closes the socket a while after the token's end.
func (s *socket) expireWith(caller *identity.Caller) {
	s.after(&s.expiry, time.Until(caller.Expires.Add(s.router.streams.Grace)), func() {
		if s.caller.Load() == caller {
			s.close(closeForbidden, errExpired.Message)
		}
	})
}

// read handles messages until the socket is closed.
func (s *socket) read() {
	for {
		kind, text, err := s.conn.Read(s.ctx)
		if err != nil {
			return
		}
		if s.running.Err() != nil {
			continue // until the client has answered the end
		}
		// Aside: the stack that this takes would stay with the goroutine that reads.
		aside.Run(func() { s.take(kind, text) })
	}
}

// take does what one message asks for.
func (s *socket) take(kind websocket.MessageType, text []byte) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p)
			_ = s.conn.CloseNow() // which ends the reading
		}
	}()
	var m message
	if kind != websocket.MessageText || json.Unmarshal(text, &m) != nil {
		s.close(closeBadRequest, "a message must be a JSON object")
		return
	}
	if rawjson.RepeatsKey(text) {
		s.close(closeBadRequest, "a key occurs twice in a message")
		return
	}
	s.handle(m)
}

func (s *socket) panicked(p any) {
	s.router.log.ErrorContext(s.ctx, "panic in a WebSocket", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}
