package main_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tradesage "github.com/tradesage/tradesage/cmd/tradesage"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// The end-to-end tests know nothing of how the system is cut into processes:
// everywhere runs them against each shape.
var shapes = map[string]func(*testing.T) *process{
	"one process":    func(t *testing.T) *process { return start(t, dataFolder(t)) },
	"five processes": func(t *testing.T) *process { return newStack(t, true, 1).system(t) },
	// The processes of the second router are called without certificates.
	"two routers": func(t *testing.T) *process { return newStack(t, false, 2).system(t) },
}

func everywhere(t *testing.T, test func(*testing.T, *process)) {
	t.Parallel()
	for name, begin := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, begin(t))
		})
	}
}

// stack is the system in processes of their own, with databases of its own, and
// the dev accounts.
type stack struct {
	// settings are by service.
	settings map[string]map[string]string
	// certs is the folder of the certificates, where there are any.
	certs    string
	services map[string]*process
	routers  []*process
	mails    string
}

// newStack starts everything, the routers first: the order does not matter. With
// certificates each process has its own, and knows no secret but what its service
// needs.
func newStack(t *testing.T, certificates bool, routers int) *stack {
	t.Helper()
	return newStackOn(t, settings(dbtest.NewDatabase(t)), certificates, routers)
}

// newStackOn is newStack on a migrated database.
func newStackOn(t *testing.T, common map[string]string, certificates bool, routers int) *stack {
	t.Helper()
	s := &stack{settings: map[string]map[string]string{}, services: map[string]*process{}}
	if err := tradesage.Seed(t.Context(), common); err != nil {
		t.Fatal(err)
	}
	smtp := newPostOffice(t)
	box := httptest.NewServer(http.HandlerFunc(smtp.box.ServeJSON))
	t.Cleanup(box.Close)
	s.mails = box.URL
	scheme := "http"
	if certificates {
		s.certs, scheme = filepath.Join(t.TempDir(), "certs"), "https"
		certs(t, s.certs)
	}
	for _, service := range []string{"router", "auth", "session", "tenant", "user"} {
		own := map[string]string{
			"TRADESAGE_SERVICES": service, "TRADESAGE_INTROSPECTION": "true",
			// Of one router or of two behind one address: the name that tokens are issued under.
			"TRADESAGE_PUBLIC_URL": "http://api.tradesage.test",
			"TRADESAGE_START_WAIT": "1m", "TRADESAGE_DRAIN_TIME": "10s",
		}
		for k, v := range common {
			if own[k] == "" {
				own[k] = v
			}
		}
		if service == "auth" {
			host, port, _ := net.SplitHostPort(smtp.address)
			own["TRADESAGE_SMTP_HOST"], own["TRADESAGE_SMTP_PORT"], own["TRADESAGE_SMTP_PLAINTEXT"] = host, port, "true"
		}
		if certificates {
			own["TRADESAGE_SERVICE_CERTS"] = s.certs
			own["TRADESAGE_DATABASE_SECRET"], own["TRADESAGE_MASTER_KEY"] = "", ""
			own["TRADESAGE_DATABASE_CREDENTIALS_FILE"] = credentialsFile(t, service)
		}
		s.settings[service] = own
	}
	for _, service := range []string{"auth", "session", "tenant", "user"} {
		at, upper := freePort(t), strings.ToUpper(service)
		s.settings[service]["TRADESAGE_"+upper+"_LISTEN"] = at
		s.settings["router"]["TRADESAGE_"+upper+"_URL"] = scheme + "://" + at + "/graphql"
	}
	for range routers {
		s.routers = append(s.routers, serveWith(t, s.settings["router"]))
	}
	for _, service := range []string{"user", "tenant", "session", "auth"} {
		s.services[service] = serveWith(t, s.settings[service])
	}
	return s
}

// system waits until all routers are ready, and is the whole as its users see it.
func (s *stack) system(t *testing.T) *process {
	t.Helper()
	for _, r := range s.routers {
		s.awaitReady(t, r)
	}
	whole := &process{url: s.routers[0].url, ops: s.routers[0].ops, mails: s.mails, parts: s.routers}
	for _, service := range s.services {
		whole.parts = append(whole.parts, service)
	}
	if len(s.routers) > 1 {
		whole.url = "http://" + spread(t, s.routers)
	}
	return whole
}

// awaitReady waits for /readyz to say so.
func (s *stack) awaitReady(t *testing.T, p *process) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	said := ""
	for {
		if resp, err := http.Get(p.url + "/readyz"); err == nil { //nolint:noctx // an address of this test
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if said = string(text); resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-p.ended:
			t.Fatalf("ended: %v\n%s", err, p.text())
		case <-deadline:
			all := p.text()
			for name, service := range s.services {
				all += "\n" + name + ":\n" + service.text()
			}
			t.Fatalf("not ready within a minute: %s\n%s", said, all)
		case <-tick.C:
		}
	}
}

// spread is one address before several processes: each connection goes to the next.
func spread(t *testing.T, behind []*process) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var turn atomic.Int64
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			to := strings.TrimPrefix(behind[int(turn.Add(1))%len(behind)].url, "http://")
			go relay(client, to)
		}
	}()
	return l.Addr().String()
}

// relay carries one connection both ways until either side ends.
func relay(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to) //nolint:noctx // ends with the test's processes
	if err != nil {
		return
	}
	defer server.Close()
	ends := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // either side ends when it likes
			ends <- struct{}{}
		}()
	}
	<-ends
}

// end sends the signal that asks for an orderly end, and returns how it ended.
func (p *process) end(t *testing.T, with os.Signal) error {
	t.Helper()
	if err := p.cmd.Process.Signal(with); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		return err
	case <-time.After(30 * time.Second):
		return errors.New("it did not end within 30 s")
	}
}
