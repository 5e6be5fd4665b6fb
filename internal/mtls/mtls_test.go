package mtls

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// journal is a log that tests read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) lines(part string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []string
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// await polls until the condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within 20 s", what)
		case <-tick.C:
		}
	}
}

func authority(t *testing.T, clock func() time.Time) *Authority {
	t.Helper()
	a, err := OpenAuthority(t.TempDir(), clock)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *Authority, service string) {
	t.Helper()
	if _, _, err := a.Issue(Leaf{Service: service, Life: time.Hour, Anew: true}); err != nil {
		t.Fatal(err)
	}
}

func files(a *Authority, service string) Files {
	return Files{Cert: a.path(service + ".crt"), Key: a.path(service + ".key"), CA: a.path(bundleFile)}
}

func credentials(t *testing.T, f Files, log *journal) *Credentials {
	t.Helper()
	c, err := Load(Options{Files: f, Interval: 10 * time.Millisecond, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve answers "hello" over HTTPS on loopback and returns the URL.
func serve(t *testing.T, c *Credentials, config *tls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:     c.Renew(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello over ", r.Proto) })),
		TLSConfig:   config,
		ConnContext: c.ConnContext,
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
	}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return "https://" + listener.Addr().String()
}

func get(t *testing.T, transport http.RoundTripper, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestServicesSpeakOverHTTP2(t *testing.T) {
	t.Parallel()
	a := authority(t, nil)
	issue(t, a, "router")
	issue(t, a, "user")
	var log journal
	user, router := credentials(t, files(a, "user"), &log), credentials(t, files(a, "router"), &log)
	url := serve(t, user, must(user.Server("router"))(t))
	transport := must(router.Transport("user"))(t)
	text, err := get(t, transport, url)
	if err != nil || text != "hello over HTTP/2.0" {
		t.Fatalf("got %q, %v", text, err)
	}
	// Nothing older than TLS 1.3 is spoken, whatever the client offers.
	old := must(router.Client("user"))(t)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.2 is spoken")
	}
}

func TestPeersAreRefused(t *testing.T) {
	t.Parallel()
	past := func() time.Time { return time.Now().Add(-2 * time.Hour) }
	future := func() time.Time { return time.Now().Add(2 * time.Hour) }
	home := authority(t, past) // its certificates of one hour have expired
	foreign := authority(t, nil)
	// Each case is a folder with a certificate that the home authority's bundle,
	// put in its place, does not make good.
	folder := func(service string, clock func() time.Time, from *Authority) Files {
		from.clock = clock
		from.dir = home.dir
		dir := t.TempDir()
		signing := &Authority{dir: dir, clock: clock, bundle: from.bundle, key: from.key}
		issue(t, signing, service)
		return Files{Cert: filepath.Join(dir, service+".crt"), Key: filepath.Join(dir, service+".key"), CA: home.path(bundleFile)}
	}
	good := func(service string) Files { return folder(service, time.Now, home) }
	for _, c := range []struct {
		name   string
		files  func(service string) Files
		clock  func() time.Time // at which the bad side finds its own certificate in order
		want   Reason
		client bool // also as the client
	}{
		{"expired", func(s string) Files { return folder(s, past, home) }, past, ReasonExpired, true},
		{"not yet valid", func(s string) Files { return folder(s, future, home) }, future, ReasonNotYetValid, true},
		{"foreign authority", func(s string) Files { return folder(s, time.Now, foreign) }, time.Now, ReasonAuthority, true},
		{"another service", func(string) Files { return good("session") }, time.Now, ReasonIdentity, true},
	} {
		files := c.files("user")
		caller := c.files("router")
		goodUser, goodRouter := good("user"), good("router")
		t.Run(c.name+" server", func(t *testing.T) {
			t.Parallel()
			var serverLog, clientLog journal
			bad := must(Load(Options{Files: files, Clock: c.clock, Logger: serverLog.logger()}))(t)
			url := serve(t, bad, must(bad.Server("router"))(t))
			router := credentials(t, goodRouter, &clientLog)
			_, err := get(t, must(router.Transport("user"))(t), url)
			wantRefusal(t, err, c.want)
			if lines := clientLog.lines("service refused"); len(lines) != 1 || !strings.Contains(lines[0], string(c.want)) {
				t.Errorf("client logged %q", lines)
			}
		})
		t.Run(c.name+" client", func(t *testing.T) {
			t.Parallel()
			var serverLog, clientLog journal
			user := credentials(t, goodUser, &serverLog)
			url := serve(t, user, must(user.Server("router"))(t))
			bad := must(Load(Options{Files: caller, Clock: c.clock, Logger: clientLog.logger()}))(t)
			// Its clock is its own; the server's certificate is in order for it.
			bad.options.Clock = time.Now
			_, err := get(t, must(bad.Transport("user"))(t), url)
			wantRefusal(t, err, ReasonRefused)
			if lines := serverLog.lines("caller refused"); len(lines) != 1 || !strings.Contains(lines[0], string(c.want)) {
				t.Errorf("server logged %q", lines)
			}
			if lines := clientLog.lines("refused by a service"); len(lines) != 1 || !strings.Contains(lines[0], "spiffe://tradesage/user") {
				t.Errorf("client logged %q", lines)
			}
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		t.Parallel()
		var serverLog journal
		user := credentials(t, good("user"), &serverLog)
		url := serve(t, user, must(user.Server("router"))(t))
		bare := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}
		t.Cleanup(bare.CloseIdleConnections)
		if _, err := get(t, bare, url); !remote(err) {
			t.Errorf("got %v", err)
		}
		if lines := serverLog.lines("caller refused"); len(lines) != 1 || !strings.Contains(lines[0], string(ReasonMissing)) {
			t.Errorf("server logged %q", lines)
		}
	})
}

func wantRefusal(t *testing.T, err error, want Reason) {
	t.Helper()
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Reason != want || refusal.Peer == "" {
		t.Fatalf("got %#v (%v), want %q", refusal, err, want)
	}
}

func TestRotationUnderLoadDropsNothing(t *testing.T) {
	t.Parallel()
	a := authority(t, nil)
	issue(t, a, "router")
	issue(t, a, "user")
	var log journal
	user, router := credentials(t, files(a, "user"), &log), credentials(t, files(a, "router"), &log)
	url := serve(t, user, must(user.Server("router"))(t))
	transport := must(router.Transport("user"))(t)
	t.Cleanup(transport.CloseIdleConnections)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	var answered atomic.Int64
	failures := make(chan error, 8)
	for range 8 {
		workers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				text, err := get(t, transport, url)
				if err != nil || text != "hello over HTTP/2.0" {
					failures <- fmt.Errorf("%q: %w", text, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	// Leaves, then the authority with a bundle of both, leaves of it, and at last
	// the old authority is forgotten: all while requests run.
	applied := func(what string, change func() error) {
		t.Helper()
		before := [2]*material{user.current.Load(), router.current.Load()}
		if err := change(); err != nil {
			t.Error(what, err)
		}
		await(t, what, func() bool {
			return user.current.Load().generation > before[0].generation && router.current.Load().generation > before[1].generation
		})
		done := answered.Load()
		await(t, what+": requests go on", func() bool { return answered.Load() > done+50 || len(failures) > 0 })
	}
	leaves := func() error {
		_, _, err := a.Issue(Leaf{Service: "user", Life: time.Hour, Anew: true})
		_, _, err2 := a.Issue(Leaf{Service: "router", Life: time.Hour, Anew: true})
		return errors.Join(err, err2)
	}
	// The server's side of a kept connection looks at no file: Run does.
	runs := sync.WaitGroup{}
	runs.Go(func() { _ = user.Run(t.Context()) })
	for range 5 {
		applied("new leaves", leaves)
	}
	old := user.current.Load().pair.Leaf
	applied("new authority", a.Replace)
	applied("leaves of the new authority", leaves)
	applied("old authority forgotten", a.Forget)
	close(stop)
	workers.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	t.Logf("%d requests, %d times new certificates", answered.Load(), user.current.Load().generation)
	if err := inspect(chain(old), user.current.Load().roots, 2, time.Now(), []string{"user"}); err == nil {
		t.Error("a forgotten authority's certificate is still good")
	}
	if lines := log.lines("refused"); len(lines) > 0 {
		t.Errorf("logged %q", lines)
	}
}

func TestUnusableFilesChangeNothing(t *testing.T) {
	t.Parallel()
	a := authority(t, nil)
	issue(t, a, "user")
	issue(t, a, "router")
	other := authority(t, nil)
	issue(t, other, "user")
	now := time.Now()
	var log journal
	c := must(Load(Options{Files: files(a, "user"), Clock: func() time.Time { return now }, Logger: log.logger()}))(t)
	serialBefore := c.current.Load().pair.Leaf.SerialNumber
	expired := authority(t, func() time.Time { return now.Add(-2 * time.Hour) })
	issue(t, expired, "user")
	read := func(name string) []byte { return must(os.ReadFile(name))(t) }
	whole := read(a.path("user.crt"))
	for name, text := range map[string][]byte{
		"half a file":        whole[:len(whole)/2],
		"nothing":            {},
		"another's":          read(other.path("user.crt")),
		"expired":            read(expired.path("user.crt")),
		"of an absent file":  nil,
		"an authority's own": read(a.path(bundleFile)),
	} {
		log.mu.Lock()
		log.text.Reset()
		log.mu.Unlock()
		if err := os.Remove(a.path("user.crt")); err != nil {
			t.Fatal(err)
		}
		if text != nil {
			if err := os.WriteFile(a.path("user.crt"), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			c.check(now)
		}
		if got := c.current.Load().pair.Leaf.SerialNumber; got.Cmp(serialBefore) != 0 {
			t.Errorf("%s: the certificate changed", name)
		}
		if lines := log.lines("cannot be used"); len(lines) != 1 || !strings.Contains(lines[0], "user.crt") {
			t.Errorf("%s: logged %q", name, lines)
		}
		if err := os.WriteFile(a.path("user.crt"), whole, 0o600); err != nil {
			t.Fatal(err)
		}
		c.check(now)
	}
	// At the start there is no old one to keep.
	for name, files := range map[string]Files{
		"of another's key": {Cert: a.path("user.crt"), Key: a.path("router.key"), CA: a.path(bundleFile)},
		"expired":          files(expired, "user"),
		"absent":           {Cert: a.path("no.crt"), Key: a.path("user.key")},
		"no bundle in it":  {Cert: a.path("user.crt"), Key: a.path("user.key"), CA: a.path("user.key")},
	} {
		if _, err := Load(Options{Files: files}); err == nil || !strings.Contains(err.Error(), a.dir) && !strings.Contains(err.Error(), expired.dir) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	public := must(Load(Options{Files: Files{Cert: a.path("user.crt"), Key: a.path("user.key")}}))(t)
	if _, err := public.Server("router"); err == nil {
		t.Error("without a bundle any caller would do")
	}
	if _, err := public.Client("router"); err == nil {
		t.Error("without a bundle any server would do")
	}
}
