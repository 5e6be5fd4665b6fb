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
	// Name is what the program calls itself, at most 64 printable characters of ASCII;
	// "" if it says nothing, or something else.
	Name string
}

// headersName are where a program says its name: GraphQL clients have both in use.
var headersName = []string{"Apollographql-Client-Name", "Graphql-Client-Name"}

// maxClientName bounds Client.Name.
const maxClientName = 64

// clientName is what a program calls itself, "" if nothing should be called so.
func clientName(name string) string {
	if len(name) > maxClientName {
		return ""
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return ""
		}
	}
	return name
}

// WithClientName returns a context whose client calls itself so, as one may that
// cannot send headers.
func WithClientName(ctx context.Context, name string) context.Context {
	c := ClientFrom(ctx)
	c.Name = clientName(name)
	return context.WithValue(ctx, clientKey{}, c)
}

type clientKey struct{}

// WithSameClient returns ctx with the client of another context, if that has one.
func WithSameClient(ctx, of context.Context) context.Context {
	if c, ok := of.Value(clientKey{}).(Client); ok {
		return context.WithValue(ctx, clientKey{}, c)
	}
	return ctx
}

// WithClient returns the request with its client in the context.
func WithClient(r *http.Request) *http.Request {
	c := Client{UserAgent: r.UserAgent(), IP: r.RemoteAddr}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.IP = host
	}
	for _, header := range headersName {
		if given := r.Header[header]; c.Name == "" && len(given) > 0 {
			c.Name = clientName(given[0])
		}
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
