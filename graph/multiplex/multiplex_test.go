package multiplex_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tradesage/tradesage/graph/multiplex"
)

const patience = 30 * time.Second

// farm is a subgraph whose subscriptions do what their payload says: "count" sends
// numbers until it is ended, "flood" as fast as it can, "fifty" no
// more than those, "once" one and completes, "silent" nothing.
type farm struct {
	url              string
	sockets, running atomic.Int64
	most             atomic.Int64 // subscriptions on one socket

	mu   sync.Mutex
	open map[*websocket.Conn]struct{}
}

func newFarm(t *testing.T) *farm {
	t.Helper()
	f := &farm{open: map[*websocket.Conn]struct{}{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		f.mu.Lock()
		f.open[conn] = struct{}{}
		f.mu.Unlock()
		f.sockets.Add(1)
		f.serve(r.Context(), conn)
		f.sockets.Add(-1)
		f.mu.Lock()
		delete(f.open, conn)
		f.mu.Unlock()
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *farm) serve(ctx context.Context, conn *websocket.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	defer func() { _ = conn.CloseNow() }()
	ends := map[string]context.CancelFunc{}
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return
		}
		var m struct {
			ID, Type string
			Payload  string
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return
		}
		if m.Type == "complete" {
			ends[m.ID]()
			delete(ends, m.ID)
			continue
		}
		one, end := context.WithCancel(ctx)
		ends[m.ID] = end
		for most := f.most.Load(); int64(len(ends)) > most && !f.most.CompareAndSwap(most, int64(len(ends))); most = f.most.Load() {
		}
		f.running.Add(1)
		all.Go(func() {
			defer f.running.Add(-1)
			f.sow(one, conn, m.ID, m.Payload)
		})
	}
}

func (f *farm) sow(ctx context.Context, conn *websocket.Conn, id, what string) {
	send := func(text string) error {
		return conn.Write(context.WithoutCancel(ctx), websocket.MessageText, []byte(text))
	}
	switch what {
	case "once":
		_ = send(`{"type":"next","id":"` + id + `","payload":0}`)
		_ = send(`{"type":"complete","id":"` + id + `"}`)
	case "silent":
		<-ctx.Done()
	default:
		for n := 0; ctx.Err() == nil; n++ {
			if what == "fifty" && n == 50 {
				<-ctx.Done()
				return
			}
			if send(fmt.Sprintf(`{"type":"next","id":%q,"payload":%d}`, id, n)) != nil {
				return
			}
			if what == "flood" {
				continue
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

func (f *farm) dial(ctx context.Context) (*websocket.Conn, error) {
	conn, _, err := websocket.Dial(ctx, strings.Replace(f.url, "http", "ws", 1), nil)
	return conn, err
}

// cut breaks all sockets off.
func (f *farm) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.open {
		go func() { _ = conn.CloseNow() }()
	}
}

func newPool(t *testing.T, change func(*multiplex.Options)) (*multiplex.Pool, prometheus.Gauge) {
	t.Helper()
	o := multiplex.Options{
		PerSocket: 10, Queue: 4, SlowWithin: patience, PingEvery: 10 * time.Millisecond, PongWithin: patience,
		Open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "open"}),
	}
	if change != nil {
		change(&o)
	}
	return multiplex.New(o), o.Open
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("%s: not in time", what)
		case <-tick.C:
		}
	}
}

var errEnough = errors.New("enough")

// Many subscriptions of few callers come and go at once: each gets all of its own, in
// order, no socket carries more than it may, and none is left.
func TestManySubscriptions(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	pool, open := newPool(t, nil)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			what := []string{"count", "once", "flood", "count"}[i%4]
			got := 0
			err := pool.Subscribe(ctx, fmt.Sprint(i%3), []byte(`"`+what+`"`), f.dial, func(kind multiplex.Kind, payload []byte) error {
				if kind != multiplex.Next || string(payload) != fmt.Sprint(got) {
					t.Errorf("%s %s in place of %d", kind, payload, got)
				}
				got++
				switch {
				case i%4 == 3 && got == 5:
					cancel()
				case got == 20:
					return errEnough
				}
				return nil
			})
			want := []error{errEnough, nil, errEnough, context.Canceled}[i%4]
			if !errors.Is(err, want) {
				t.Errorf("%s: %v in place of %v", what, err, want)
			}
		})
	}
	all.Wait()
	await(t, "all sockets are closed", func() bool { return f.sockets.Load() == 0 && f.running.Load() == 0 && testutil.ToFloat64(open) == 0 })
	if n := f.most.Load(); n < 2 || n > 10 {
		t.Errorf("%d subscriptions on one socket", n)
	}
}

// One that takes nothing holds up the others of its socket for a while, and not for
// longer; one that is alone on its socket is waited for.
func TestSlowSubscriptions(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	pool, _ := newPool(t, func(o *multiplex.Options) { o.Queue, o.SlowWithin = 64, 50*time.Millisecond })
	subscribe := func(what string, each func() error) chan error {
		done := make(chan error, 1)
		go func() {
			done <- pool.Subscribe(t.Context(), "", []byte(`"`+what+`"`), f.dial, func(multiplex.Kind, []byte) error { return each() })
		}()
		return done
	}
	stuck := make(chan struct{})
	slow := subscribe("flood", func() error { <-stuck; return nil })
	await(t, "it is alone", func() bool { return f.running.Load() == 1 })
	select {
	case err := <-slow:
		t.Fatalf("ended by itself: %v", err)
	case <-time.After(200 * time.Millisecond): // many times SlowWithin
	}
	got := 0
	quick := subscribe("fifty", func() error {
		if got++; got == 50 {
			return errEnough
		}
		return nil
	})
	select {
	case err := <-quick:
		if !errors.Is(err, errEnough) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("held up for good")
	}
	close(stuck)
	if err := <-slow; !errors.Is(err, multiplex.ErrSlow) {
		t.Error(err)
	}
	await(t, "all sockets are closed", func() bool { return f.sockets.Load() == 0 })
}

// A socket that breaks off ends all of its subscriptions, and the next one opens
// another.
func TestBrokenSockets(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	pool, _ := newPool(t, nil)
	results := make(chan error, 5)
	for range 5 {
		go func() {
			results <- pool.Subscribe(t.Context(), "", []byte(`"silent"`), f.dial, func(multiplex.Kind, []byte) error { return nil })
		}()
	}
	await(t, "all run", func() bool { return f.running.Load() == 5 })
	f.cut()
	for range 5 {
		if err := <-results; err == nil {
			t.Error("complete")
		}
	}
	if err := pool.Subscribe(t.Context(), "", []byte(`"once"`), f.dial, func(multiplex.Kind, []byte) error { return nil }); err != nil {
		t.Error(err)
	}
}

// A socket that does not open fails all who wait for it, once; who goes meanwhile
// leaves the others waiting, and the last one ends the try.
func TestSocketsThatDoNotOpen(t *testing.T) {
	t.Parallel()
	pool, _ := newPool(t, nil)
	refused := errors.New("refused")
	var dials atomic.Int64
	asked, answer := make(chan struct{}), make(chan struct{})
	dial := func(ctx context.Context) (*websocket.Conn, error) {
		dials.Add(1)
		close(asked)
		select {
		case <-answer:
			return nil, refused
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	subscribe := func(ctx context.Context) chan error {
		done := make(chan error, 1)
		go func() {
			done <- pool.Subscribe(ctx, "", nil, dial, func(multiplex.Kind, []byte) error { return nil })
		}()
		return done
	}
	leaving, leave := context.WithCancel(t.Context())
	first := subscribe(leaving)
	<-asked
	var rest []chan error
	for range 5 {
		rest = append(rest, subscribe(t.Context()))
	}
	await(t, "all wait", func() bool { return pool.Waiting("") == 6 })
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(answer)
	for _, done := range rest {
		if err := <-done; !errors.Is(err, refused) {
			t.Error(err)
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d tries", n)
	}

	asked, answer = make(chan struct{}), make(chan struct{})
	leaving, leave = context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		_ = pool.Subscribe(leaving, "", nil, func(ctx context.Context) (*websocket.Conn, error) {
			defer close(ended)
			return dial(ctx)
		}, nil)
	}()
	<-asked
	leave()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the try goes on without anybody")
	}
}
