package router

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
)

// socketBuffer is the size of each of a socket's two buffers, in bytes. Messages are
// mostly smaller; of larger ones, what does not fit passes it by. net/http would
// leave buffers of 4 kB behind.
const socketBuffer = 512

// taking takes a connection from a response, leaves what net/http kept for it
// behind, and remembers it.
type taking struct {
	http.ResponseWriter
	conn net.Conn
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
	return t.conn, bufio.NewReadWriter(bufio.NewReaderSize(t.conn, socketBuffer), bufio.NewWriterSize(t.conn, socketBuffer)), nil
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
