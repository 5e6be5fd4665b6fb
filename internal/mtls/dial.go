package mtls

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"
)

const (
	dialTimeout = 5 * time.Second
	// quietBefore is after how long without a frame the other side is asked whether
	// it is there, pongWithin how long it may take to say so.
	quietBefore = 5 * time.Second
	pongWithin  = 3 * time.Second
	// listenFor is how long a server of others is listened to.
	listenFor = 200 * time.Millisecond
	// recordHead is the length of a TLS record's head, whose last two bytes are
	// the length of the rest.
	recordHead = 5
	// alertRecord is the length of an encrypted alert: two bytes, the content
	// type and the tag. No first record of an HTTP/2 server is that short.
	alertRecord = 2 + 1 + 16
)

// dialTLS connects and waits for the server's first word. With TLS 1.3 a client
// ends its handshake before the server has seen its certificate; a refusal that
// arrives after requests were written is lost behind the errors of writing. An
// HTTP/2 server speaks first, so that waiting costs a round trip a connection.
func dialTLS(ctx context.Context, network, address string, config *tls.Config) (net.Conn, error) {
	return shake(ctx, network, address, config, firstWord)
}

// dialHost is dialTLS to a server of others, which may let clients speak first: it is
// listened to for a moment only, and only if it has asked for our certificate. Most
// send session tickets at once.
func dialHost(ctx context.Context, network, address string, config *tls.Config, pair *tls.Certificate) (net.Conn, error) {
	asked := false
	config = config.Clone()
	// Also where a server names other authorities than ours: it says why it refuses
	// what it gets, and would not say what it missed.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return pair, nil
	}
	return shake(ctx, network, address, config, func(_ context.Context, conn *tls.Conn, buffered *bufferedConn) error {
		if !asked || conn.ConnectionState().Version != tls.VersionTLS13 {
			return nil // with an older TLS a refusal ends the handshake
		}
		return soon(conn, buffered)
	})
}

// shake connects, and lets overhear listen to the server before it is used.
func shake(ctx context.Context, network, address string, config *tls.Config, overhear func(context.Context, *tls.Conn, *bufferedConn) error) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	config = config.Clone()
	config.ServerName = host
	buffered := &bufferedConn{raw, bufio.NewReader(raw)}
	conn := tls.Client(buffered, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	if err := overhear(ctx, conn, buffered); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// firstWord waits for the server's first record and fails if that is an alert.
func firstWord(ctx context.Context, conn *tls.Conn, buffered *bufferedConn) error {
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		return nil
	}
	ended := context.AfterFunc(ctx, func() { _ = buffered.SetReadDeadline(time.Unix(1, 0)) })
	defer ended()
	head, err := buffered.reader.Peek(recordHead)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	if err := alert(conn, head); err != nil {
		return err
	}
	if !ended() {
		return ctx.Err()
	}
	return nil
}

// soon fails if the server's first record is an alert that comes within a moment.
func soon(conn *tls.Conn, buffered *bufferedConn) error {
	_ = buffered.SetReadDeadline(time.Now().Add(listenFor)) // of a connection that is open
	head, err := buffered.reader.Peek(recordHead)
	_ = buffered.SetReadDeadline(time.Time{})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err != nil:
		return err
	default:
		return alert(conn, head)
	}
}

// alert is what the record says that begins with head, if it is an alert.
func alert(conn *tls.Conn, head []byte) error {
	if binary.BigEndian.Uint16(head[3:]) != alertRecord {
		return nil
	}
	_, err := conn.Read(make([]byte, 1))
	return err
}

// bufferedConn lets what has arrived be looked at before it is read.
type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements net.Conn.
func (b *bufferedConn) Read(p []byte) (int, error) { return b.reader.Read(p) }
