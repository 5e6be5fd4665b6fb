package upstream

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Pool says how connections to subgraphs are kept. A zero means the default.
type Pool struct {
	// Connections is the most of them to one host over HTTP/1.1, 0 for any number.
	// Over HTTP/2 one connection carries many calls.
	Connections int
	// TLS is used for https; the system's authorities if nil.
	TLS *tls.Config
	// Cleartext2 speaks HTTP/2 without TLS, for subgraphs on this machine.
	Cleartext2 bool
}

// The times after which a connection counts as lost: a host that is away without a
// word must not hold calls until their own deadline.
const (
	dialWithin  = 3 * time.Second
	quietBefore = 5 * time.Second
	pongWithin  = 3 * time.Second
	idleFor     = 30 * time.Second
	idleMost    = 64
)

// Transport keeps connections. It follows no proxy of the environment: subgraphs
// are inside.
func (p Pool) Transport() *http.Transport {
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: dialWithin, KeepAlive: idleFor}).DialContext,
		TLSClientConfig:        p.TLS,
		TLSHandshakeTimeout:    dialWithin,
		MaxConnsPerHost:        p.Connections,
		MaxIdleConnsPerHost:    idleMost,
		IdleConnTimeout:        idleFor,
		MaxResponseHeaderBytes: 1 << 20,
		HTTP2:                  Lively(),
		Protocols:              &http.Protocols{},
	}
	if p.Connections > 0 {
		t.MaxIdleConnsPerHost = min(idleMost, p.Connections)
	}
	if p.Cleartext2 {
		t.MaxConnsPerHost = 0 // it would bound calls, not connections
		t.Protocols.SetUnencryptedHTTP2(true)
		return t
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(true)
	return t
}

// Lively notices that the other side of an HTTP/2 connection is away.
func Lively() *http.HTTP2Config {
	return &http.HTTP2Config{SendPingTimeout: quietBefore, PingTimeout: pongWithin}
}
