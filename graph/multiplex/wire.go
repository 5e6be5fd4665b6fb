package multiplex

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/coder/websocket"
)

// message is one of graphql-transport-ws.
type message struct {
	Type    string          `json:"type"`
	ID      string          `json:"id,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// run opens the socket and reads it until it ends.
func (s *socket) run(dial Dial) {
	conn, err := dial(s.ctx)
	if err == nil && s.ctx.Err() != nil { // all have left
		_ = conn.CloseNow()
		err = s.ctx.Err()
	}
	s.conn, s.err = conn, err
	if err != nil {
		s.fail(err) // before ready: nobody joins what has failed
		close(s.ready)
		s.cancel()
		return
	}
	s.pool.options.Open.Inc()
	defer s.pool.options.Open.Dec()
	close(s.ready)
	go s.ping()
	err = s.read()
	s.cancel()
	s.fail(err)
	_ = conn.CloseNow()
}

// read hands messages to their subscriptions.
func (s *socket) read() error {
	for {
		_, text, err := s.conn.Read(s.ctx)
		if err != nil {
			return err
		}
		var m message
		if err := json.Unmarshal(text, &m); err != nil {
			return fmt.Errorf("a message is no JSON of graphql-transport-ws: %w", err)
		}
		switch m.Type {
		case string(Next), string(Error):
			s.hand(m)
		case "complete":
			if to, _ := s.member(m.ID); to != nil {
				to.end(nil)
			}
		case "ping":
			if err := s.send("pong", "", nil); err != nil {
				return err
			}
		}
	}
}

// hand queues a message. It waits for a subscription whose queue is full, but where
// others wait with it only for so long.
func (s *socket) hand(text message) {
	m, alone := s.member(text.ID)
	if m == nil {
		return
	}
	one := delivery{Kind(text.Type), text.Payload}
	if m.push(one, s.pool.options.Queue) {
		return
	}
	s.waiting.Store(true)
	defer s.waiting.Store(false)
	began, tick := time.Now(), time.NewTicker(s.pool.options.SlowWithin/4+time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-m.room:
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		if m.push(one, s.pool.options.Queue) {
			return
		}
		if alone {
			_, alone = s.member(text.ID)
			began = time.Now()
		}
		if !alone && time.Since(began) >= s.pool.options.SlowWithin {
			m.end(ErrSlow)
			return
		}
	}
}

// ping ends the socket when the subgraph is away without a word. While somebody holds
// up the reading nothing is heard of it, either.
func (s *socket) ping() {
	tick := time.NewTicker(s.pool.options.PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		within, done := context.WithTimeout(s.ctx, s.pool.options.PongWithin)
		held := s.waiting.Load()
		err := s.conn.Ping(within)
		done()
		if err != nil && !held && !s.waiting.Load() {
			s.cancel()
			return
		}
	}
}

// send writes a message. A context of its own bounds it: one that ends in the middle
// of a message closes the socket, for all.
func (s *socket) send(kind, id string, payload []byte) error {
	text, err := json.Marshal(message{kind, id, payload})
	if err != nil {
		return err
	}
	within, done := context.WithTimeout(s.ctx, s.pool.options.PongWithin)
	defer done()
	return s.conn.Write(within, websocket.MessageText, text)
}
