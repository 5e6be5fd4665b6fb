package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Subgraphs of others that want to know who calls are shown a certificate, over
// HTTP/2, and one that is renewed without a start of the process; whose certificate
// is wrong is told in the log and counted.
func TestForeignSubgraphsWithCertificatesOnBothSides(t *testing.T) {
	t.Parallel()
	dir, wrong := filepath.Join(t.TempDir(), "certs"), filepath.Join(t.TempDir(), "wrong")
	certs(t, dir)
	certs(t, wrong)
	authorities, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(authorities)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "user.crt"), filepath.Join(dir, "user.key"))
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int64
	var mu sync.Mutex
	seen := map[string]int{}
	d := startDesk(t, func(server *httptest.Server) {
		server.EnableHTTP2 = true
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS13}
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		inner := server.Config.Handler
		server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[r.Proto+" "+r.TLS.PeerCertificates[0].SerialNumber.String()]++
			mu.Unlock()
			inner.ServeHTTP(w, r)
		})
		server.StartTLS()
	})
	file := filepath.Join(t.TempDir(), "supergraph.json")
	writeFile(t, file, deskSupergraph(t))
	environment := map[string]string{
		"TRADESAGE_SUPERGRAPH": file, "TRADESAGE_SUBGRAPH_URLS": d.urls, "TRADESAGE_PUBLIC_ONLY": "true",
		"TRADESAGE_LOG_FORMAT": "text", "TRADESAGE_DRAIN_DELAY": "0s", "TRADESAGE_RATE_IP": "off",
		"TRADESAGE_SUBGRAPH_CA":   filepath.Join(dir, "ca.crt"),
		"TRADESAGE_SUBGRAPH_CERT": filepath.Join(dir, "router.crt"), "TRADESAGE_SUBGRAPH_KEY": filepath.Join(dir, "router.key"),
	}
	p := serveWith(t, environment)
	p.awaitText(t, func(text string) bool { return strings.Contains(text, "msg=serving") })
	for range 20 {
		if answer := p.ask(t, "", deskQuery, nil); !clean(answer) {
			t.Fatalf("%+v\n%s", answer, p.text())
		}
	}
	first := certificate(t, filepath.Join(dir, "router.crt")).SerialNumber.String()
	mu.Lock()
	if diff := cmp.Diff(1, len(seen)); diff != "" || seen["HTTP/2.0 "+first] < 40 {
		t.Errorf("requests by protocol and certificate: %v", seen)
	}
	mu.Unlock()
	if n := connections.Load(); n != 2 { // of the two subgraphs that the query is about
		t.Errorf("%d connections to two subgraphs", n)
	}
	certs(t, dir, "--service", "router", "--renew")
	p.awaitText(t, func(text string) bool { return strings.Contains(text, "new certificate in force") })
	second := certificate(t, filepath.Join(dir, "router.crt")).SerialNumber.String()
	if answer := p.ask(t, "", deskQuery, nil); !clean(answer) {
		t.Errorf("%+v\n%s", answer, p.text())
	}
	mu.Lock()
	if seen["HTTP/2.0 "+second] < 2 {
		t.Errorf("requests by protocol and certificate: %v", seen)
	}
	mu.Unlock()
	if _, text := p.get(t, p.ops+"/metrics"); !strings.Contains(text, `tradesage_certificate_expiry_timestamp_seconds{certificate="subgraphs"}`) {
		t.Error("nobody is told when the certificate ends")
	}
	p.interrupt(t)

	for name, c := range map[string]struct {
		changes map[string]string
		said    string
	}{
		"theirs is not believed": {map[string]string{"TRADESAGE_SUBGRAPH_CA": filepath.Join(wrong, "ca.crt")}, "certificate of another authority"},
		"ours is not believed": {map[string]string{
			"TRADESAGE_SUBGRAPH_CERT": filepath.Join(wrong, "router.crt"), "TRADESAGE_SUBGRAPH_KEY": filepath.Join(wrong, "router.key"),
		}, "the peer refused our certificate"},
		"we show none": {map[string]string{"TRADESAGE_SUBGRAPH_CERT": "", "TRADESAGE_SUBGRAPH_KEY": ""}, "the peer refused our certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := map[string]string{}
			for k, v := range environment {
				changed[k] = v
			}
			for k, v := range c.changes {
				changed[k] = v
			}
			p := serveWith(t, changed)
			p.awaitText(t, func(text string) bool { return strings.Contains(text, "msg=serving") })
			if answer := p.ask(t, "", deskQuery, nil); answer.code() != "UNAVAILABLE" {
				t.Errorf("%+v", answer)
			}
			p.awaitText(t, func(text string) bool {
				return strings.Contains(text, "subgraph does not answer") && strings.Contains(text, c.said+" (127.0.0.1)")
			})
			if _, text := p.get(t, p.ops+"/metrics"); !strings.Contains(text, `tradesage_subgraph_certificate_refusals_total{reason="`+c.said+`",subgraph="books"}`) {
				t.Error("the refusal is not counted")
			}
			p.interrupt(t)
		})
	}
}
