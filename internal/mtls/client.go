package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Client returns the configuration for calls to one service: TLS 1.3, our
// certificate, and a server whose certificate names that service. A server that
// is something else is refused with an *Error, and the log has one line.
func (c *Credentials) Client(service string) (*tls.Config, error) {
	if c.options.Files.CA == "" {
		return nil, errNoBundle
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: protocols,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &c.inForce().pair, nil
		},
		// Go's own check knows one fixed bundle and host names. VerifyConnection
		// checks the whole chain against the bundle in force, and the SPIFFE id.
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection: func(s tls.ConnectionState) error {
			err := inspect(s.PeerCertificates, c.inForce().roots, x509.ExtKeyUsageServerAuth, c.options.Clock(), []string{service})
			if err != nil {
				c.options.Logger.Warn("service refused", "service", service, "host", s.ServerName, "error", err)
			}
			return err
		},
	}, nil
}

// Transport calls one service over HTTP/2. It is an http.RoundTripper; requests
// that begin after a change of the certificates use a connection made with them.
type Transport struct {
	credentials *Credentials
	service     string
	config      *tls.Config

	mu      sync.Mutex // of changes of current
	current atomic.Pointer[generation]
}

// generation is the connections made with one material.
type generation struct {
	number    uint64
	transport *http.Transport
}

// Transport returns the way to one service.
func (c *Credentials) Transport(service string) (*Transport, error) {
	config, err := c.Client(service)
	if err != nil {
		return nil, err
	}
	t := &Transport{credentials: c, service: service, config: config}
	t.current.Store(t.dial(c.inForce().generation))
	return t, nil
}

func (t *Transport) dial(number uint64) *generation {
	return &generation{number, &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialTLS(ctx, network, address, t.config)
		},
		ForceAttemptHTTP2:      true,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    16,
		MaxResponseHeaderBytes: 1 << 20,
		// Who is away without a word must not hold calls until their own deadline.
		HTTP2: &http.HTTP2Config{SendPingTimeout: quietBefore, PingTimeout: pongWithin},
	}}
}

// RoundTrip implements http.RoundTripper. It fails with an *Error when a
// certificate is why no connection was made; ReasonRefused means ours.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.connections().RoundTrip(r)
	if err != nil && remote(err) {
		var ours *Error
		if !errors.As(err, &ours) {
			err = &Error{Reason: ReasonRefused, Peer: id(t.service).String(), Cause: err}
			t.credentials.options.Logger.WarnContext(r.Context(), "refused by a service", "service", t.service, "error", err)
		}
	}
	return resp, err
}

// CloseIdleConnections ends the connections that no request uses.
func (t *Transport) CloseIdleConnections() { t.current.Load().transport.CloseIdleConnections() }

func (t *Transport) connections() *http.Transport {
	wanted := t.credentials.inForce().generation
	now := t.current.Load()
	if now.number == wanted {
		return now.transport
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if now = t.current.Load(); now.number >= wanted {
		return now.transport
	}
	next := t.dial(wanted)
	t.current.Store(next)
	// Those still in use end when they have been idle for a while.
	now.transport.CloseIdleConnections()
	return next.transport
}
