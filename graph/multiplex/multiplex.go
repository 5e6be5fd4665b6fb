// Package multiplex asks subgraphs for subscriptions over graphql-transport-ws, many
// of one caller on a socket. It knows nothing of what is subscribed to, nor of who
// asks: sockets are shared where their keys are equal, and only there.
package multiplex

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are a Pool's. Each is needed.
type Options struct {
	// PerSocket is the most subscriptions that share a socket.
	PerSocket int
	// Queue is how many messages wait in memory for one of them.
	Queue int
	// SlowWithin is how long one whose queue is full may hold up the others of its
	// socket, before it ends with ErrSlow. One that is alone holds up nobody.
	SlowWithin time.Duration
	// PingEvery is how often it is asked whether the subgraph is there, and PongWithin
	// how long it may take to say so, and to take a message.
	PingEvery, PongWithin time.Duration
	// Open counts open sockets.
	Open prometheus.Gauge
}

// Kind is what a message tells of a subscription.
type Kind string

// The kinds of messages that are delivered, as graphql-transport-ws has them.
const (
	Next  Kind = "next"
	Error Kind = "error" // the last one
)

// ErrSlow is a subscription that held up those who shared its socket.
var ErrSlow = errors.New("the subscription holds up others")

// Dial opens a socket and greets, until it is acknowledged. Its context has the values
// of the first who subscribes, and ends when nobody is left who waits.
type Dial func(context.Context) (*websocket.Conn, error)

// Pool are the sockets to one subgraph. It is safe for concurrent use.
type Pool struct {
	options Options

	mu   sync.Mutex
	open map[string][]*socket
}

// New returns a Pool without sockets.
func New(o Options) *Pool { return &Pool{options: o, open: map[string][]*socket{}} }

// Subscribe asks for one subscription and hands on what comes, one message after the
// other. It takes a socket of the same key that has room, or opens one by dial. The
// key must hold all that the subgraph is told of who asks, credentials first of all.
//
// The error is nil for a subscription that is complete or ended by an Error, deliver's
// own, that of ctx, ErrSlow, and otherwise that of dial or of a socket that has broken
// off, which may be asked for again.
func (p *Pool) Subscribe(ctx context.Context, key string, payload []byte, dial Dial, deliver func(kind Kind, payload []byte) error) error {
	s, m := p.join(ctx, key, dial)
	select {
	case <-s.ready:
	case <-ctx.Done():
		s.leave(m, false)
		return ctx.Err()
	}
	if s.err != nil {
		return s.err
	}
	if err := s.send("subscribe", m.id, payload); err != nil {
		s.leave(m, false)
		return err
	}
	for {
		message, err := m.take(ctx)
		if err != nil {
			reason := m.reason(err)
			s.leave(m, !errors.Is(err, errOver) || errors.Is(reason, ErrSlow))
			return reason
		}
		if err := deliver(message.kind, message.payload); err != nil {
			s.leave(m, message.kind == Next)
			return err
		}
		if message.kind == Error {
			s.leave(m, false)
			return nil
		}
	}
}

// join finds a place on a socket of a key.
func (p *Pool) join(ctx context.Context, key string, dial Dial) (*socket, *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.open[key] {
		if len(s.members) < p.options.PerSocket {
			return s, s.admit()
		}
	}
	s := &socket{pool: p, key: key, ready: make(chan struct{}), members: map[string]*member{}}
	// It lives on when who opens it leaves.
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.open[key] = append(p.open[key], s)
	first := s.admit()
	go s.run(dial)
	return s, first
}

// socket is one connection to a subgraph.
type socket struct {
	pool   *Pool
	key    string
	ctx    context.Context //nolint:containedctx // the connection's own, which no caller ends
	cancel context.CancelFunc
	// ready is closed once it is open, or not: then err says why.
	ready chan struct{}
	conn  *websocket.Conn
	err   error
	// waiting is whether a subscription holds up the reading.
	waiting atomic.Bool

	// The rest is guarded by pool.mu.
	members map[string]*member
	last    int
}

// admit gives a subscription a place; pool.mu is held.
func (s *socket) admit() *member {
	s.last++
	m := &member{id: strconv.Itoa(s.last), wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	s.members[m.id] = m
	return m
}

// leave takes a subscription out and, where the subgraph does not know, tells it. The
// socket is closed with the last one.
func (s *socket) leave(m *member, tell bool) {
	m.end(errOver) // who waits for room does so no more
	s.pool.mu.Lock()
	_, there := s.members[m.id]
	delete(s.members, m.id)
	last := there && len(s.members) == 0
	if last {
		s.forget()
	}
	s.pool.mu.Unlock()
	switch {
	case last:
		go s.close()
	case there && tell:
		_ = s.send("complete", m.id, nil) // a socket that fails tells so itself
	}
}

// forget lets nobody join any more; pool.mu is held.
func (s *socket) forget() {
	open := s.pool.open[s.key]
	for i, one := range open {
		if one == s {
			open = append(open[:i:i], open[i+1:]...)
			break
		}
	}
	if len(open) == 0 {
		delete(s.pool.open, s.key)
		return
	}
	s.pool.open[s.key] = open
}

// close ends a socket on which nothing runs.
func (s *socket) close() {
	defer s.cancel()
	select {
	case <-s.ready:
		if s.conn != nil {
			_ = s.conn.Close(websocket.StatusNormalClosure, "") // what is not heard is not needed
		}
	default: // it is being opened
	}
}

// fail ends all subscriptions of a socket that is no more.
func (s *socket) fail(err error) {
	s.pool.mu.Lock()
	s.forget()
	members := s.members
	s.members = map[string]*member{}
	s.pool.mu.Unlock()
	for _, m := range members {
		m.end(err)
	}
}

// member finds who an id is of; nil for those who have left. alone is whether nobody
// else is there.
func (s *socket) member(id string) (m *member, alone bool) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return s.members[id], len(s.members) == 1
}
