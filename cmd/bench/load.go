package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// client is one keep-alive connection. It is as simple as HTTP/1.1 lets it be, so
// that the load generator takes little of the cores it shares with the server.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
	// status is the last answer's.
	status int
}

// answerTimeout bounds a request.
const answerTimeout = time.Minute

func dial(addr string) (*client, error) {
	conn, err := net.Dial("tcp", addr) //nolint:gosec // a server of this run
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// graphqlRequest renders a request as it travels.
func graphqlRequest(addr, token, query string, variables string) []byte {
	body := `{"query":` + strconv.Quote(query)
	if variables != "" {
		body += `,"variables":` + variables
	}
	body += "}"
	var b strings.Builder
	fmt.Fprintf(&b, "POST /graphql HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", addr, len(body))
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	b.WriteString("\r\n" + body)
	return []byte(b.String())
}

// do sends a rendered request and returns the answer's body, which the next call
// overwrites.
func (c *client) do(request []byte) ([]byte, error) {
	if err := c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	length, status, chunked := -1, "", false
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			status = string(line)
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true // HTTP/1.1 servers send no other
		}
	}
	if err := c.readBody(length, chunked); err != nil {
		return nil, err
	}
	if parts := strings.Fields(status); len(parts) > 1 {
		c.status, _ = strconv.Atoi(parts[1]) // 0 for what is no HTTP
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200") {
		return c.body, fmt.Errorf("%s: %s", status, c.body)
	}
	return c.body, nil
}

func (c *client) readBody(length int, chunked bool) error {
	if chunked {
		body := bytes.NewBuffer(c.body[:0])
		if _, err := body.ReadFrom(httputil.NewChunkedReader(c.in)); err != nil {
			return err
		}
		c.body = body.Bytes()
		_, err := c.in.Discard(len("\r\n"))
		return err
	}
	if length < 0 {
		return errors.New("an answer without Content-Length")
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	_, err := io.ReadFull(c.in, c.body)
	return err
}

// good is how an answer with data and without errors begins.
const good = `{"data":{`

// ask sends one request and wants data.
func (c *client) ask(request []byte) ([]byte, error) {
	body, err := c.do(request)
	if err == nil && !bytes.HasPrefix(body, []byte(good)) {
		err = fmt.Errorf("the answer has errors: %s", body)
	}
	return body, err
}

// traffic is what many requests came to.
type traffic struct {
	count     int
	took      time.Duration
	latencies []time.Duration // sorted
}

// with is both together, one after the other.
func (t traffic) with(o traffic) traffic {
	all := slices.Concat(t.latencies, o.latencies)
	slices.Sort(all)
	return traffic{count: t.count + o.count, took: t.took + o.took, latencies: all}
}

func (t traffic) rate() float64 { return float64(t.count) / t.took.Seconds() }

// quantile returns the latency that a share q of the requests kept, in ms.
func (t traffic) quantile(q float64) float64 {
	if len(t.latencies) == 0 {
		return 0
	}
	i := min(int(q*float64(len(t.latencies))), len(t.latencies)-1)
	return float64(t.latencies[i]) / float64(time.Millisecond)
}

func (t traffic) String() string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, max %.1f ms", t.quantile(0.5), t.quantile(0.99), t.quantile(1))
}

// drive keeps connections busy, each with one request after the other, until the
// time is over; next returns a worker's i-th request. An answer with errors ends it.
func drive(ctx context.Context, addr string, connections int, lasting time.Duration, next func(worker, i int) []byte) (traffic, error) {
	ctx, cancel := context.WithTimeout(ctx, lasting)
	defer cancel()
	return together(addr, connections, func(worker int, c *client, note func(time.Duration)) error {
		for i := 0; ctx.Err() == nil; i++ {
			began := time.Now()
			if _, err := c.ask(next(worker, i)); err != nil {
				return err
			}
			note(time.Since(began))
		}
		return nil
	})
}

// together runs work on so many connections at once.
func together(addr string, connections int, work func(worker int, c *client, note func(time.Duration)) error) (traffic, error) {
	clients := make([]*client, connections)
	for i := range clients {
		c, err := dial(addr)
		if err != nil {
			return traffic{}, err
		}
		defer c.close()
		clients[i] = c
	}
	var (
		group sync.WaitGroup
		parts = make([][]time.Duration, connections)
		errs  = make([]error, connections)
		began = time.Now()
	)
	for worker, c := range clients {
		group.Go(func() {
			errs[worker] = work(worker, c, func(d time.Duration) { parts[worker] = append(parts[worker], d) })
		})
	}
	group.Wait()
	out := traffic{took: time.Since(began), latencies: slices.Concat(parts...)}
	out.count = len(out.latencies)
	slices.Sort(out.latencies)
	return out, errors.Join(errs...)
}
