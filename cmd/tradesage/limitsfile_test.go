package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tradesage/tradesage/internal/dbtest"

	tradesage "github.com/tradesage/tradesage/cmd/tradesage"
)

// The limits file is followed: what is right is taken up, also on sockets that are
// open, and what is wrong changes nothing and is told of.
func TestTheLimitsFileIsFollowed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "limits.json")
	write := func(maxCost, maxBody int) {
		writeFile(t, file, fmt.Appendf(nil, `{"plans": [{"name": "standard", "maxCost": %d, "maxBody": %d}]}`, maxCost, maxBody))
	}
	write(20, 2000)
	environment := settings(dbtest.NewDatabase(t))
	environment["TRADESAGE_LIMITS_FILE"] = file
	environment["TRADESAGE_LOG_FORMAT"] = "text"
	environment["TRADESAGE_START_WAIT"] = "1m"
	if err := tradesage.Seed(t.Context(), environment); err != nil {
		t.Fatal(err)
	}
	p := serveWith(t, environment)
	(&stack{}).awaitReady(t, p)
	token, _ := p.signIn(t, "owner@acme.test")
	socket := p.dial(t, token)
	const page = `{ users(first: 40) { edges { cursor } } }` // costs 41
	limit := func() string {
		_, text := p.post(t, `{"query":"`+page+`"}`, token)
		_, found, _ := strings.Cut(text, `"cost":41,"limit":`)
		return strings.Trim(found, "}]")
	}
	await := func(what string, done func() bool) {
		t.Helper()
		deadline, tick := time.After(time.Minute), time.NewTicker(50*time.Millisecond)
		defer tick.Stop()
		for !done() {
			select {
			case <-deadline:
				t.Fatalf("%s: not within a minute\n%s", what, p.text())
			case <-tick.C:
			}
		}
	}
	if got := limit(); got != "20" {
		t.Fatalf("at first: %q", got)
	}

	// What is wrong is refused whole, and told of; the old limits stay.
	for i, wrong := range []string{`{"plans": [{"name": "standard", "maxCost": 900}, {"name": "Bad"}]}`, `{"plans": [`, `{"plans": []} {}`, `{"plans": [{"name": "standard", "maxCost": "900"}]}`} {
		writeFile(t, file, []byte(wrong))
		await("a refusal", func() bool {
			_, metrics := p.get(t, p.ops+"/metrics")
			return strings.Contains(metrics, fmt.Sprintf("tradesage_router_limits_reloads_total{result=\"refused\"} %d\n", i+1))
		})
		if got := limit(); got != "20" {
			t.Errorf("with %s: %q", wrong, got)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	await("a file that is gone", func() bool { return strings.Contains(p.text(), "no such file") })
	if status, text := p.get(t, p.url+"/readyz"); status != http.StatusOK || !strings.Contains(text, `"limits":{"ok":false,"needed":false,"missing":["the file is refused`) {
		t.Errorf("%d %s", status, text)
	}
	for _, want := range []string{`msg="the limits file is refused, the former limits stay in force"`, `plan \"Bad\": needs a name`, "more than one JSON value", "plans.maxCost: a JSON string is not what belongs there"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("the log does not tell %s", want)
		}
	}

	// What is right holds for the next operation, on the open socket too, and for the
	// length of its messages.
	long := `{ me { id } } #` + strings.Repeat("x", 4000)
	write(30, 10_000)
	await("the new limits", func() bool { return limit() == "30" })
	socket.subscribe("1", page, nil)
	if got := socket.receive(); !strings.Contains(string(got.Payload), `"limit":30`) {
		t.Errorf("a socket from before: %s %s", got.Type, got.Payload)
	}
	socket.subscribe("2", long, nil)
	if got := socket.receive(); got.Type != "next" {
		t.Errorf("a long message on a socket from before: %s %s", got.Type, got.Payload)
	}
	if status, text := p.get(t, p.url+"/readyz"); status != http.StatusOK || !strings.Contains(text, `"limits":{"ok":true`) {
		t.Errorf("%d %s", status, text)
	}

	// A signal asks at once.
	write(100, 1000)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await("the limits of the signal", func() bool { return limit() == "" })
	if resp, text := p.post(t, `{"query":"`+long+`"}`, token); resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if _, metrics := p.get(t, p.ops+"/metrics"); !strings.Contains(metrics, `tradesage_router_limits_reloads_total{result="taken"}`) {
		t.Error("what was taken is not counted")
	}
}
