package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
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

// sockets is how subscriptions of a subgraph go over WebSockets of their own.
type sockets struct {
	once   sync.Once
	client *http.Client
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := r.openSocket(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	subscribe := append([]byte(`{"id":"1","type":"subscribe","payload":`), graphQLRequest(query, variables)...)
	if err := conn.Write(ctx, websocket.MessageText, append(subscribe, '}')); err != nil {
		return &brokenOff{err}
	}
	go func() { // reading ends with it
		defer cancel()
		for pause(ctx, socketPing) {
			within, done := context.WithTimeout(ctx, socketGreeting)
			err := conn.Ping(within)
			done()
			if err != nil {
				return
			}
		}
	}()
	for {
		m, err := receive(ctx, conn)
		if err != nil {
			return &brokenOff{err}
		}
		switch m.Type {
		case messageNext:
			if !rawjson.IsResponse(m.Payload) {
				return &brokenOff{errors.New("an event is no GraphQL response")}
			}
			if err := deliver(m.Payload); err != nil {
				_ = conn.Close(websocket.StatusNormalClosure, "") // it ends the subscription, too
				return err
			}
		case messageError:
			answer := clienterr.Joined(m.Payload, []byte("null"))
			if !rawjson.IsResponse(answer) {
				return &brokenOff{errors.New("errors are no list of errors")}
			}
			return deliver(answer)
		case messageComplete:
			return nil
		case messagePing:
			if err := conn.Write(ctx, websocket.MessageText, render(messagePong, "", nil)); err != nil {
				return &brokenOff{err}
			}
		}
	}
}

// openSocket opens a socket and waits for the subgraph's greeting. The error is
// errNoSockets or a *brokenOff.
func (r *remoteFetcher) openSocket(ctx context.Context) (*websocket.Conn, error) {
	within, done := context.WithTimeout(ctx, socketGreeting)
	defer done()
	request, err := r.request(within, mediaJSON, http.NoBody)
	if err != nil {
		return nil, &brokenOff{err}
	}
	header := request.Header
	for _, name := range []string{"Content-Type", "Accept"} {
		header.Del(name)
	}
	var conn *websocket.Conn
	none := false
	err = r.upstream.Try(within, func() error {
		var response *http.Response
		var err error
		conn, response, err = websocket.Dial(within, r.way.URL, &websocket.DialOptions{ //nolint:bodyclose // the socket's, or read already
			HTTPClient: r.sockets.through(r.way), HTTPHeader: header, Subprotocols: []string{subprotocol},
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
		return nil, &brokenOff{err}
	case conn.Subprotocol() != subprotocol:
		_ = conn.CloseNow()
		return nil, errNoSockets
	}
	conn.SetReadLimit(maxRemoteEvent)
	var credentials []byte
	if token, _ := bearerFrom(ctx).token(); token != "" {
		credentials = rawjson.AppendString([]byte(`{"authorization":`), token)
		credentials = append(credentials, '}')
	}
	err = conn.Write(within, websocket.MessageText, render(messageInit, "", credentials))
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
	return nil, &brokenOff{err}
}

func receive(ctx context.Context, conn *websocket.Conn) (message, error) {
	var m message
	_, text, err := conn.Read(ctx)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	return m, err
}

// pause waits; false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
