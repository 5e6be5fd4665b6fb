package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
)

// protocols that a handshake may agree on.
var protocols = []string{"h2", "http/1.1"}

// Server returns the configuration of a listener that only the allowed services
// may call: TLS 1.3, and a certificate of ours that names one of them. Who is
// refused gets an alert, and the log one line that says why.
func (c *Credentials) Server(allowed ...string) (*tls.Config, error) {
	if c.options.Files.CA == "" {
		return nil, errNoBundle
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: protocols,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			now := c.inForce()
			return &tls.Config{
				MinVersion:   tls.VersionTLS13,
				NextProtos:   protocols,
				Certificates: []tls.Certificate{now.pair},
				// Whatever comes, or nothing, is judged below.
				ClientAuth:             tls.RequestClientCert,
				SessionTicketsDisabled: true,
				VerifyConnection: func(s tls.ConnectionState) error {
					err := inspect(s.PeerCertificates, now.roots, x509.ExtKeyUsageClientAuth, c.options.Clock(), allowed)
					if err != nil {
						c.options.Logger.WarnContext(hello.Context(), "caller refused", "from", hello.Conn.RemoteAddr().String(), "error", err)
					}
					return err
				},
			}, nil
		},
	}, nil
}

// Public returns the configuration of a listener that everybody may call with
// TLS 1.3.
func (c *Credentials) Public() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.inForce().pair, nil
		},
	}
}

type generationKey struct{}

// ConnContext is for http.Server: it notes under which certificates a connection
// began, for Renew.
func (c *Credentials) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, generationKey{}, c.current.Load().generation)
}

// Renew lets connections end in good order when they were made under
// certificates that are no longer in force, on either side: the request is
// answered, and the client connects anew for the next.
func (c *Credentials) Renew(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, noted := r.Context().Value(generationKey{}).(uint64)
		old := noted && began != c.current.Load().generation
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			old = old || c.options.Clock().After(r.TLS.PeerCertificates[0].NotAfter)
		}
		if old {
			w.Header().Set("Connection", "close") // over HTTP/2, GOAWAY
		}
		next.ServeHTTP(w, r)
	})
}
