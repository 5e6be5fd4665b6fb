package auth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tradesage/tradesage/internal/fault"
)

func TestPasswords(t *testing.T) {
	t.Parallel()
	p, err := NewPasswords(PasswordOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := p.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; hash[:len(want)] != want {
		t.Fatalf("hash %s, want it to begin with %s", hash, want)
	}
	for name, test := range map[string]struct {
		password, hash string
		want           bool
	}{
		"right": {password, hash, true}, "wrong": {password + " ", hash, false},
		"unknown account": {password, "", false}, "password of the dummy": {"no account has this password", "", false},
	} {
		if got, err := p.Verify(t.Context(), test.password, test.hash); err != nil || got != test.want {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if _, err := p.Verify(t.Context(), password, "$argon2id$spoiled"); err == nil {
		t.Error("a spoiled hash is no error")
	}
}

// 200 at once over one slot and a queue of 64: 65 run, one at a time, and 135 are
// told to come back.
func TestHashingIsBounded(t *testing.T) {
	t.Parallel()
	p, err := NewPasswords(PasswordOptions{Slots: 1, Queue: 64, Params: &cheap})
	if err != nil {
		t.Fatal(err)
	}
	var running, peak, done atomic.Int64
	refused := make(chan error, 200)
	release := make(chan struct{})
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() {
			err := p.run(t.Context(), func() {
				peak.Store(max(peak.Load(), running.Add(1)))
				<-release
				running.Add(-1)
				done.Add(1)
			})
			if err != nil {
				refused <- err
			}
		})
	}
	for range 135 { // returns only when the slot and the queue are full
		err := <-refused
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.CodeRateLimited || f.RetryAfter < time.Second {
			t.Fatalf("got %v, want RATE_LIMITED with a time", err)
		}
	}
	close(release)
	group.Wait()
	if len(refused) != 0 || done.Load() != 65 || peak.Load() != 1 {
		t.Fatalf("%d more refused, %d done, %d at once; want 0, 65, 1", len(refused), done.Load(), peak.Load())
	}
	if n := p.queued.Load(); n != 0 {
		t.Fatalf("%d still count as waiting", n)
	}
}

func TestHashingHeedsItsContext(t *testing.T) {
	t.Parallel()
	p, err := NewPasswords(PasswordOptions{Slots: 1, Params: &cheap})
	if err != nil {
		t.Fatal(err)
	}
	p.slots <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { _, err := p.Verify(ctx, password, ""); failed <- err }()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}
