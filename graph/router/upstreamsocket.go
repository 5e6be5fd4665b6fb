package router

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/tradesage/tradesage/graph/multiplex"
	"github.com/tradesage/tradesage/graph/router/internal/accept"
	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/graph/router/internal/resume"
	"github.com/tradesage/tradesage/internal/telemetry"
)

const (
	// socketGreeting is how long a subgraph may take to open a socket and to greet.
	socketGreeting = 10 * time.Second
	// socketPing is how often it is asked whether a subgraph is there.
	socketPing = 25 * time.Second
	// socketsRefused is for how long a subgraph that has refused a socket is asked
	// over server-sent events alone.
	socketsRefused = time.Minute
)

// errNoSockets is a subgraph that answers, and opens no socket.
var errNoSockets = errors.New("the subgraph opens no WebSocket of graphql-transport-ws")

// defaultPerSocket is how many subscriptions of one caller share a socket: no fewer
// than one client may run on a socket here, and as many as other servers allow.
const defaultPerSocket = 50

// sockets is how subscriptions of a subgraph go over WebSockets.
type sockets struct {
	once    sync.Once
	client  *http.Client
	pooling sync.Once
	pool    *multiplex.Pool
	// refusedUntil is when a subgraph that opened none is asked for one again.
	refusedUntil atomic.Int64
}

// through returns the client that opens sockets: over HTTP/1.1, and not bounded like
// calls, of which each ends soon.
func (s *sockets) through(way Remote) *http.Client {
	s.once.Do(func() {
		transport := way.SocketTransport
		if pool, ok := way.Transport.(*http.Transport); ok && transport == nil {
			pool = pool.Clone()
			pool.MaxConnsPerHost = 0
			transport = pool
		}
		if transport == nil {
			transport = way.Transport
		}
		s.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a token is for whom the configuration names
		}}
	})
	return s.client
}

// subscribed is streamed over whatever the subgraph speaks.
func (r *remoteFetcher) subscribed(ctx context.Context, query string, variables []byte, deliver func([]byte) error) error {
	if r.way.Sockets && time.Now().UnixNano() >= r.sockets.refusedUntil.Load() {
		err := r.socketed(ctx, query, variables, deliver)
		if !errors.Is(err, errNoSockets) {
			return err
		}
		r.sockets.refusedUntil.Store(time.Now().Add(socketsRefused).UnixNano())
	}
	return r.streamed(ctx, query, variables, deliver)
}

// socketed asks for a subscription over graphql-transport-ws, like streamed.
func (r *remoteFetcher) socketed(ctx context.Context, query string, variables []byte, deliver func([]byte) error) error {
	hello, err := r.greeting(ctx)
	if err != nil {
		return &resume.BrokenOff{Cause: err}
	}
	var refused error // by deliver, which the socket's own errors must not hide
	err = r.sockets.shared(r).Subscribe(ctx, hello.key(), graphQLRequest(query, variables), func(ctx context.Context) (*websocket.Conn, error) {
		return r.openSocket(ctx, hello)
	}, func(kind multiplex.Kind, payload []byte) error {
		switch answer := clienterr.Joined(payload, []byte("null")); {
		case kind == multiplex.Next && !rawjson.IsResponse(payload):
			refused = &resume.BrokenOff{Cause: errors.New("an event is no GraphQL response")}
		case kind == multiplex.Next:
			refused = deliver(payload)
		case !rawjson.IsResponse(answer):
			refused = &resume.BrokenOff{Cause: errors.New("errors are no list of errors")}
		default:
			refused = deliver(answer)
		}
		return refused
	})
	switch {
	case refused != nil || err == nil:
		return refused
	case errors.Is(err, errNoSockets):
		return errNoSockets
	case errors.Is(err, multiplex.ErrSlow):
		r.slow.Inc()
		return errSlow
	default:
		return &resume.BrokenOff{Cause: err}
	}
}

// shared returns the sockets of a subgraph.
func (s *sockets) shared(r *remoteFetcher) *multiplex.Pool {
	s.pooling.Do(func() {
		s.pool = multiplex.New(multiplex.Options{
			PerSocket: cmp.Or(r.way.PerSocket, defaultPerSocket), Queue: r.streams.Queue, SlowWithin: r.streams.SlowWithin,
			PingEvery: socketPing, PongWithin: socketGreeting, Open: r.opened,
		})
	})
	return s.pool
}

// greeting is all that a subgraph is told of who opens a socket.
type greeting struct {
	header http.Header
	init   []byte
}

// greeting is made once, for the key and for what is sent: a token that is renewed
// meanwhile is in neither.
func (r *remoteFetcher) greeting(ctx context.Context) (greeting, error) {
	request, err := r.request(ctx, accept.JSON, http.NoBody)
	if err != nil {
		return greeting{}, err
	}
	header := request.Header
	for _, name := range []string{"Content-Type", "Accept"} {
		header.Del(name)
	}
	var credentials []byte
	if token := header.Get("Authorization"); token != "" {
		credentials = rawjson.AppendString([]byte(`{"authorization":`), token)
		credentials = append(credentials, '}')
	}
	return greeting{header, credentials}, nil
}

// ofRequests are headers that tell requests apart, and not who makes them. On a shared
// socket they are of the request that has opened it.
var ofRequests = map[string]bool{http.CanonicalHeaderKey(telemetry.HeaderRequestID): true, "Traceparent": true, "Tracestate": true}

// key is the same for those, and only for those, whom a subgraph cannot tell apart:
// they alone share a socket.
func (g greeting) key() string {
	out := strconv.AppendQuote(nil, string(g.init))
	for _, name := range slices.Sorted(maps.Keys(g.header)) {
		if ofRequests[name] {
			continue
		}
		out = strconv.AppendQuote(append(out, '\n'), name)
		for _, value := range g.header[name] {
			out = strconv.AppendQuote(append(out, ' '), value)
		}
	}
	return string(out)
}

// openSocket opens a socket and waits for the subgraph's acknowledgement. The error is
// errNoSockets where it opens none.
func (r *remoteFetcher) openSocket(ctx context.Context, hello greeting) (*websocket.Conn, error) {
	within, done := context.WithTimeout(ctx, socketGreeting)
	defer done()
	var conn *websocket.Conn
	none := false
	err := r.upstream.Try(within, func() error {
		var response *http.Response
		var err error
		conn, response, err = websocket.Dial(within, r.way.URL, &websocket.DialOptions{ //nolint:bodyclose // the socket's, or read already
			HTTPClient: r.sockets.through(r.way), HTTPHeader: hello.header, Subprotocols: []string{subprotocol},
		})
		if err != nil && response != nil && response.StatusCode < http.StatusInternalServerError && response.StatusCode != http.StatusSwitchingProtocols {
			none = true
			return nil // it is there
		}
		return err
	})
	switch {
	case none:
		return nil, errNoSockets
	case err != nil:
		return nil, err
	case conn.Subprotocol() != subprotocol:
		_ = conn.CloseNow()
		return nil, errNoSockets
	}
	conn.SetReadLimit(maxRemoteEvent)
	err = conn.Write(within, websocket.MessageText, render(messageInit, "", hello.init))
	for err == nil {
		var m message
		if m, err = receive(within, conn); err != nil {
			break
		}
		switch m.Type {
		case messageAck:
			return conn, nil
		case messagePing:
			err = conn.Write(within, websocket.MessageText, render(messagePong, "", nil))
		default:
			err = fmt.Errorf("%q in place of an acknowledgement", m.Type)
		}
	}
	_ = conn.CloseNow()
	return nil, err
}

func receive(ctx context.Context, conn *websocket.Conn) (message, error) {
	var m message
	_, text, err := conn.Read(ctx)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	return m, err
}
