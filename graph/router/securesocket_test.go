package router_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/upstream"
	"github.com/tradesage/tradesage/internal/mtls"
)

// Sockets to a subgraph that speaks HTTP/2 and wants to know who calls are opened over
// HTTP/1.1, with a certificate; one that is refused is told in UNAVAILABLE and counted.
func TestSubgraphsSocketsWithCertificates(t *testing.T) {
	t.Parallel()
	dir, foreign := t.TempDir(), t.TempDir()
	for _, at := range []string{dir, foreign} {
		authority, err := mtls.OpenAuthority(at, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, service := range []string{"users", "gateway"} {
			if _, _, err := authority.Issue(mtls.Leaf{Service: service, Life: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
	}
	in := filepath.Join
	pair, err := tls.LoadX509KeyPair(in(dir, "users.crt"), in(dir, "users.key"))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(in(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(bundle)
	s := startSocketed(t, func(server *httptest.Server) {
		server.EnableHTTP2 = true
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS13}
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
		server.StartTLS()
	})
	live := func(of string) (*liveShop, *prometheus.Registry) {
		certificates, err := mtls.Load(mtls.Options{
			Files:  mtls.Files{Cert: in(of, "gateway.crt"), Key: in(of, "gateway.key"), CA: in(dir, "ca.crt"), ByHost: true},
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		calls, sockets := certificates.Hosts(upstream.Pool{}.Transport), certificates.Hosts(upstream.Pool{}.Transport, "http/1.1")
		t.Cleanup(calls.CloseIdleConnections)
		t.Cleanup(sockets.CloseIdleConnections)
		registry := prometheus.NewRegistry()
		return newLiveShop(t, func(shop *shop) {
			delete(shop.options.Local, "users")
			shop.options.Remote = map[string]router.Remote{"users": {URL: s.url, Sockets: true, Transport: calls, SocketTransport: sockets}}
			shop.options.Metrics = registry
		}), registry
	}
	l, _ := live(dir)
	token, _ := l.token(t, nil, time.Hour)
	w := l.dial(t, token)
	w.subscribe("s", renamed)
	u := s.await(t)
	u.begin(token)
	u.next("one")
	w.want(named("one"))

	l, registry := live(foreign)
	w = l.dial(t, "")
	w.subscribe("s", renamed)
	if m := w.receive(); m.Type != "error" || !strings.Contains(string(m.Payload), `"UNAVAILABLE"`) {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
	if n := metric(t, registry, "tradesage_subgraph_certificate_refusals_total", string(mtls.ReasonRefused)+" users"); n != 1 {
		t.Errorf("%v refusals are counted", n)
	}
	if got := query(l.router, `{ me { id } }`, ""); got.status != http.StatusOK || !strings.Contains(got.body, `"UNAVAILABLE"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}
