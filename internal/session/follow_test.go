package session

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/internal/fault"
)

func TestNextCursor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ last, next, want string }{
		{"0", "750", "750"}, {"750", "750", "750"}, {"9", "10", "10"}, {"10", "9", firstCursor},
	} {
		if got, err := nextCursor(test.last, test.next); err != nil || got != test.want {
			t.Errorf("%s, %s: got %s, %v", test.last, test.next, got, err)
		}
	}
	if _, err := nextCursor("0", "x"); err == nil {
		t.Error("rubbish is accepted")
	}
}

func TestBefore(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"1-0", "1-1", true}, {"1-1", "1-1", false}, {"9-0", "10-0", true}, {"10-0", "9-9", false}, {"0-0", "1-0", true}, {"", "1-0", true},
	} {
		if got := before(test.a, test.b); got != test.want {
			t.Errorf("before(%s, %s) = %v", test.a, test.b, got)
		}
	}
}

// flaky is a way to Redis that can be cut.
type flaky struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (f *flaky) dial(options *redis.Options) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.cut {
			return nil, errors.New("cut")
		}
		conn, err := new(net.Dialer).DialContext(ctx, options.Network, options.Addr)
		if err == nil {
			f.conns = append(f.conns, conn)
		}
		return conn, err
	}
}

func (f *flaky) set(cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = cut
	if cut {
		for _, conn := range f.conns {
			_ = conn.Close()
		}
		f.conns = nil
	}
}

func TestAProcessThatLostRedisCatchesUp(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	options := *e.Redis.Options()
	way := &flaky{}
	options.Dialer, options.DialerRetries, options.MaxRetries = way.dial(e.Redis.Options()), 1, -1
	client := redis.NewClient(&options)
	t.Cleanup(func() { _ = client.Close() })

	sender, reader := load(t, e.process(t, e.Redis)), e.process(t, client)
	heard := make(chan uuid.UUID, 100)
	reader.OnRevoked(func(r Revocation) {
		if r.Tenant == user.Tenant.ID() {
			heard <- r.Subject
		}
	})
	load(t, reader)
	follow(t, reader)

	before, during, after := e.start(t, user), e.start(t, user), e.start(t, user)
	if sender.Publish(t.Context(), e.end(t, sender, user, before)) {
		t.Fatal("pending before the loss")
	}
	way.set(true)
	sender.confirm = 20 * time.Millisecond
	if !sender.Publish(t.Context(), e.end(t, sender, user, during)) {
		t.Fatal("confirmed by a process that cannot read")
	}
	way.set(false)
	sender.confirm = patience
	for _, want := range []uuid.UUID{before, during} {
		if got := <-heard; got != want {
			t.Fatalf("heard of %s, want %s", got, want)
		}
	}
	if sender.Publish(t.Context(), e.end(t, sender, user, after)) {
		t.Fatal("pending after the loss")
	}
	wantCheck(t, reader, user, after, fault.CodeUnauthenticated)
}

func BenchmarkPublish(b *testing.B) {
	e := newEnv(b)
	var processes [3]*Revocations
	for i := range processes {
		processes[i] = load(b, e.process(b, e.Redis))
		follow(b, processes[i])
	}
	for b.Loop() {
		now := e.clock.Now()
		if processes[0].Publish(b.Context(), Revocation{KindSession, uuid.New(), uuid.New(), now, now.Add(time.Minute)}) {
			b.Fatal("pending")
		}
	}
}
