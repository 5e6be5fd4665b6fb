package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

func chain(leaf *x509.Certificate) []*x509.Certificate { return []*x509.Certificate{leaf} }

func TestAuthorityIsIdempotent(t *testing.T) {
	t.Parallel()
	now := time.Now()
	clock := func() time.Time { return now }
	a := authority(t, clock)
	leaf := Leaf{Service: "user", Life: 9 * time.Hour}
	expires, made, err := a.Issue(leaf)
	if err != nil || !made || !expires.Equal(now.Add(leaf.Life)) {
		t.Fatalf("got %s, %v, %v", expires, made, err)
	}
	for name, mode := range map[string]os.FileMode{"ca.key": 0o600, "user.key": 0o600, "ca.crt": 0o644, "user.crt": 0o644} {
		info, err := os.Stat(a.path(name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	// A second run, in another process, finds all there.
	again := must(OpenAuthority(a.dir, clock))(t)
	if _, made, err = again.Issue(leaf); err != nil || made {
		t.Errorf("second time: made %v, %v", made, err)
	}
	for name, spoil := range map[string]func(){
		"less than a third of its life left": func() { now = now.Add(7 * time.Hour) },
		"another's key":                      func() { mustDo(t, os.WriteFile(a.path("user.key"), []byte("nonsense"), 0o600)) },
		"lost":                               func() { mustDo(t, os.Remove(a.path("user.crt"))) },
	} {
		spoil()
		if _, made, err = again.Issue(leaf); err != nil || !made {
			t.Errorf("%s: made %v, %v", name, made, err)
		}
	}
	mustDo(t, again.Replace())
	if _, made, err = again.Issue(leaf); err != nil || made {
		t.Errorf("the old authority is still in the bundle: made %v, %v", made, err)
	}
	mustDo(t, again.Forget())
	if _, made, err = again.Issue(leaf); err != nil || !made {
		t.Errorf("of a forgotten authority: made %v, %v", made, err)
	}
	for _, bad := range []Leaf{{Service: "User", Life: time.Hour}, {Service: "../x", Life: time.Hour}, {Service: "ca", Life: time.Hour}, {Service: "user"}} {
		if _, _, err := again.Issue(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	mustDo(t, os.Remove(a.path("ca.key")))
	if _, err := OpenAuthority(a.dir, clock); err == nil || !strings.Contains(err.Error(), "ca.key") {
		t.Errorf("a bundle without its key: %v", err)
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSPIFFEIDs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"spiffe://tradesage/user":         "user",
		"spiffe://tradesage/user-2":       "user-2",
		"spiffe://tradesage/":             "",
		"spiffe://tradesage":              "",
		"spiffe://tradesage/user/":        "",
		"spiffe://tradesage/a/user":       "",
		"spiffe://tradesage/%75ser":       "",
		"spiffe://tradesage/user?x=1":     "",
		"spiffe://tradesage/user#x":       "",
		"spiffe://tradesage:1/user":       "",
		"spiffe://me@tradesage/user":      "",
		"spiffe://tradesage.test/user":    "",
		"https://tradesage/user":          "",
		"spiffe://TRADESAGE/user":         "",
		"spiffe://tradesage/User":         "",
		"spiffe:tradesage/user":           "",
		"spiffe://tradesage/user\x00tail": "",
	} {
		uri, err := url.Parse(text)
		if err != nil {
			continue // no certificate can hold it
		}
		got, err := serviceOf(&x509.Certificate{URIs: []*url.URL{uri}})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for name, leaf := range map[string]*x509.Certificate{
		"none":      {},
		"two":       {URIs: []*url.URL{id("user"), id("router")}},
		"authority": {IsCA: true, URIs: []*url.URL{id("user")}},
	} {
		if got, err := serviceOf(leaf); err == nil {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestPublicListener(t *testing.T) {
	t.Parallel()
	a := authority(t, nil)
	issue(t, a, "router")
	var log journal
	f := files(a, "router")
	f.CA = ""
	c := credentials(t, f, &log)
	url := serve(t, c, c.Public())
	// Browsers check names against their own authorities.
	roots := x509.NewCertPool()
	roots.AddCert(a.bundle[0])
	browser := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(browser.CloseIdleConnections)
	if text, err := get(t, browser, url); err != nil || text != "hello over HTTP/2.0" {
		t.Fatalf("got %q, %v", text, err)
	}
	issue(t, a, "router")
	fresh := must(os.ReadFile(f.Cert))(t)
	await(t, "the new certificate is served", func() bool {
		browser.CloseIdleConnections()
		conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), browser.TLSClientConfig.Clone())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		all, err := parseCertificates(fresh)
		return err == nil && conn.ConnectionState().PeerCertificates[0].Equal(all[0])
	})
}
