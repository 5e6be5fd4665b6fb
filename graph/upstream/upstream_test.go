package upstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tradesage/tradesage/graph/upstream"
)

const good = `{"data":{"ok":true}}`

// server is a subgraph that behaves as a test says; n counts its requests from 1.
func server(t *testing.T, behave func(n int64, w http.ResponseWriter, r *http.Request)) (url string, count *atomic.Int64) {
	t.Helper()
	count = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		behave(count.Add(1), w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, count
}

type option func(*upstream.Options)

func open(t *testing.T, options ...option) *upstream.Subgraph {
	t.Helper()
	transport := upstream.Pool{}.Transport()
	t.Cleanup(transport.CloseIdleConnections)
	o := upstream.Options{Name: "stock", Transport: transport, Logger: slog.New(slog.DiscardHandler)}
	for _, change := range options {
		change(&o)
	}
	return upstream.New(o)
}

func call(ctx context.Context, s *upstream.Subgraph, url string, repeatable bool) (string, error) {
	answer, err := s.Call(ctx, repeatable, func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"query":"{ok}"}`))
	})
	return string(answer), err
}

// breakOff ends the connection in the middle of an answer.
func breakOff(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"data":`)
	panic(http.ErrAbortHandler)
}

func status(code int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

const away = `{"errors":[{"message":"no database","extensions":{"code":"UNAVAILABLE"}}],"data":null}`

// What a subgraph does once, and whether a query and a mutation are sent again.
func TestWhatIsSentAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first  func(http.ResponseWriter)
		again  bool
		answer string // of what is not sent again; "" for none
	}{
		"breaks off":                  {breakOff, true, ""},
		"hangs up":                    {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true, ""},
		"bad gateway":                 {status(502, "<html>"), true, ""},
		"unavailable":                 {status(503, away), true, ""},
		"gateway timeout":             {status(504, ""), true, ""},
		"UNAVAILABLE without data":    {status(200, away), true, away},
		"UNAVAILABLE, told when":      {status(200, `{"errors":[{"extensions":{"code":"UNAVAILABLE","retryAfter":3}}]}`), false, `{"errors":[{"extensions":{"code":"UNAVAILABLE","retryAfter":3}}]}`},
		"UNAVAILABLE with some data":  {status(200, `{"errors":[{"extensions":{"code":"UNAVAILABLE"}}],"data":{"a":1}}`), false, `{"errors":[{"extensions":{"code":"UNAVAILABLE"}}],"data":{"a":1}}`},
		"UNAVAILABLE in text":         {status(200, `{"data":{"word":"UNAVAILABLE"}}`), false, `{"data":{"word":"UNAVAILABLE"}}`},
		"a refusal":                   {status(401, `{"errors":[{"extensions":{"code":"UNAUTHENTICATED"}}]}`), false, `{"errors":[{"extensions":{"code":"UNAUTHENTICATED"}}]}`},
		"fails":                       {status(500, `{"errors":[]}`), false, ""},
		"garbage":                     {status(200, "\x00\x01<html>{}"), false, ""},
		"half an object":              {status(200, `{"data":{"a":`), false, ""},
		"nothing":                     {status(200, ""), false, ""},
		"a list":                      {status(200, `[1]`), false, ""},
		"a redirect to somebody else": {status(302, ""), false, ""},
	} {
		for _, repeatable := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%t", name, repeatable), func(t *testing.T) {
				t.Parallel()
				url, count := server(t, func(n int64, w http.ResponseWriter, _ *http.Request) {
					if n == 1 {
						c.first(w)
						return
					}
					_, _ = io.WriteString(w, good)
				})
				answer, err := call(t.Context(), open(t), url, repeatable)
				want, wantCount := c.answer, int64(1)
				if c.again && repeatable {
					want, wantCount = good, 2
				}
				if answer != want || (err != nil) != (want == "") || count.Load() != wantCount {
					t.Errorf("answer %q, error %v, %d requests; want %q and %d", answer, err, count.Load(), want, wantCount)
				}
			})
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	registry, metrics := prometheus.NewRegistry(), upstream.NewMetrics()
	if err := metrics.Register(registry); err != nil {
		t.Fatal(err)
	}
	s := open(t, func(o *upstream.Options) { o.Metrics = metrics })
	if _, err := call(t.Context(), s, "http://"+l.Addr().String(), true); err == nil {
		t.Fatal("answered")
	}
	want := `# HELP tradesage_subgraph_calls_total Calls of subgraphs of other processes by outcome: ok, failed, refused (the circuit is open), cancelled (the client went away).
# TYPE tradesage_subgraph_calls_total counter
tradesage_subgraph_calls_total{outcome="cancelled",subgraph="stock"} 0
tradesage_subgraph_calls_total{outcome="failed",subgraph="stock"} 1
tradesage_subgraph_calls_total{outcome="ok",subgraph="stock"} 0
tradesage_subgraph_calls_total{outcome="refused",subgraph="stock"} 0
# HELP tradesage_subgraph_retries_total Attempts beyond a call's first.
# TYPE tradesage_subgraph_retries_total counter
tradesage_subgraph_retries_total{subgraph="stock"} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "tradesage_subgraph_calls_total", "tradesage_subgraph_retries_total"); err != nil {
		t.Error(err)
	}
}

// hang answers when the test is over.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestAHangingSubgraph(t *testing.T) {
	t.Parallel()
	url, count := server(t, func(_ int64, w http.ResponseWriter, r *http.Request) { hang(w, r) })
	s := open(t, func(o *upstream.Options) { o.Timeout = 3 * time.Second })
	began := time.Now()
	_, err := call(t.Context(), s, url, true)
	if !errors.Is(err, context.DeadlineExceeded) || count.Load() != 1 {
		t.Errorf("%v after %d requests", err, count.Load())
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	// A client that goes away is not the subgraph's fault.
	for range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := call(ctx, s, url, true); done <- err }()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if state, _ := s.State(); state != upstream.Closed {
		t.Errorf("the circuit is %s", state)
	}
}

func TestAnAnswerThatIsTooLarge(t *testing.T) {
	t.Parallel()
	url, count := server(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"data":"`+strings.Repeat("x", 1000)+`"}`)
	})
	_, err := call(t.Context(), open(t, func(o *upstream.Options) { o.MaxAnswer = 100 }), url, true)
	if err == nil || !strings.Contains(err.Error(), "larger than 100 bytes") || count.Load() != 1 {
		t.Errorf("%v after %d requests", err, count.Load())
	}
}

// A subgraph goes away and comes back: calls are refused without asking it, and go
// through again soon after its return.
func TestAnOutage(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	url, count := server(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, good)
	})
	var clock atomic.Int64
	var log bytes.Buffer
	metrics, registry := upstream.NewMetrics(), prometheus.NewRegistry()
	if err := metrics.Register(registry); err != nil {
		t.Fatal(err)
	}
	s := open(t, func(o *upstream.Options) {
		o.Policy = upstream.Policy{Retries: -1}
		o.Now = func() time.Time { return time.Unix(1_000_000, clock.Load()) }
		o.Logger, o.Metrics = slog.New(slog.NewTextHandler(&log, nil)), metrics
	})
	down.Store(true)
	for i := range 10 {
		if _, err := call(t.Context(), s, url, true); err == nil || errors.Is(err, upstream.ErrCircuitOpen) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	circuit := func(want float64) {
		t.Helper()
		text := fmt.Sprintf("# HELP tradesage_subgraph_circuit State of a subgraph's circuit: 0 closed, 1 half-open, 2 open (calls are refused).\n"+
			"# TYPE tradesage_subgraph_circuit gauge\ntradesage_subgraph_circuit{subgraph=\"stock\"} %v\n", want)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(text), "tradesage_subgraph_circuit"); err != nil {
			t.Error(err)
		}
	}
	circuit(2)
	for range 100 {
		if _, err := call(t.Context(), s, url, true); !errors.Is(err, upstream.ErrCircuitOpen) {
			t.Fatal(err)
		}
	}
	if count.Load() != 10 {
		t.Errorf("%d requests", count.Load())
	}
	clock.Store(int64(time.Second))
	if _, err := call(t.Context(), s, url, true); err == nil || count.Load() != 11 {
		t.Errorf("%v after %d requests", err, count.Load())
	}
	down.Store(false)
	if _, err := call(t.Context(), s, url, true); !errors.Is(err, upstream.ErrCircuitOpen) {
		t.Error(err)
	}
	clock.Store(int64(2 * time.Second))
	for range 5 {
		if answer, err := call(t.Context(), s, url, true); err != nil || answer != good {
			t.Fatal(answer, err)
		}
	}
	circuit(0)
	var lines []string
	for line := range strings.Lines(log.String()) {
		_, line, _ = strings.Cut(line, "level=")
		lines = append(lines, strings.TrimSpace(line))
	}
	if diff := cmp.Diff([]string{
		`WARN msg="the circuit of a subgraph is open: calls are refused until a probe succeeds" subgraph=stock`,
		`INFO msg="the circuit of a subgraph is closed: it answers again" subgraph=stock`,
	}, lines); diff != "" {
		t.Error(diff)
	}
}

// Streams are refused while the circuit is open, and their starts count.
func TestStreamsTakePart(t *testing.T) {
	t.Parallel()
	url, count := server(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s := open(t)
	begin := func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := s.Open(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	for range 10 {
		if err := begin(); err != nil {
			t.Fatal(err)
		}
	}
	if err := begin(); !errors.Is(err, upstream.ErrCircuitOpen) || count.Load() != 10 {
		t.Errorf("%v after %d requests", err, count.Load())
	}
}

// The pool bounds connections to a host over HTTP/1.1 and speaks HTTP/2 without TLS
// where it is told to.
func TestPool(t *testing.T) {
	t.Parallel()
	var open, most atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			most.Store(max(most.Load(), open.Add(1)))
		case http.StateClosed:
			open.Add(-1)
		}
	}
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	ask := func(transport *http.Transport) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, http.NoBody)
		if err != nil {
			t.Error(err)
			return ""
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return string(text)
	}
	few := upstream.Pool{Connections: 2}.Transport()
	t.Cleanup(few.CloseIdleConnections)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if proto := ask(few); proto != "HTTP/1.1" {
				t.Error(proto)
			}
		})
	}
	all.Wait()
	if most.Load() > 2 {
		t.Errorf("%d connections at once", most.Load())
	}
	second := upstream.Pool{Cleartext2: true}.Transport()
	t.Cleanup(second.CloseIdleConnections)
	if proto := ask(second); proto != "HTTP/2.0" {
		t.Error(proto)
	}
}
