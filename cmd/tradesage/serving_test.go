package main_test

import (
	"encoding/base64"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/tradesage/tradesage/internal/dbtest"
)

// masterKey is the one of served test databases.
const masterKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// settings are the environment of a process that serves the test database.
func settings(e *dbtest.Env) map[string]string {
	redis := e.Redis.Options()
	url := "redis://" + redis.Addr + "/0"
	if redis.Network == "unix" {
		url = "unix://" + redis.Addr
	}
	return map[string]string{
		"TRADESAGE_DATABASE_URL":    e.URL,
		"TRADESAGE_DATABASE_SECRET": base64.StdEncoding.EncodeToString(dbtest.Secret),
		"TRADESAGE_MASTER_KEY":      masterKey,
		"TRADESAGE_REDIS_URL":       url,
		"TRADESAGE_BLANKS":          "2",
		"TRADESAGE_LOG_FORMAT":      "text",
		"TRADESAGE_DRAIN_DELAY":     "0s",
		"TRADESAGE_DRAIN_TIME":      "2s",
		"TRADESAGE_START_WAIT":      "0s",
		// All tests share an address and a Redis.
		"TRADESAGE_RATE_IP":      "off",
		"TRADESAGE_RATE_SOCKETS": "off",
		"TRADESAGE_RATE_SECRETS": "off",
		"TRADESAGE_RATE_USER":    "off",
	}
}

// serveWith starts serve with these settings alone; an empty one is not set.
func serveWith(t *testing.T, environment map[string]string, args ...string) *process {
	t.Helper()
	p := &process{ended: make(chan error, 1)}
	public, ops := freePort(t), freePort(t)
	p.url, p.ops = "http://"+public, "http://"+ops
	if environment["TRADESAGE_TLS_CERT"] != "" {
		p.url = "https://" + public
	}
	p.cmd = exec.Command(binary(t), append([]string{"serve", "--listen", public, "--metrics-listen", ops}, args...)...)
	p.cmd.Env = []string{"PATH=/usr/bin:/bin"}
	for k, v := range environment {
		if v != "" {
			p.cmd.Env = append(p.cmd.Env, k+"="+v)
		}
	}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
		<-p.ended
	})
	return p
}

// awaitText waits until the process has said something.
func (p *process) awaitText(t *testing.T, holds func(string) bool) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !holds(p.text()) {
		select {
		case err := <-p.ended:
			t.Fatalf("serve ended: %v\n%s", err, p.text())
		case <-deadline:
			t.Fatalf("not said within a minute\n%s", p.text())
		case <-tick.C:
		}
	}
}
