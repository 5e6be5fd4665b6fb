// Package sse is GraphQL over server-sent events in distinct-connections mode:
// one operation a request, each result an event "next", then one event
// "complete". It writes and reads the stream and knows nothing of what is in it.
package sse

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
)

// MediaType is what a client accepts who wants a stream.
const MediaType = "text/event-stream"

// MediaRenewed is the media type of a request for a stream whose body goes on: its
// first line is the request, and each further one {"authorization": …} with a newer
// access token of the same session.
const MediaRenewed = "application/x-ndjson"

// writeWithin bounds one write: a reader that is slower is cut off.
const writeWithin = 10 * time.Second

// Accepted reports whether the request prefers a stream: it accepts one, and
// names no other type before it.
func Accepted(req *http.Request) bool {
	accept := req.Header.Values("Accept")
	if len(accept) == 0 {
		return false
	}
	first, _, _ := strings.Cut(strings.Join(accept, ","), ",")
	media, _, err := mime.ParseMediaType(first)
	return err == nil && media == MediaType
}

// Writer sends a stream. Its methods may be called at the same time.
type Writer struct {
	mu       sync.Mutex
	w        http.ResponseWriter
	control  *http.ResponseController
	finished bool
}

// NewWriter begins the response, with a comment: what packs responses, here or on the
// way, lets nothing through before it has seen something. The server's time limits for
// reading and writing a whole request no longer hold for it; each write has its own.
func NewWriter(w http.ResponseWriter) (*Writer, error) {
	s := &Writer{w: w, control: http.NewResponseController(w)}
	// A server without deadlines, as in tests, cuts nothing off.
	if err := s.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	header := w.Header()
	header.Set("Content-Type", MediaType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // proxies must not hold events back
	w.WriteHeader(http.StatusOK)
	return s, s.Heartbeat()
}

// Next sends one result, which is JSON without line breaks.
func (s *Writer) Next(result []byte) error {
	out := make([]byte, 0, len(result)+len("event: next\ndata: \n\n"))
	out = append(out, "event: next\ndata: "...)
	return s.send(append(append(out, result...), "\n\n"...))
}

// Heartbeat sends a comment, which keeps proxies from closing and finds out
// whether the client is there.
func (s *Writer) Heartbeat() error { return s.send([]byte(":\n\n")) }

// KeepAlive sends a heartbeat at each interval for as long as alive returns none of
// its errors. It returns nil when ctx ends, and else why it stopped: alive's error,
// or that the client is gone.
func (s *Writer) KeepAlive(ctx context.Context, every time.Duration, alive func() error) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := alive(); err != nil {
			return err
		}
		if err := s.Heartbeat(); err != nil {
			return err
		}
	}
}

// Complete ends the stream.
func (s *Writer) Complete() error {
	err := s.send([]byte("event: complete\ndata:\n\n"))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	return err
}

func (s *Writer) send(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return io.ErrClosedPipe
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}

// ErrTruncated says that a stream ended without being complete.
var ErrTruncated = errors.New("the stream broke off")

// Read calls next for each result of a stream until it is complete. A line of
// more than limit bytes is an error; so is next's, which ends the reading.
func Read(r io.Reader, limit int, next func(result []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), limit)
	var event string
	var data []byte
	for lines.Scan() {
		line := lines.Bytes()
		switch name, value, _ := bytes.Cut(line, []byte(":")); string(name) {
		case "event":
			event = string(bytes.TrimSpace(value))
		case "data":
			data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
		case "":
			if len(line) > 0 {
				continue // a comment
			}
			switch event {
			case "complete":
				return nil
			case "next":
				if err := next(data); err != nil {
					return err
				}
			}
			event, data = "", nil
		}
		if len(data) > limit {
			return fmt.Errorf("an event of more than %d bytes", limit)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return ErrTruncated
}
