package main_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tradesage/tradesage/internal/dbtest"
)

// After the signal a load balancer finds the process not ready, while whoever
// comes all the same is still answered, and asked to go elsewhere.
func TestAnEndingProcessIsNotReadyAndServes(t *testing.T) {
	t.Parallel()
	environment := settings(dbtest.New(t))
	environment["TRADESAGE_DRAIN_DELAY"] = "5m"
	p := serveWith(t, environment)
	p.awaitText(t, func(said string) bool { return strings.Contains(said, "msg=serving") })
	if status, body := p.get(t, p.url+"/readyz"); status != http.StatusOK || !strings.Contains(body, `"ready":true`) {
		t.Fatalf("before: %d %s", status, body)
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.awaitText(t, func(said string) bool { return strings.Contains(said, "msg=draining") })
	deadline, tick := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		status, body := p.get(t, p.url+"/readyz")
		if status == http.StatusServiceUnavailable && strings.Contains(body, "about to end") {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still ready: %d %s", status, body)
		}
	}
	if status, _ := p.get(t, p.url+"/healthz"); status != http.StatusOK {
		t.Errorf("live: %d; it would be killed", status)
	}
	for range 3 {
		answer := p.ask(t, "", loginMutation, map[string]any{"email": "nobody@example.test", "password": "wrong password"})
		if answer.code() != "UNAUTHENTICATED" {
			t.Errorf("%+v", answer)
		}
	}
	resp, err := http.Get(p.url + "/healthz") //nolint:noctx // an address of this test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if !resp.Close {
		t.Error("the connection is kept open for a process that ends")
	}
	// Who is in a hurry asks twice.
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("a second signal did not end it\n%s", p.text())
	}
}

func TestADrainDelayEnds(t *testing.T) {
	t.Parallel()
	environment := settings(dbtest.New(t))
	environment["TRADESAGE_DRAIN_DELAY"] = "200ms"
	p := serveWith(t, environment)
	p.awaitText(t, func(said string) bool { return strings.Contains(said, "msg=serving") })
	began := time.Now()
	p.interrupt(t)
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("it ended after %s", took)
	}
}
