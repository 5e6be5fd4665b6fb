package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// crowd is many clients that follow one tenant's activity, each on a WebSocket of its
// own.
type crowd struct {
	addr string
	// tokens are the clients' in turn: one for all, or one for each.
	tokens []string
	// arrived tells of each rename that any of them has got.
	arrived chan time.Time

	mu      sync.Mutex
	conns   []net.Conn
	closing atomic.Bool
	reading sync.WaitGroup
	lost    atomic.Pointer[error]
}

// open begins n subscriptions and returns when all of them are live.
func (c *crowd) open(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(liveOpening)
	for i := range n {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return c.join(c.tokens[i%len(c.tokens)])
		})
	}
	return group.Wait()
}

func (c *crowd) join(token string) error {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	if err := conn.SetDeadline(time.Now().Add(liveWithin)); err != nil {
		return err
	}
	init, err := json.Marshal(map[string]any{"type": "connection_init", "payload": map[string]string{"authorization": "Bearer " + token}})
	if err != nil {
		return err
	}
	subscribe, err := json.Marshal(map[string]any{"id": "1", "type": "subscribe", "payload": map[string]string{"query": followQuery}})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET /graphql HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n", c.addr); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 1024)
	for line, first := "", true; line != "\r\n"; first = false {
		if line, err = in.ReadString('\n'); err != nil {
			return err
		}
		if first && !strings.HasPrefix(line, "HTTP/1.1 101") {
			return fmt.Errorf("no WebSocket: %s", line)
		}
	}
	for _, step := range []struct {
		send []byte
		want string
	}{{init, `"connection_ack"`}, {subscribe, `"SUBSCRIBED"`}} {
		if _, err := conn.Write(clientFrame(textFrame, step.send)); err != nil {
			return err
		}
		got, err := nextText(conn, in)
		if err != nil {
			return err
		}
		if !strings.Contains(string(got), step.want) {
			return fmt.Errorf("got %s, want %s", got, step.want)
		}
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	c.reading.Go(func() { c.read(conn, in) })
	return nil
}

// read notes when renames come, until the end.
func (c *crowd) read(conn net.Conn, in *bufio.Reader) {
	for {
		text, err := nextText(conn, in)
		if err != nil {
			if !c.closing.Load() {
				c.lost.Store(&err)
			}
			return
		}
		if strings.Contains(string(text), renameAction) {
			c.arrived <- time.Now()
		}
	}
}

// await waits until n have got what was sent, and returns how long each waited,
// sorted.
func (c *crowd) await(ctx context.Context, n int, sent time.Time) ([]time.Duration, error) {
	deadline := time.After(liveWithin)
	took := make([]time.Duration, 0, n)
	for len(took) < n {
		select {
		case at := <-c.arrived:
			took = append(took, at.Sub(sent))
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-deadline:
			err := fmt.Errorf("only %d of %d subscribers have the event after %s", len(took), n, liveWithin)
			if lost := c.lost.Load(); lost != nil {
				err = errors.Join(err, *lost)
			}
			return nil, err
		}
	}
	slices.Sort(took)
	return took, nil
}

// close lets everybody leave.
func (c *crowd) close() {
	c.closing.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	done := make(chan struct{})
	go func() {
		c.reading.Wait()
		close(done)
	}()
	for {
		select {
		case <-c.arrived: // of nobody's concern any more
		case <-done:
			return
		}
	}
}

// The frames of RFC 6455 that the clients need.
const (
	textFrame = 0x1
	endFrame  = 0x8
	pingFrame = 0x9
	pongFrame = 0xa
)

// clientFrame renders a whole message; its mask is zero.
func clientFrame(opcode byte, payload []byte) []byte {
	out := []byte{0x80 | opcode}
	if n := len(payload); n < 126 {
		out = append(out, 0x80|byte(n))
	} else {
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(n))
	}
	return append(append(out, 0, 0, 0, 0), payload...)
}

// nextText reads up to the next text message and answers pings on the way.
func nextText(conn net.Conn, in *bufio.Reader) ([]byte, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return nil, err
		}
		length := int(head[1] & 0x7f)
		switch length {
		case 126:
			var more [2]byte
			if _, err := io.ReadFull(in, more[:]); err != nil {
				return nil, err
			}
			length = int(binary.BigEndian.Uint16(more[:]))
		case 127:
			return nil, errors.New("a message of more than 64 kB")
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(in, payload); err != nil {
			return nil, err
		}
		switch head[0] & 0xf {
		case textFrame:
			return payload, nil
		case pingFrame:
			if _, err := conn.Write(clientFrame(pongFrame, payload)); err != nil {
				return nil, err
			}
		case endFrame:
			return nil, fmt.Errorf("closed by the server: %q", payload)
		}
	}
}
