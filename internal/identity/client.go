package identity

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Client is the program that a request came from. It is what the network and the
// program itself say: fit for a record, not for a decision.
type Client struct {
	UserAgent string
	// IP is the address of the connection's other end.
	IP string
}

type clientKey struct{}

// WithClient returns the request with its client in the context.
func WithClient(r *http.Request) *http.Request {
	c := Client{UserAgent: r.UserAgent(), IP: r.RemoteAddr}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.IP = host
	}
	return r.WithContext(context.WithValue(r.Context(), clientKey{}, c))
}

// ClientFrom returns the request's client; it is zero outside of requests.
func ClientFrom(ctx context.Context) Client {
	c, _ := ctx.Value(clientKey{}).(Client)
	return c
}

// headerForwarded is where a proxy says for whom it asks (RFC 7239).
const headerForwarded = "Forwarded"

// Forward says in a request's headers that it is made for this client.
func (c Client) Forward(h http.Header) {
	h.Set("User-Agent", c.UserAgent)
	if ip, err := netip.ParseAddr(c.IP); err == nil {
		node := ip.String()
		if ip.Is6() {
			node = "[" + node + "]"
		}
		h.Set(headerForwarded, `for="`+node+`"`)
	}
}

// WithForwardedClient is WithClient behind a proxy of ours, for which nobody else
// can speak: the client is the one that its Forward names.
func WithForwardedClient(r *http.Request) *http.Request {
	c := Client{UserAgent: r.UserAgent()}
	node, ok := strings.CutPrefix(r.Header.Get(headerForwarded), `for="`)
	if node, closed := strings.CutSuffix(node, `"`); ok && closed {
		if ip, err := netip.ParseAddr(strings.Trim(node, "[]")); err == nil {
			c.IP = ip.String()
		}
	}
	return r.WithContext(context.WithValue(r.Context(), clientKey{}, c))
}
