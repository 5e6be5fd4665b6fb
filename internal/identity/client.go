package identity

import (
	"context"
	"net"
	"net/http"
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
