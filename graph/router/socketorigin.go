package router

import (
	"context"
	"crypto/tls"
	"net/http"

	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// origin is what of the request that opened a socket counts for later tokens, which
// are verified as if they came with it. The whole request is much more.
type origin struct {
	host, remote string
	tls          *tls.ConnectionState
}

func originOf(req *http.Request) origin { return origin{req.Host, req.RemoteAddr, req.TLS} }

// request is one that brings a token.
func (o origin) request(ctx context.Context, header string) *http.Request {
	req := &http.Request{
		Method: http.MethodGet, Host: o.host, RemoteAddr: o.remote, TLS: o.tls,
		Header: http.Header{"Authorization": {header}}, Body: http.NoBody,
	}
	return req.WithContext(ctx)
}

// outliving is a context that never ends, with what is known of ctx's request.
func outliving(ctx context.Context) context.Context {
	return identity.WithSameClient(telemetry.Outliving(ctx), ctx)
}
