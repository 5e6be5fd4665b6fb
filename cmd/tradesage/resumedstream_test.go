package main_test

import (
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/internal/dbtest"
)

// A client whose subscription comes from a service that is killed, and then from one
// that is restarted in good order, gets all that happens, on the same socket.
func TestSubscriptionsOutliveTheirService(t *testing.T) {
	t.Parallel()
	common := settings(dbtest.NewDatabase(t))
	common["TRADESAGE_STREAM_RESUME_WITHIN"] = "5m" // of a busy machine
	s := newStackOn(t, common, true, 1)
	p := s.system(t)
	token, _ := p.signIn(t, "owner@acme.test")
	w := p.dial(t, token)
	w.subscribe("s", `subscription { sessionEvents { kind session { current } } }`, nil)
	kinds := func(n int) (out []any) {
		for range n {
			out = append(out, w.event("sessionEvents")["kind"])
		}
		return out
	}
	if diff := cmp.Diff([]any{"SUBSCRIBED"}, kinds(1)); diff != "" {
		t.Fatal(diff)
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		p.signIn(t, "owner@acme.test")
		if diff := cmp.Diff([]any{"STARTED"}, kinds(1)); diff != "" {
			t.Errorf("before %s: %s", signal, diff)
		}
		_ = s.services["session"].end(t, signal) // killed it has no good end
		p.signIn(t, "owner@acme.test")
		p.signIn(t, "owner@acme.test")
		s.services["session"] = s.restart(t, "session")
		if diff := cmp.Diff([]any{"SUBSCRIBED", "STARTED", "STARTED"}, kinds(3)); diff != "" {
			t.Errorf("after %s: %s", signal, diff)
		}
	}
}
