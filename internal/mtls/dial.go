package mtls

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"time"
)

const (
	dialTimeout = 5 * time.Second
	// quietBefore is after how long without a frame the other side is asked whether
	// it is there, pongWithin how long it may take to say so.
	quietBefore = 5 * time.Second
	pongWithin  = 3 * time.Second
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
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		return conn, nil
	}
	if err := firstWord(ctx, conn, buffered); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// firstWord waits for the server's first record and fails if that is an alert.
func firstWord(ctx context.Context, conn *tls.Conn, buffered *bufferedConn) error {
	ended := context.AfterFunc(ctx, func() { _ = buffered.SetReadDeadline(time.Unix(1, 0)) })
	defer ended()
	head, err := buffered.reader.Peek(recordHead)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	if binary.BigEndian.Uint16(head[3:]) == alertRecord {
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	if !ended() {
		return ctx.Err()
	}
	return nil
}

// bufferedConn lets what has arrived be looked at before it is read.
type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements net.Conn.
func (b *bufferedConn) Read(p []byte) (int, error) { return b.reader.Read(p) }
