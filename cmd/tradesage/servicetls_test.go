package main_test

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Certificates are renewed, and their authority is replaced, while requests run:
// not one of them fails, and the processes are not started again.
func TestServiceCertificatesRotateUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStack(t, true, 1)
	p := s.system(t)
	token, _ := p.signIn(t, "owner@acme.test")
	l := load(t, p, token, meQuery)
	began := time.Now()
	first := certificate(t, filepath.Join(s.certs, "user.crt"))
	// As the runbook says: each step when all have taken up the one before.
	for i, step := range []string{"--renew", "--new-authority", "--renew", "--forget-authorities"} {
		certs(t, s.certs, step)
		for _, service := range p.parts {
			service.awaitText(t, func(text string) bool { return strings.Count(text, "new certificate in force") > i })
		}
		l.await(t, step, recoverWithin, func(counts map[string]int) bool { return counts[""] > 100 })
		awaitServed(t, s, "user")
	}
	l.end()
	if counts := l.since(began); !only(counts, "") {
		t.Errorf("%v\n%s", counts, p.text())
	}
	if again := certificate(t, filepath.Join(s.certs, "user.crt")); again.Equal(first) {
		t.Error("nothing was renewed")
	}
}

// awaitServed waits until a service shows the certificate of its file.
func awaitServed(t *testing.T, s *stack, service string) {
	t.Helper()
	want := certificate(t, filepath.Join(s.certs, service+".crt"))
	deadline, tick := time.After(recoverWithin), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := tls.Dial("tcp", s.at(service), s.clientTLS(t, s.certs, "router"))
		if err == nil {
			served := conn.ConnectionState().PeerCertificates[0]
			_ = conn.Close()
			if served.Equal(want) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s does not show its new certificate: %v", service, err)
		}
	}
}

// at is where a service listens.
func (s *stack) at(service string) string {
	return s.settings[service]["TRADESAGE_"+strings.ToUpper(service)+"_LISTEN"]
}

// clientTLS takes whatever server there is; "" is a client without a certificate.
func (s *stack) clientTLS(t *testing.T, dir, as string) *tls.Config {
	t.Helper()
	c := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
	if as != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, as+".crt"), filepath.Join(dir, as+".key"))
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// Nobody but the router gets a word out of a service.
func TestServicesAnswerTheRouterOnly(t *testing.T) {
	t.Parallel()
	s := newStack(t, true, 1)
	p := s.system(t)
	token, _ := p.signIn(t, "owner@acme.test")
	foreign := filepath.Join(t.TempDir(), "foreign")
	certs(t, foreign)
	ask := func(c *tls.Config) (int, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}, Timeout: 10 * time.Second}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.at("user")+"/graphql", strings.NewReader(`{"query":"{ me { id } }"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	old := s.clientTLS(t, s.certs, "router")
	old.MaxVersion = tls.VersionTLS12
	for name, c := range map[string]*tls.Config{
		"no certificate":       s.clientTLS(t, "", ""),
		"another service's":    s.clientTLS(t, s.certs, "session"),
		"its own":              s.clientTLS(t, s.certs, "user"),
		"of another authority": s.clientTLS(t, foreign, "router"),
		"an older TLS":         old,
	} {
		before := strings.Count(s.services["user"].text(), "caller refused")
		if status, err := ask(c); err == nil {
			t.Errorf("%s: answered %d", name, status)
		}
		if name != "an older TLS" { // the client may hear of it before the log does
			s.services["user"].awaitText(t, func(said string) bool { return strings.Count(said, "caller refused") > before })
		}
	}
	if told := strings.Count(s.services["user"].text(), "caller refused"); told > 5 {
		t.Errorf("%d lines in the log of five callers", told)
	}
	if status, err := ask(s.clientTLS(t, s.certs, "router")); status != http.StatusOK || err != nil {
		t.Errorf("the router's: %d %v", status, err)
	}
	// A router that finds somebody else at a service's address does not speak to it.
	if err := s.services["session"].end(t, os.Interrupt); err != nil {
		t.Error(err)
	}
	impostor := map[string]string{}
	for k, v := range s.settings["session"] {
		impostor[k] = v
	}
	impostor["TRADESAGE_SERVICE_CERTS"] = foreign
	s.services["session"] = serveWith(t, impostor)
	s.services["session"].awaitText(t, func(text string) bool { return strings.Contains(text, "msg=serving") })
	if answer := p.ask(t, token, `{ sessions { edges { node { id } } } }`, nil); answer.code() != "UNAVAILABLE" {
		t.Errorf("%+v", answer)
	}
	if !strings.Contains(s.routers[0].text(), "service refused") {
		t.Errorf("the router does not say why:\n%s", s.routers[0].text())
	}
}
