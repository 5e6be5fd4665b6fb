package mtls

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
)

// stranger is a server of others: its own TLS, and clients of whom it wants a
// certificate of an authority.
type stranger struct {
	url string
	// callers counts requests by the serial of the certificate that they came with.
	callers     sync.Map
	connections atomic.Int64
}

// newStranger serves with the certificate of service of one authority.
func newStranger(t *testing.T, f Files, change func(*httptest.Server)) *stranger {
	t.Helper()
	s := &stranger{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			counter, _ := s.callers.LoadOrStore(r.TLS.PeerCertificates[0].SerialNumber.Text(16), new(atomic.Int64))
			counter.(*atomic.Int64).Add(1)
		}
		_, _ = w.Write([]byte("hello over " + r.Proto))
	}))
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(must(os.ReadFile(f.CA))(t))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{must(tls.LoadX509KeyPair(f.Cert, f.Key))(t)},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS12,
	}
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	if change != nil {
		change(server)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *stranger) calls(serial string) int64 {
	if counter, ok := s.callers.Load(serial); ok {
		return counter.(*atomic.Int64).Load()
	}
	return 0
}

// hosts is the way to strangers with a certificate of files.
func hosts(t *testing.T, f Files, log *journal, protocols ...string) *Hosts {
	t.Helper()
	f.ByHost = true
	way := credentials(t, f, log).Hosts(func() *http.Transport { return &http.Transport{ForceAttemptHTTP2: true} }, protocols...)
	t.Cleanup(way.CloseIdleConnections)
	return way
}

func TestStrangersAreCalledOverHTTP2(t *testing.T) {
	t.Parallel()
	a := authority(t, nil)
	issue(t, a, "shop")
	issue(t, a, "gateway")
	s := newStranger(t, files(a, "shop"), nil)
	var log journal
	way := hosts(t, files(a, "gateway"), &log)
	if text, err := get(t, way, s.url); err != nil || text != "hello over HTTP/2.0" {
		t.Fatalf("got %q, %v", text, err)
	}
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if text, err := get(t, way, s.url); err != nil || text != "hello over HTTP/2.0" {
				t.Errorf("got %q, %v", text, err)
			}
		})
	}
	callers.Wait()
	first := must(way.credentials.inForce().pair.Leaf, error(nil))(t).SerialNumber.Text(16)
	if n := s.connections.Load(); n != 1 || s.calls(first) != 51 {
		t.Errorf("%d requests over %d connections", s.calls(first), n)
	}

	// A new certificate is shown from the next request on.
	issue(t, a, "gateway")
	await(t, "the new certificate is shown", func() bool {
		if _, err := get(t, way, s.url); err != nil {
			t.Fatal(err)
		}
		now := way.credentials.inForce().pair.Leaf.SerialNumber.Text(16)
		return now != first && s.calls(now) > 0
	})
	if n := s.connections.Load(); n != 2 {
		t.Errorf("%d connections for two certificates", n)
	}
	// WebSockets are opened over HTTP/1.1.
	if text, err := get(t, hosts(t, files(a, "gateway"), &log, "http/1.1"), s.url); err != nil || text != "hello over HTTP/1.1" {
		t.Errorf("got %q, %v", text, err)
	}
}

// Without files of its own a process is nobody in particular, and believes a bundle
// or the system.
func TestStrangersWithoutCertificatesOfOurs(t *testing.T) {
	t.Parallel()
	a := authority(t, nil)
	issue(t, a, "shop")
	open := newStranger(t, files(a, "shop"), func(s *httptest.Server) { s.TLS.ClientAuth = tls.NoClientCert })
	var log journal
	way := hosts(t, Files{CA: a.path(bundleFile)}, &log)
	if text, err := get(t, way, open.url); err != nil || text != "hello over HTTP/2.0" {
		t.Errorf("got %q, %v", text, err)
	}
	if at := way.credentials.Expires(); !at.IsZero() {
		t.Errorf("nothing expires at %s", at)
	}
	_, err := get(t, hosts(t, Files{}, &log), open.url)
	wantRefusal(t, err, ReasonAuthority)
	_, err = get(t, way, newStranger(t, files(a, "shop"), nil).url)
	wantRefusal(t, err, ReasonRefused)

	// The bundle is followed too: who has moved to another authority is believed again.
	other := authority(t, nil)
	issue(t, other, "shop")
	moved := newStranger(t, files(other, "shop"), func(s *httptest.Server) { s.TLS.ClientAuth = tls.NoClientCert })
	_, err = get(t, way, moved.url)
	wantRefusal(t, err, ReasonAuthority)
	mustDo(t, replaceFile(a.path(bundleFile), must(os.ReadFile(other.path(bundleFile)))(t), 0o644))
	await(t, "the new bundle counts", func() bool {
		_, err := get(t, way, moved.url)
		return err == nil
	})
	if lines := log.lines("new authorities in force"); len(lines) != 1 {
		t.Errorf("logged %q", lines)
	}
}

// Whose certificate is wrong is told, whichever side refuses.
func TestStrangersRefusals(t *testing.T) {
	t.Parallel()
	a, foreign := authority(t, nil), authority(t, nil)
	for _, service := range []string{"shop", "gateway"} {
		issue(t, a, service)
		issue(t, foreign, service)
	}
	mixed := func(own, bundle *Authority) Files {
		return Files{Cert: own.path("gateway.crt"), Key: own.path("gateway.key"), CA: bundle.path(bundleFile)}
	}
	for name, c := range map[string]struct {
		ours Files
		host string
		tls  uint16
		want Reason
	}{
		"theirs is of another authority": {mixed(a, foreign), "127.0.0.1", tls.VersionTLS13, ReasonAuthority},
		"theirs is of another host":      {mixed(a, a), "127.0.0.2", tls.VersionTLS13, ReasonIdentity},
		"ours is of another authority":   {mixed(foreign, a), "127.0.0.1", tls.VersionTLS13, ReasonRefused},
		"ours, with an older TLS":        {mixed(foreign, a), "127.0.0.1", tls.VersionTLS12, ReasonRefused},
		"we have none":                   {Files{CA: a.path(bundleFile)}, "127.0.0.1", tls.VersionTLS13, ReasonRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStranger(t, files(a, "shop"), func(server *httptest.Server) {
				server.TLS.MaxVersion = c.tls
				listener, err := net.Listen("tcp", "0.0.0.0:0")
				if err != nil {
					t.Fatal(err)
				}
				_ = server.Listener.Close()
				server.Listener = listener
			})
			_, port, err := net.SplitHostPort(strings.TrimPrefix(s.url, "https://"))
			if err != nil {
				t.Fatal(err)
			}
			var log journal
			for _, protocols := range [][]string{nil, {"http/1.1"}} {
				_, err = get(t, hosts(t, c.ours, &log, protocols...), "https://"+net.JoinHostPort(c.host, port))
				wantRefusal(t, err, c.want)
			}
		})
	}
}

// A file that cannot be used stops the start, and later changes nothing.
func TestFilesForStrangers(t *testing.T) {
	t.Parallel()
	a := authority(t, nil)
	issue(t, a, "gateway")
	good := files(a, "gateway")
	nonsense := filepath.Join(t.TempDir(), "nonsense.pem")
	mustDo(t, os.WriteFile(nonsense, []byte("nonsense"), 0o600))
	for _, f := range []Files{
		{Cert: nonsense, Key: good.Key}, {Cert: good.Cert, Key: nonsense}, {CA: nonsense}, {CA: nonsense + ".none"},
	} {
		f.ByHost = true
		if _, err := Load(Options{Files: f}); err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("%+v: %v", f, err)
		}
	}
	var log journal
	way := hosts(t, good, &log)
	mustDo(t, replaceFile(good.Cert, []byte("nonsense"), 0o644))
	await(t, "the refusal is logged", func() bool {
		way.credentials.inForce()
		return len(log.lines("the old one stays in force")) == 1
	})
	if way.credentials.Expires().IsZero() {
		t.Error("the old certificate is gone")
	}
}
