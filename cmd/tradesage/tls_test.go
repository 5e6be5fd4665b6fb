package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tradesage/tradesage/internal/dbtest"
)

// certs runs the command and returns what it printed.
func certs(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"certs", "--dir", dir}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("certs: %v\n%s", err, out)
	}
	return string(out)
}

func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCertsCommand(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	if out := certs(t, dir, "--host", "api.example.test"); strings.Count(out, "made") != 5 {
		t.Errorf("first time:\n%s", out)
	}
	for _, service := range []string{"router", "auth", "tenant", "user", "session"} {
		c := certificate(t, filepath.Join(dir, service+".crt"))
		if len(c.URIs) != 1 || c.URIs[0].String() != "spiffe://tradesage/"+service || c.VerifyHostname("api.example.test") != nil {
			t.Errorf("%s: %v %v", service, c.URIs, c.DNSNames)
		}
		if left := time.Until(c.NotAfter); left < 167*time.Hour || left > 168*time.Hour {
			t.Errorf("%s: valid for %s", service, left)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || info.Mode() != 0o600 {
		t.Errorf("authority's key: %v %v", info.Mode(), err)
	}
	if out := certs(t, dir); strings.Count(out, "kept") != 5 {
		t.Errorf("second time:\n%s", out)
	}
	if out := certs(t, dir, "--renew", "--service", "user", "--life", "2h"); strings.Count(out, "made") != 1 || strings.Contains(out, "router") {
		t.Errorf("renewal of one:\n%s", out)
	}
	out, err := exec.CommandContext(t.Context(), binary(t), "certs", "--dir", dir, "--life", "1s").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "life") {
		t.Errorf("a life of a second: %v %s", err, out)
	}
}

func TestPublicListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	certs(t, dir, "--service", "router")
	environment := settings(dbtest.New(t))
	environment["TRADESAGE_TLS_CERT"] = filepath.Join(dir, "router.crt")
	environment["TRADESAGE_TLS_KEY"] = filepath.Join(dir, "router.key")
	p := serveWith(t, environment)
	p.awaitText(t, func(s string) bool { return strings.Contains(s, "msg=serving") })

	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, filepath.Join(dir, "ca.crt")))
	browser := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(browser.CloseIdleConnections)
	resp, err := browser.Get(p.url + "/healthz")
	if err != nil {
		t.Fatalf("%v\n%s", err, p.text())
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(text), "live") {
		t.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
	if resp.ProtoMajor != 2 || resp.TLS.Version != tls.VersionTLS13 {
		t.Errorf("over %s and TLS %x", resp.Proto, resp.TLS.Version)
	}
	if hsts := resp.Header.Get("Strict-Transport-Security"); hsts != "max-age=31536000" {
		t.Errorf("HSTS %q", hsts)
	}
	address := strings.TrimPrefix(p.url, "https://")
	if conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12}); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.2 is spoken")
	}
	if status, _ := p.get(t, "http://"+address+"/healthz"); status != http.StatusBadRequest {
		t.Errorf("plain HTTP: %d", status)
	}

	// A renewed certificate is served without a restart, and metrics tell when it ends.
	certs(t, dir, "--service", "router", "--renew", "--life", "1h")
	renewed := certificate(t, filepath.Join(dir, "router.crt"))
	p.awaitText(t, func(s string) bool { return strings.Contains(s, "new certificate in force") })
	resp, err = browser.Get(p.url + "/healthz") // ends the old connection
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	resp, err = browser.Get(p.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if !resp.TLS.PeerCertificates[0].Equal(renewed) {
		t.Error("the old certificate is still served")
	}
	_, metrics := p.get(t, p.ops+"/metrics")
	found := regexp.MustCompile(`(?m)^tradesage_certificate_expiry_timestamp_seconds\{certificate="public"\} (\S+)$`).FindStringSubmatch(metrics)
	if len(found) != 2 {
		t.Fatalf("no metric in:\n%s", metrics)
	}
	if seconds, err := strconv.ParseFloat(found[1], 64); err != nil || int64(seconds) != renewed.NotAfter.Unix() {
		t.Errorf("metric %s (%v), want %d", found[1], err, renewed.NotAfter.Unix())
	}
}

func TestServeRefusesHalfACertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certs(t, dir, "--service", "router", "--service", "user")
	crt, key := filepath.Join(dir, "router.crt"), filepath.Join(dir, "router.key")
	for name, c := range map[string]struct{ cert, key, want string }{
		"no key":         {crt, "", "TRADESAGE_TLS_KEY"},
		"no certificate": {"", key, "TRADESAGE_TLS_CERT"},
		"absent":         {filepath.Join(dir, "no.crt"), key, "no.crt"},
		"another's key":  {crt, filepath.Join(dir, "user.key"), "user.key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environment := settings(dbtest.New(t))
			environment["TRADESAGE_TLS_CERT"], environment["TRADESAGE_TLS_KEY"] = c.cert, c.key
			p := serveWith(t, environment)
			if err := <-p.ended; err == nil || !strings.Contains(p.text(), c.want) {
				t.Errorf("%v, want %s named in:\n%s", err, c.want, p.text())
			}
		})
	}
}
