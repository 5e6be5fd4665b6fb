package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope names who made a span.
const scope = "github.com/tradesage/tradesage"

var propagator = propagation.TraceContext{}

// Tracing sends traces to a collector. A nil *Tracing traces nothing.
type Tracing struct{ provider *sdktrace.TracerProvider }

// TracingOptions says where traces go.
type TracingOptions struct {
	// Endpoint is the collector's URL for OTLP over HTTP; /v1/traces is added where it
	// has no path. Headers, timeouts and certificates come from the OTEL_EXPORTER_OTLP_*
	// variables that the exporter reads by itself.
	Endpoint string
	// Ratio is the part of the requests that is traced, 0 to 1.
	Ratio float64
	// Service and Version name this process.
	Service, Version string
	Logger           *slog.Logger
}

// NewTracing starts sending; ctx bounds the start alone. It does not wait for the
// collector: while that is away spans are dropped, and the log says so once a
// minute.
func NewTracing(ctx context.Context, o TracingOptions) (*Tracing, error) {
	if err := CheckEndpoint(o.Endpoint); err != nil {
		return nil, err
	}
	endpoint, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint.String()))
	if err != nil {
		return nil, err
	}
	var said atomic.Int64
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		now, before := time.Now().Unix(), said.Load()
		if now-before >= 60 && said.CompareAndSwap(before, now) {
			o.Logger.Warn("traces are not taken", "error", err)
		}
	}))
	return &Tracing{sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sampler{ratio: o.Ratio}),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", o.Service), attribute.String("service.version", o.Version),
		)),
	)}, nil
}

// CheckEndpoint says why a URL cannot be a collector's.
func CheckEndpoint(endpoint string) error {
	at, err := url.Parse(endpoint)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return fmt.Errorf("%q is not the http or https URL of a collector", endpoint)
	}
	return nil
}

// Close sends what waits, until ctx ends.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// sampler traces what a caller of ours traces, and by chance a part of the rest. A
// client's own wish does not count: it would decide how much the collector gets.
// Nor does the trace's id, which is the client's choice as well.
type sampler struct{ ratio float64 }

type trustedKey struct{}

// ShouldSample implements sdktrace.Sampler.
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	sampled := parent.IsSampled()
	if trusted, _ := p.ParentContext.Value(trustedKey{}).(bool); !parent.IsValid() || parent.IsRemote() && !trusted {
		sampled = rand.Float64() < s.ratio //nolint:gosec // nobody gains by guessing it
	}
	decision := sdktrace.Drop
	if sampled {
		decision = sdktrace.RecordAndSample
	}
	return sdktrace.SamplingResult{Decision: decision, Tracestate: parent.TraceState()}
}

// Description implements sdktrace.Sampler.
func (s sampler) Description() string { return fmt.Sprintf("tradesage{%g}", s.ratio) }

// Handler makes each request a span, which continues the trace that the request
// names (W3C Trace Context). From a trusted caller, one of our own processes, it
// takes over too whether to trace at all.
func (t *Tracing) Handler(trusted bool, next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	tracer := t.provider.Tracer(scope)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if probes[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		ctx := propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		if trusted {
			ctx = context.WithValue(ctx, trustedKey{}, true)
		}
		ctx, span := tracer.Start(ctx, method(r)+" "+route(r), trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		if !span.IsRecording() {
			next.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		span.SetAttributes(attribute.String("http.request.method", method(r)), attribute.String("url.path", clip(r.URL.Path, maxPath)))
		rec := &recorder{ResponseWriter: w}
		next.ServeHTTP(rec, r.WithContext(ctx))
		span.SetAttributes(
			attribute.Int("http.response.status_code", rec.statusOrOK()),
			attribute.String("tradesage.request_id", w.Header().Get(HeaderRequestID)),
		)
		if rec.statusOrOK() >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
	})
}

// route is the request's path where it is one of ours, so that nobody can make
// names of spans.
func route(r *http.Request) string {
	if r.URL.Path == "/graphql" {
		return r.URL.Path
	}
	return "other"
}

// Span begins a part of a traced request, which may outlive it; end it with End.
// Where nothing is traced it costs next to nothing, and the span records nothing.
func Span(ctx context.Context, name string) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsSampled() {
		return ctx, nothing
	}
	return parent.TracerProvider().Tracer(scope).Start(ctx, name)
}

// nothing is the span of what is not traced.
var nothing = trace.SpanFromContext(context.Background())

// Inject names the trace of ctx in the headers of a request to another process.
func Inject(ctx context.Context, h http.Header) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagator.Inject(ctx, propagation.HeaderCarrier(h))
	}
}

// method is the request's where HTTP knows it, likewise (OpenTelemetry's semantic
// conventions for HTTP, "http.request.method").
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return r.Method
	}
	return "_OTHER"
}
