package router

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"

	"github.com/tradesage/tradesage/internal/fault"
)

// The sizes of a socket's two buffers, in bytes. What does not fit passes them by:
// of what is written most does, so that a message is one packet; what is read after
// the subscriptions have begun are pongs, and a connection that is closed with unread
// bytes does not tell its client why. net/http would leave 4 kB behind for each.
const (
	writeBuffer = 512
	readBuffer  = 256
)

// taking takes a connection from a response, leaves what net/http kept for it
// behind, and remembers it. What says that there is none is left to the router.
type taking struct {
	http.ResponseWriter
	conn    net.Conn
	refused int // the status of a refusal
}

// WriteHeader implements http.ResponseWriter.
func (t *taking) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		t.ResponseWriter.WriteHeader(status)
		return
	}
	t.refused = status
}

// Write implements http.ResponseWriter: nothing is written before the connection is
// taken but why it is not.
func (t *taking) Write(text []byte) (int, error) { return len(text), nil }

// refusal is the status and the error of a socket that was not opened.
func (t *taking) refusal() (int, error) {
	switch t.refused {
	case http.StatusForbidden:
		return t.refused, fault.Forbidden("pages of this origin may not use the API")
	case 0: // the connection is gone, or cannot be taken
		return http.StatusInternalServerError, fault.Internal(errors.New("a connection that cannot be taken over"))
	}
	return t.refused, fault.InvalidInput("", "this is no WebSocket handshake of version 13")
}

// Hijack implements http.Hijacker.
func (t *taking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t.conn = conn
	// A client may send its first messages along with its request.
	if early, _ := buffered.Peek(buffered.Reader.Buffered()); len(early) > 0 {
		t.conn = &earlier{Conn: conn, read: bytes.Clone(early)}
	}
	return t.conn, bufio.NewReadWriter(bufio.NewReaderSize(t.conn, readBuffer), bufio.NewWriterSize(t.conn, writeBuffer)), nil
}

// earlier is a connection of which something has been read already.
type earlier struct {
	net.Conn
	read []byte
}

// Read implements io.Reader.
func (e *earlier) Read(into []byte) (int, error) {
	if len(e.read) == 0 {
		return e.Conn.Read(into)
	}
	n := copy(into, e.read)
	if e.read = e.read[n:]; len(e.read) == 0 {
		e.read = nil
	}
	return n, nil
}
