// Package upstream is the way to a subgraph of another process: one deadline for a
// call with all its attempts, retries of what may be asked twice, a budget that
// keeps retries from making an outage worse, and a circuit breaker.
//
// It speaks HTTP and knows of GraphQL only what an answer looks like.
package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/mtls"
)

// Policy is what all subgraphs of a router have in common. A zero means the
// default.
type Policy struct {
	// Retries is how often a call that may be repeated is tried again; default 2,
	// negative for never.
	Retries int
	// FailurePercent of the calls of ten seconds, of at least ten, open the circuit;
	// default 50, negative for never.
	FailurePercent int
	// Pause is how long an open circuit refuses calls before one of them is let
	// through as a probe, and the time between probes; default 1 s.
	Pause time.Duration
}

func (p Policy) withDefaults() Policy {
	if p.Retries == 0 {
		p.Retries = 2
	}
	if p.FailurePercent == 0 {
		p.FailurePercent = 50
	}
	if p.Pause <= 0 {
		p.Pause = time.Second
	}
	return p
}

// Options says how one subgraph is reached. Name and Transport are needed.
type Options struct {
	Name      string
	Transport http.RoundTripper
	// Streams carries what lasts, which must not take connections from calls where
	// Transport bounds their number; Transport if nil.
	Streams http.RoundTripper
	// Timeout bounds a call with all its attempts; default 30 s.
	Timeout time.Duration
	Policy  Policy
	// MaxAnswer bounds an answer, in bytes; default 32 MiB.
	MaxAnswer int64
	// IsResponse tells whether an answer, which is an object, is a GraphQL response;
	// every object is if nil.
	IsResponse func(answer []byte) bool
	Logger     *slog.Logger
	Metrics    *Metrics
	// Now is time.Now if nil.
	Now func() time.Time
}

// Subgraph is one subgraph of another process. It is safe for concurrent use.
type Subgraph struct {
	options Options
	breaker *breaker
	budget  *budget
	metrics series
}

// New returns the way to a subgraph.
func New(o Options) *Subgraph {
	o.Policy = o.Policy.withDefaults()
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Streams == nil {
		o.Streams = o.Transport
	}
	if o.MaxAnswer <= 0 {
		o.MaxAnswer = 32 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.IsResponse == nil {
		o.IsResponse = func([]byte) bool { return true }
	}
	s := &Subgraph{options: o, budget: newBudget(), metrics: o.Metrics.of(o.Name)}
	s.breaker = newBreaker(o.Policy, o.Now, s.changed)
	return s
}

// changed tells operators that a circuit has changed.
func (s *Subgraph) changed(from, to Circuit) {
	s.metrics.circuit.Set(float64(to))
	switch {
	case from == Closed:
		s.options.Logger.Warn("the circuit of a subgraph is open: calls are refused until a probe succeeds", "subgraph", s.options.Name)
	case to == Closed:
		s.options.Logger.Info("the circuit of a subgraph is closed: it answers again", "subgraph", s.options.Name)
	}
}

// State tells whether calls are let through, and since when.
func (s *Subgraph) State() (Circuit, time.Time) { return s.breaker.current() }

// Show brings the metrics up to date, where another way to the subgraph had them.
func (s *Subgraph) Show() {
	state, _ := s.breaker.current()
	s.metrics.circuit.Set(float64(state))
}

// ErrCircuitOpen says that a call was not sent, because most of the last ones failed.
var ErrCircuitOpen = errors.New("the circuit is open")

// failure is why an attempt gave no answer.
type failure struct {
	cause error
	// passing says that the next attempt may succeed.
	passing bool
	// counts says that the subgraph is to blame, so that the breaker is told.
	counts bool
}

// Call sends a request and returns the GraphQL response, whole and trimmed.
// repeatable says that it changes nothing, so that it may be sent again: after a
// connection failed or broke off, after 502, 503 and 504, and after an answer that
// has no data and the code UNAVAILABLE. request makes each attempt's request, with
// its context. An error means that there is no answer; ErrCircuitOpen that nobody
// was asked.
func (s *Subgraph) Call(ctx context.Context, repeatable bool, request func(context.Context) (*http.Request, error)) ([]byte, error) {
	began := s.options.Now()
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	s.budget.earn()
	for attempt := 0; ; attempt++ {
		ticket, ok := s.breaker.allow()
		if !ok {
			s.metrics.refused.Inc()
			return nil, ErrCircuitOpen
		}
		answer, failed := s.attempt(ctx, request)
		switch {
		case failed == nil || !failed.counts:
			s.breaker.done(ticket, succeeded)
		case caller.Err() != nil: // the client is gone: that says nothing of the subgraph
			s.breaker.done(ticket, unknown)
			s.metrics.cancelled.Inc()
			return nil, failed.cause
		default:
			s.breaker.done(ticket, broke)
		}
		if failed == nil && !Unavailable(answer) {
			s.metrics.ok.Inc()
			s.metrics.duration.Observe(s.options.Now().Sub(began).Seconds())
			return answer, nil
		}
		again := repeatable && attempt < s.options.Policy.Retries && (failed == nil || failed.passing)
		if again && s.budget.spend() && wait(ctx, pause(attempt)) {
			s.metrics.retries.Inc()
			continue
		}
		s.metrics.failed.Inc()
		s.metrics.duration.Observe(s.options.Now().Sub(began).Seconds())
		if failed != nil {
			return nil, failed.cause
		}
		return answer, nil // it says itself what is wrong
	}
}

// attempt asks once.
func (s *Subgraph) attempt(ctx context.Context, build func(context.Context) (*http.Request, error)) ([]byte, *failure) {
	request, err := build(ctx)
	if err != nil {
		return nil, &failure{cause: err}
	}
	response, err := s.options.Transport.RoundTrip(request)
	if err != nil {
		s.blame(err)
		return nil, &failure{cause: err, passing: ctx.Err() == nil, counts: true}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, s.options.MaxAnswer+1))
	switch {
	case err != nil:
		return nil, &failure{cause: fmt.Errorf("the answer broke off: %w", err), passing: ctx.Err() == nil, counts: true}
	case int64(len(answer)) > s.options.MaxAnswer:
		return nil, &failure{cause: fmt.Errorf("the answer is larger than %d bytes", s.options.MaxAnswer)}
	}
	// A refused token comes as 401 with a GraphQL body: that is an answer. A proxy's
	// error page is not.
	answer = bytes.TrimSpace(answer)
	if response.StatusCode >= http.StatusInternalServerError || !isObject(answer) || !s.options.IsResponse(answer) {
		return nil, &failure{cause: fmt.Errorf("status %d without a GraphQL response", response.StatusCode), passing: passing(response.StatusCode), counts: true}
	}
	return answer, nil
}

// Open sends a request whose answer is a stream: once, and without a deadline of
// its own. It fails as Call does; whatever the status, a response is one.
func (s *Subgraph) Open(request *http.Request) (*http.Response, error) {
	ticket, ok := s.breaker.allow()
	if !ok {
		s.metrics.refused.Inc()
		return nil, ErrCircuitOpen
	}
	response, err := s.options.Streams.RoundTrip(request)
	s.blame(err)
	switch {
	case err != nil && request.Context().Err() != nil:
		s.breaker.done(ticket, unknown)
	case err != nil || passing(response.StatusCode):
		s.breaker.done(ticket, broke)
	default:
		s.breaker.done(ticket, succeeded)
	}
	return response, err
}

// Try runs what finds out whether the subgraph is there, and counts its outcome as
// that of a call. It fails with ErrCircuitOpen without running it.
func (s *Subgraph) Try(ctx context.Context, f func() error) error {
	ticket, ok := s.breaker.allow()
	if !ok {
		s.metrics.refused.Inc()
		return ErrCircuitOpen
	}
	err := f()
	s.blame(err)
	switch {
	case err == nil:
		s.breaker.done(ticket, succeeded)
	case errors.Is(ctx.Err(), context.Canceled):
		s.breaker.done(ticket, unknown)
	default:
		s.breaker.done(ticket, broke)
	}
	return err
}

// blame counts a connection that was not made because of a certificate.
func (s *Subgraph) blame(err error) {
	var refusal *mtls.Error
	if errors.As(err, &refusal) {
		s.options.Metrics.certificates.WithLabelValues(s.options.Name, string(refusal.Reason)).Inc()
	}
}

// isObject is whether an answer looks like a GraphQL response: an object that ends.
func isObject(answer []byte) bool {
	return len(answer) > 1 && answer[0] == '{' && answer[len(answer)-1] == '}'
}

// passing are the statuses of a server that is not there at the moment.
func passing(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// Unavailable is whether an answer has no data and says that it may have some soon.
// One that tells when to come back is not asked before.
func Unavailable(answer []byte) bool {
	if !bytes.Contains(answer, []byte(fault.CodeUnavailable)) {
		return false
	}
	var parsed struct {
		Data   json.RawMessage
		Errors []struct {
			Extensions struct {
				Code       fault.Code
				RetryAfter json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(answer, &parsed); err != nil || len(parsed.Data) > 0 && string(parsed.Data) != "null" {
		return false
	}
	for _, e := range parsed.Errors {
		if e.Extensions.Code != fault.CodeUnavailable || len(e.Extensions.RetryAfter) > 0 {
			return false
		}
	}
	return len(parsed.Errors) > 0
}

const firstPause = 25 * time.Millisecond

// pause is the time before an attempt, doubled each time and anywhere within it, so
// that many callers do not come back at the same moment.
func pause(attempt int) time.Duration {
	longest := firstPause << attempt
	return longest/2 + rand.N(longest) //nolint:gosec // it spreads load, it hides nothing
}

// wait returns false if the time is not there.
func wait(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	return Pause(ctx, d)
}

// Pause waits; it returns false if ctx ends before.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
