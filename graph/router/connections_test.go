package router_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tradesage/tradesage/graph/router"
)

func TestMaxConnections(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.MaxConnections = 2 }))
	w, s := l.dial(t, ""), l.stream(t, "", renamed)
	l.await(t, 1)
	_, resp, err := l.handshake(t, nil, "graphql-transport-ws")
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "10" {
		t.Errorf("a third: %v, %v", resp, err)
	}
	full := l.stream(t, "", renamed)
	wantBody(t, answer{body: full.body()}, `{"errors":[{"message":"too many connections are open; try again later","extensions":{"code":"UNAVAILABLE","retryAfter":10}}]}`)
	if got := query(l.router, `{ me { id } }`, ""); got.status != http.StatusOK {
		t.Errorf("a query: %d", got.status)
	}
	_ = w.conn.CloseNow()
	s.cancel()
	eventually(t, "there is room again", func() bool {
		v, _, err := l.handshake(t, nil, "graphql-transport-ws")
		if err != nil {
			return false
		}
		v.greet("")
		v.want(`{"type":"connection_ack"}`)
		return true
	})
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	busy, idle, silent := l.dial(t, ""), l.dial(t, ""), l.open(t)
	busy.subscribe("s", renamed)
	s := l.stream(t, "", renamed)
	l.await(t, 2)
	deaf := l.raw(t) // it never answers the end
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done <- l.router.Shutdown(ctx)
	}()
	for _, w := range []*wire{busy, idle, silent} {
		w.wantClosed(1001)
	}
	// Not as if the subscription had ended by itself.
	s.want(`{"errors":[{"message":"this server is about to end; connect again","extensions":{"code":"UNAVAILABLE"}}]}`)
	s.wantComplete()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(deaf); err != nil || !strings.Contains(string(rest), "going away") {
		t.Errorf("the deaf client got %q, %v", rest, err)
	}
	l.await(t, 0)
	_, resp, err := l.handshake(t, nil, "graphql-transport-ws")
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("afterwards: %v, %v", resp, err)
	}
	// Who asks again waits for nothing.
	if err := l.router.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// raw opens a WebSocket by hand and greets; what it returns has been read up to
// the ack.
func (l *liveShop) raw(t *testing.T) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "GET /graphql HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"+
		frame(`{"type":"connection_init"}`))
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = reader.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	ack := make([]byte, 2+len(`{"type":"connection_ack"}`))
	if _, err := io.ReadFull(reader, ack); err != nil || string(ack[2:]) != `{"type":"connection_ack"}` {
		t.Fatalf("%q, %v", ack, err)
	}
	return conn
}

// frame is a client's text frame of up to 125 bytes, masked with zeros.
func frame(text string) string {
	return string([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}) + text
}

// Frames as no library sends them: whatever breaks, the operations end.
func TestBrokenFrames(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, nil)
	subscribe := frame(`{"id":"s","type":"subscribe","payload":{"query":"subscription{userRenamed{id}}"}}`)
	for name, text := range map[string]string{
		"half a frame":        "\x81\xfe",
		"an unmasked frame":   "\x81\x02{}",
		"an unknown opcode":   "\x83\x80\x00\x00\x00\x00",
		"reserved bits":       "\xf1\x80\x00\x00\x00\x00",
		"a lone continuation": "\x80\x80\x00\x00\x00\x00",
		"a huge length":       "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
		"a negative length":   "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
		"a long ping":         "\x89\xfe\x00\x7e\x00\x00\x00\x00" + strings.Repeat("x", 126),
		"nothing":             "",
	} {
		t.Run(name, func(t *testing.T) {
			conn := l.raw(t)
			if _, err := io.WriteString(conn, subscribe); err != nil {
				t.Fatal(err)
			}
			l.await(t, 1)
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
			// The client says no more, but still listens.
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			l.await(t, 0)
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("the server does not close: %v", err)
			}
		})
	}
}

// A client that takes nothing is cut off; it holds up nobody, and no more than
// one event of it waits in the server.
func TestASlowReader(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.WriteWithin = 2 * time.Second }))
	fast := l.dial(t, "")
	fast.subscribe("s", renamed)
	l.await(t, 1)
	slow := l.raw(t)
	if _, err := io.WriteString(slow, frame(`{"id":"s","type":"subscribe","payload":{"query":"subscription{userRenamed{name}}"}}`)); err != nil {
		t.Fatal(err)
	}
	l.await(t, 2)
	name := strings.Repeat("x", 1<<20)
	var sent atomic.Int64
	var reading sync.WaitGroup
	reading.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for {
			_, text, err := fast.conn.Read(ctx)
			if err != nil || len(text) < 1000 {
				return
			}
			sent.Add(1)
		}
	})
	published := int64(0)
	for len(l.users.feed.list()) == 2 {
		l.rename(name)
		published++
		if published > 1000 {
			t.Fatal("the slow reader is not cut off")
		}
	}
	l.rename("last")
	reading.Wait()
	if got := sent.Load(); got != published {
		t.Errorf("the fast reader got %d events of %d", got, published)
	}
}

// Many clients that come and go at once, in all ways.
func TestManyClients(t *testing.T) {
	t.Parallel()
	l := newLiveShop(t, quick(func(s *router.Streams) { s.PingEvery = 5 * time.Millisecond }))
	token, _ := l.token(t, nil, time.Hour)
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.rename("Crowd")
			}
		}
	})
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for round := range 6 {
				w := l.dial(t, []string{"", token}[i%2])
				for op := range 3 {
					w.subscribe(fmt.Sprint(op), renamedWide)
				}
				for range 5 + round {
					if m := w.receive(); m.Type != "next" {
						t.Errorf("%+v", m)
						return
					}
				}
				switch (i + round) % 3 {
				case 0:
					_ = w.conn.CloseNow()
				case 1:
					w.send(`{"id":"1","type":"complete"}`)
					_ = w.conn.Close(1000, "")
				case 2:
					w.send(`{`)
					w.wantClosed(4400)
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	publishing.Wait()
	l.await(t, 0)
}
