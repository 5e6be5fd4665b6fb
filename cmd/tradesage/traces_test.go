package main_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/tradesage/tradesage/internal/dbtest"
)

// collector takes traces by OTLP over HTTP, as a real one does.
type collector struct {
	url string

	mu    sync.Mutex
	spans []collected
}

type collected struct {
	*tracev1.Span
	service string
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request coltrace.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			http.Error(w, "no traces", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, of := range request.GetResourceSpans() {
			service := ""
			for _, a := range of.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					service = a.GetValue().GetStringValue()
				}
			}
			for _, s := range of.GetScopeSpans() {
				for _, span := range s.GetSpans() {
					c.spans = append(c.spans, collected{span, service})
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// trace returns the spans of a trace, which arrive some seconds after they end.
func (c *collector) trace(id string) []collected {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []collected
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) == id {
			out = append(out, s)
		}
	}
	return out
}

// clientSpan is the one of the client that asks.
const clientSpan = "b7ad6b7169203331"

// await waits until a trace has a span of the name and returns it with all that it
// is part of, up to the client, the innermost first.
func (c *collector) await(t *testing.T, trace, name string) []collected {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		spans := c.trace(trace)
		line := lineage(spans, name)
		if len(line) > 0 && hex.EncodeToString(line[len(line)-1].GetParentSpanId()) == clientSpan {
			return line
		}
		select {
		case <-deadline:
			for _, s := range spans {
				t.Logf("%s of %s", s.GetName(), s.service)
			}
			t.Fatalf("no span %s within a minute", name)
		case <-tick.C:
		}
	}
}

func lineage(spans []collected, name string) []collected {
	i := slices.IndexFunc(spans, func(s collected) bool { return s.GetName() == name })
	var line []collected
	for i >= 0 {
		line = append(line, spans[i])
		parent := spans[i].GetParentSpanId()
		i = slices.IndexFunc(spans, func(s collected) bool { return slices.Equal(s.GetSpanId(), parent) })
	}
	return line
}

func chain(line []collected) string {
	var out []string
	for _, s := range line {
		out = append(out, s.service+": "+s.GetName())
	}
	return strings.Join(out, " < ")
}

const tracedQuery = `{"query":"query Me { me { email sessions(first: 1) { edges { node { id } } } } }"}`

// A client's trace goes on through the router and its fetches to the statements.
func TestTraces(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	p := start(t, dataFolder(t), "--traces-endpoint", c.url, "--traces-ratio", "1", "--log-level", "info", "--slow-operation", "1ns")
	token, user := p.signIn(t, "owner@acme.test")
	const trace = "0af7651916cd43dd8448eb211c80319c"
	resp, body := p.send(t, "POST", "/graphql", tracedQuery, "Content-Type", "application/json", "Authorization", "Bearer "+token,
		"Traceparent", "00-"+trace+"-"+clientSpan+"-00")
	if !strings.Contains(body, "owner@acme.test") {
		t.Fatal(body)
	}
	line := c.await(t, trace, "SQL ListSessionsOfUsersNewestFirst")
	const want = "tradesage-all: SQL ListSessionsOfUsersNewestFirst < tradesage-all: fetch session < tradesage-all: query Me < tradesage-all: POST /graphql"
	if chain(line) != want {
		t.Errorf("%s, want %s", chain(line), want)
	}
	text := ""
	for _, s := range c.trace(trace) {
		text += s.String()
	}
	if !strings.Contains(text, resp.Header.Get("X-Request-Id")) || !strings.Contains(text, user) {
		t.Error("the trace does not name the request and the user")
	}
	if strings.Contains(text, "owner@acme.test") || strings.Contains(text, token) {
		t.Error("the trace tells a value")
	}
	// The log, too, says whose and what.
	log := p.text()
	for _, said := range []string{"trace_id=" + trace, "operation=Me kind=query", "outcome=ok", "user_id=" + user, `msg="slow operation"`, "slowest_subgraph="} {
		if !strings.Contains(log, said) {
			t.Errorf("the log does not say %s\n%s", said, log)
		}
	}
	if strings.Contains(log, token) {
		t.Error("the log tells a token")
	}
	if _, metrics := p.get(t, p.ops+"/metrics"); !strings.Contains(metrics, `tradesage_router_operation_seconds_count{operation="Me",operation_type="query"} 1`) ||
		!strings.Contains(metrics, `tradesage_router_fetch_seconds_count{subgraph="session"}`) || !strings.Contains(metrics, `tradesage_tenant_requests_total{outcome="ok",tenant="`) {
		t.Error(metrics)
	}
}

// Names may be as long as requests, and paths as headers: neither fills the log, the
// metrics or a trace.
func TestLongNamesAreCutShort(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	p := start(t, dataFolder(t), "--traces-endpoint", c.url, "--traces-ratio", "1", "--log-level", "info", "--slow-operation", "1ns")
	const trace = "0af7651916cd43dd8448eb211c80319e"
	name, path := strings.Repeat("Long", 50_000), "/"+strings.Repeat("path", 1_000)
	if _, body := p.send(t, "POST", "/graphql", `{"query":"query `+name+` { __typename }"}`, "Content-Type", "application/json",
		"Traceparent", "00-"+trace+"-"+clientSpan+"-00"); body != `{"data":{"__typename":"Query"}}` {
		t.Fatal(body)
	}
	p.send(t, "GET", path, "")
	const strange = "0af7651916cd43dd8448eb211c80319f"
	p.send(t, strings.Repeat("METHOD", 1_000), path, "", "Traceparent", "00-"+strange+"-"+clientSpan+"-00")
	c.await(t, trace, "POST /graphql")
	c.await(t, strange, "_OTHER other")
	text := p.text()
	for _, s := range append(c.trace(trace), c.trace(strange)...) {
		text += s.String() + "\n"
	}
	_, metrics := p.get(t, p.ops+"/metrics")
	for line := range strings.Lines(text + metrics) {
		if len(line) > 2000 {
			t.Errorf("%d bytes: %s…", len(line), line[:200])
		}
	}
	for _, said := range []string{"operation=LongLong", "path=/pathpath", "method=METHOD"} {
		if !strings.Contains(text, said) {
			t.Errorf("nothing tells %s", said)
		}
	}
}

// How much is traced is ours to say: a client that asks for it gets no more.
func TestTracesThatClientsAskFor(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	p := start(t, dataFolder(t), "--traces-endpoint", c.url, "--traces-ratio", "0")
	for range 20 {
		p.send(t, "POST", "/graphql", `{"query":"{ __typename }"}`, "Content-Type", "application/json", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-"+clientSpan+"-01")
	}
	p.interrupt(t) // which sends what there is
	if spans := c.trace("0af7651916cd43dd8448eb211c80319c"); len(spans) > 0 {
		t.Errorf("%d spans", len(spans))
	}
}

// A collector that is away costs traces, and nothing else.
func TestTracesWithoutACollector(t *testing.T) {
	t.Parallel()
	p := start(t, dataFolder(t), "--traces-endpoint", "http://"+freePort(t), "--traces-ratio", "1")
	if answer := p.ask(t, "", "{ __typename }", nil); len(answer.Errors) > 0 {
		t.Error(answer.Errors)
	}
	p.interrupt(t)
}

// One trace goes through all processes; what the router decides holds for the
// services behind it.
func TestTracesAcrossProcesses(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	common := settings(dbtest.NewDatabase(t))
	common["TRADESAGE_TRACES_ENDPOINT"] = c.url
	stack := newStackOn(t, common, true, 1)
	p := stack.system(t)
	token, _ := p.signIn(t, "owner@acme.test")
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	// The default ratio traces one request in twenty.
	deadline := time.After(time.Minute)
	for len(c.trace(trace)) == 0 {
		select {
		case <-deadline:
			t.Fatal("nothing is traced")
		default:
		}
		p.send(t, "POST", "/graphql", tracedQuery, "Content-Type", "application/json", "Authorization", "Bearer "+token,
			"Traceparent", "00-"+trace+"-"+clientSpan+"-01")
	}
	line := c.await(t, trace, "SQL ListSessionsOfUsersNewestFirst")
	const want = "tradesage-session: SQL ListSessionsOfUsersNewestFirst < tradesage-session: POST /graphql < tradesage-router: fetch session < tradesage-router: query Me < tradesage-router: POST /graphql"
	if chain(line) != want {
		t.Errorf("%s, want %s", chain(line), want)
	}
}
