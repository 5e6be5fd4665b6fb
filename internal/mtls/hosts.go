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
)

// Hosts calls servers of others, which are known by their host names, with our
// certificate where they ask for one. It is an http.RoundTripper; requests that begin
// after a change of the files use connections made with the new ones.
type Hosts struct {
	credentials *Credentials
	protocols   []string
	dial        func() *http.Transport

	mu      sync.Mutex // of changes of current
	current atomic.Pointer[generation]
}

// Hosts returns the way to servers of others; the files must be ByHost. dial makes
// the transport of each state of the files, without a way to dial. protocols are those
// to offer, h2 and http/1.1 if there are none: a WebSocket needs http/1.1 alone.
func (c *Credentials) Hosts(dial func() *http.Transport, protocols ...string) *Hosts {
	h := &Hosts{credentials: c, protocols: protocols, dial: dial}
	if len(protocols) == 0 {
		h.protocols = []string{"h2", "http/1.1"}
	}
	h.current.Store(h.generation(c.inForce()))
	return h
}

func (h *Hosts) generation(m *material) *generation {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: m.roots, NextProtos: h.protocols, Time: h.credentials.options.Clock}
	transport := h.dial()
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialHost(ctx, network, address, config, &m.pair)
	}
	return &generation{m.generation, transport}
}

// RoundTrip implements http.RoundTripper. It fails with an *Error when a certificate
// is why no connection was made; ReasonRefused means ours.
func (h *Hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.connections().RoundTrip(r)
	if err != nil {
		err = h.refusal(r.URL.Hostname(), err)
	}
	return resp, err
}

// refusal tells what a certificate had to do with a failure.
func (h *Hosts) refusal(host string, err error) error {
	var ours *Error
	var theirs *tls.CertificateVerificationError
	var name x509.HostnameError
	switch {
	case errors.As(err, &ours):
		return err
	case errors.As(err, &name):
		return &Error{Reason: ReasonIdentity, Peer: host, Cause: err}
	case errors.As(err, &theirs) && len(theirs.UnverifiedCertificates) > 0:
		reason := reasonOf(theirs.UnverifiedCertificates[0], h.credentials.options.Clock(), theirs.Err)
		return &Error{Reason: reason, Peer: host, Cause: err}
	case remote(err):
		return &Error{Reason: ReasonRefused, Peer: host, Cause: err}
	default:
		return err
	}
}

// CloseIdleConnections ends the connections that no request uses.
func (h *Hosts) CloseIdleConnections() { h.current.Load().transport.CloseIdleConnections() }

func (h *Hosts) connections() *http.Transport {
	wanted := h.credentials.inForce()
	now := h.current.Load()
	if now.number == wanted.generation {
		return now.transport
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if now = h.current.Load(); now.number >= wanted.generation {
		return now.transport
	}
	next := h.generation(wanted)
	h.current.Store(next)
	// Those still in use end when they have been idle for a while.
	now.transport.CloseIdleConnections()
	return next.transport
}
