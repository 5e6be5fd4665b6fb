package router

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"go.opentelemetry.io/otel/trace"

	"github.com/tradesage/tradesage/graph/packed"
	"github.com/tradesage/tradesage/graph/router/internal/accept"
	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooledBuffer keeps one large response from staying in memory for good.
const maxPooledBuffer = 1 << 20

func putBuffer(b *bytes.Buffer) {
	if b.Cap() <= maxPooledBuffer {
		buffers.Put(b)
	}
}

// exchange is one request on its way through the router.
type exchange struct {
	router *Router
	w      http.ResponseWriter
	media  string
	start  time.Time
	// op is what runs, once it is known.
	op *operation
	// stream is whether the results go out as server-sent events, streamable whether
	// those of a subscription may.
	stream, streamable bool
	// get is whether the request is a GET, which runs queries only.
	get bool
	// packed is how a body is compressed.
	packed packed.Coding
	// authorization is the client's header, for subgraphs of other processes.
	authorization string
	// slot is held from before the operation is parsed until its answer is ready.
	slot slot
}

// ServeHTTP answers GraphQL over WebSocket (graphql-transport-ws), over
// server-sent events where the client prefers text/event-stream, or accepts it and
// subscribes, and over HTTP:
// POST with an application/json body, plain or as gzip, or GET for queries, which a
// page of another origin must not be able to send unasked (else 403). The response is
// application/json, or application/graphql-response+json if the client prefers it;
// with the former a document that is refused answers 200, as the specification
// asks, with the latter 400. Other statuses: 400 for what is no GraphQL request,
// 401 and 503 from Options.Authenticate, 405, 406, 408, 413, 414 and 415. Every answer
// is a GraphQL response with coded errors.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	x := &exchange{router: r, w: w, media: accept.JSON, start: time.Now()}
	ctx, id := telemetry.EnsureRequestID(req.Context())
	if w.Header().Get(telemetry.HeaderRequestID) == "" { // nobody has told it before
		w.Header().Set(telemetry.HeaderRequestID, id)
	}
	defer func() {
		if p := recover(); p != nil {
			r.log.ErrorContext(ctx, "panic in router", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			x.refuse(ctx, http.StatusInternalServerError, outcomeFailed, fault.Internal(errors.New("panic")))
		}
	}()
	x.serve(ctx, req)
}

func (x *exchange) serve(ctx context.Context, req *http.Request) {
	if isUpgrade(req) {
		x.serveSocket(ctx, req)
		return
	}
	x.get = req.Method == http.MethodGet
	if !x.get && req.Method != http.MethodPost {
		x.w.Header().Set("Allow", "GET, POST")
		x.refuse(ctx, http.StatusMethodNotAllowed, outcomeInvalid, fault.InvalidInput("", "send operations with POST, or queries with GET"))
		return
	}
	wanted, ok := accept.Of(req.Header["Accept"])
	if !ok {
		x.refuse(ctx, http.StatusNotAcceptable, outcomeInvalid,
			fault.InvalidInput("", "answers are "+accept.JSON+" or "+accept.Response+", of subscriptions "+accept.Events))
		return
	}
	x.media, x.stream, x.streamable = wanted.Media, wanted.Stream, wanted.Streamable
	if status, err := x.checkHeaders(req.Header); err != nil {
		x.refuse(ctx, status, outcomeInvalid, err)
		return
	}
	ctx, err := x.authenticate(ctx, req)
	if err != nil {
		x.refuseCaller(ctx, err)
		return
	}
	body := buffers.Get().(*bytes.Buffer)
	body.Reset()
	defer putBuffer(body)
	x.router.countClient(ctx)
	class := x.router.classOf(ctx)
	if err = x.router.knownDenied(ctx, class); err == nil {
		err = x.router.crowded(ctx, class)
	}
	if err != nil {
		x.refuseOperation(ctx, err)
		return
	}
	text, status, err := x.readText(req, class, body)
	var parsed request
	if err == nil { // a client that is slow to send holds nothing
		if err := x.slot.enter(ctx, x.router, class); err != nil {
			x.refuseOperation(ctx, err)
			return
		}
		defer x.slot.leave()
		parsed, err = parseRequest(text)
		status = http.StatusBadRequest
	}
	if err != nil {
		class.count(err)
		if _, limited := x.router.take(ctx, class, nil, 0, nil); limited != nil {
			x.refuseOperation(ctx, limited)
			return
		}
		x.refuse(ctx, status, outcomeInvalid, err)
		return
	}
	x.run(ctx, class, parsed)
}

// authenticate returns a context with the caller, if there is one.
func (x *exchange) authenticate(ctx context.Context, req *http.Request) (context.Context, error) {
	r := x.router
	x.authorization = req.Header.Get("Authorization")
	if r.options.Authenticate == nil {
		return ctx, nil
	}
	caller, err := r.options.Authenticate(req)
	if err != nil || caller == nil {
		return ctx, err
	}
	return identity.NewContext(ctx, caller), nil
}

func (x *exchange) refuseCaller(ctx context.Context, err error) {
	f, ok := fault.As(err)
	if !ok {
		x.router.log.WarnContext(ctx, "authentication failed", "error", err)
		f = fault.Unauthenticated(signInFirst)
	}
	status := http.StatusUnauthorized
	switch f.Code {
	case fault.CodeUnavailable, fault.CodeRateLimited:
		status = clienterr.Statuses[f.Code]
	default:
		x.w.Header().Set("WWW-Authenticate", "Bearer")
		class := x.router.classOf(ctx)
		if err := x.router.takeFromAddress(ctx, class, class.rates.IP); err != nil {
			x.refuseOperation(ctx, err)
			return
		}
	}
	x.refuse(ctx, status, outcomeRefused, f)
}

// checkHeaders refuses what is not read: bodies of other media types and, of GETs,
// those that any page could have a browser send.
func (x *exchange) checkHeaders(h http.Header) (status int, _ error) {
	switch {
	case x.get && !preflighted(h):
		return http.StatusForbidden, errSimpleRequest
	case x.get:
		return http.StatusOK, nil
	case !isJSON(h.Get("Content-Type")):
		return http.StatusUnsupportedMediaType, fault.InvalidInput("", "the Content-Type must be "+accept.JSON+", in UTF-8")
	}
	var known bool
	if x.packed, known = packed.Of(h); !known {
		x.w.Header().Set("Accept-Encoding", packed.Accepted)
		return http.StatusUnsupportedMediaType, fault.InvalidInput("", "the Content-Encoding must be gzip, or none")
	}
	return http.StatusOK, nil
}

// readText reads a request's text from the body or, of a GET, from the URL. What it
// returns may point into the buffer.
func (x *exchange) readText(req *http.Request, class *class, buffer *bytes.Buffer) (text []byte, status int, _ error) {
	if !x.get {
		status, err := x.readBody(req, class, buffer)
		return buffer.Bytes(), status, err
	}
	if int64(len(req.URL.RawQuery)) > class.Limits.MaxBodyBytes {
		class.refused("body")
		return nil, http.StatusRequestURITooLong, fault.InvalidInput("", "the URL is too long: send the operation with POST")
	}
	text, err := readURL(req.URL.RawQuery)
	return text, http.StatusBadRequest, err
}

func (x *exchange) readBody(req *http.Request, class *class, into *bytes.Buffer) (status int, _ error) {
	limit := class.Limits.MaxBodyBytes
	if req.ContentLength > limit {
		return tooLarge(class)
	}
	var err error
	if x.packed == packed.Identity {
		_, err = into.ReadFrom(io.LimitReader(req.Body, limit+1))
	} else {
		err = packed.Unpack(into, req.Body, limit)
	}
	switch {
	case errors.Is(err, packed.ErrTooLarge):
		return tooLarge(class)
	case errors.Is(err, packed.ErrMalformed):
		return http.StatusBadRequest, fault.InvalidInput("", "the request body is not gzip, as its Content-Encoding says, or broke off")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout, fault.InvalidInput("", "the request body did not come in time")
	case err != nil:
		return http.StatusBadRequest, fault.InvalidInput("", "the request body broke off")
	}
	if int64(into.Len()) > limit {
		return tooLarge(class)
	}
	return http.StatusOK, nil
}

func tooLarge(class *class) (status int, _ error) {
	class.refused("body")
	return http.StatusRequestEntityTooLarge,
		fault.InvalidInput("", fmt.Sprintf("the request body is larger than %d bytes", class.Limits.MaxBodyBytes))
}

// run prepares and runs an operation and writes its response.
func (x *exchange) run(ctx context.Context, class *class, request request) {
	r := x.router
	ctx, span := telemetry.Span(ctx, "operation")
	defer span.End()
	op, variables, verdict, err := r.bind(ctx, class, &request)
	x.tellRates(class, verdict)
	if op != nil {
		x.op = op
		if x.get && op.kind != ast.OperationTypeQuery {
			x.w.Header().Set("Allow", http.MethodPost)
			x.refuse(ctx, http.StatusMethodNotAllowed, outcomeInvalid, fault.InvalidInput("query", "only queries are served by GET; send it with POST"))
			return
		}
		x.stream = x.stream || x.streamable && op.trigger != nil
	}
	if err == nil {
		err = x.slot.suit(ctx, r, class, op)
	}
	if err != nil {
		x.refuseOperation(ctx, err)
		return
	}
	// Another supergraph may bring a remote subgraph while a stream goes on; what else
	// runs ends with the subgraphs that it was planned for.
	if x.stream && r.passesTokens() || op.from.hasRemote {
		ctx = withBearer(ctx, newBearer(x.authorization))
	}
	if x.stream {
		x.serveStream(ctx, op, variables, r.rebinding(op, request))
		return
	}
	if op.trigger != nil {
		x.refuseOperation(ctx, fault.InvalidInput("query",
			"subscriptions are served over WebSocket (graphql-transport-ws), and over POST with Accept: text/event-stream"))
		return
	}
	out := buffers.Get().(*bytes.Buffer)
	out.Reset()
	defer putBuffer(out)
	response, failed, err := r.respond(ctx, op, variables, out)
	if err != nil {
		x.refuseOperation(ctx, err)
		return
	}
	outcome := outcomeOK
	if failed {
		outcome = outcomeErrors
	}
	x.write(ctx, http.StatusOK, outcome, response)
}

// execute runs a query or mutation and returns a response of its own memory.
func (r *Router) execute(ctx context.Context, op *operation, variables *astjson.Value) (response []byte, failed bool, _ error) {
	var out bytes.Buffer
	return r.respond(ctx, op, variables, &out)
}

// refuseOperation answers an operation that was understood as a request and not
// run.
func (x *exchange) refuseOperation(ctx context.Context, err error) {
	status, outcome, limited := http.StatusBadRequest, outcomeInvalid, false
	if f, ok := fault.As(err); ok {
		status, limited = clienterr.Statuses[f.Code], f.Code == fault.CodeRateLimited
		if f.Code == fault.CodePersistedQueryNotFound || f.Code == fault.CodePersistedQueryNotSupported {
			x.refuse(ctx, status, outcome, err)
			return
		}
		if f.Code == fault.CodeInternal {
			outcome = outcomeFailed
		}
	}
	if limited {
		outcome = outcomeRefused
	} else if x.media == accept.JSON && status < http.StatusInternalServerError {
		status = http.StatusOK
	}
	x.refuse(ctx, status, outcome, err)
}

// refuse writes errors without data.
func (x *exchange) refuse(ctx context.Context, status int, outcome string, err error) {
	if f, ok := fault.As(err); ok && f.RetryAfter > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(clienterr.Seconds(f.RetryAfter)))
		var beyond *rateError
		if errors.As(err, &beyond) {
			x.tellRefusal(beyond)
		}
	}
	x.write(ctx, status, outcome, x.router.errorsOnly(ctx, err))
}

// errorsOnly renders a response of errors without data.
func (r *Router) errorsOnly(ctx context.Context, err error) []byte {
	body, encodeErr := json.Marshal(struct {
		Errors []clienterr.Error `json:"errors"`
	}{r.present(ctx, err)})
	if encodeErr != nil { // only strings and numbers in there
		r.log.ErrorContext(ctx, "encoding errors", "error", encodeErr)
	}
	return body
}

func (x *exchange) write(ctx context.Context, status int, outcome string, body []byte) {
	x.slot.leave() // before a client that is slow to read
	x.ended(ctx, outcome)
	header := x.w.Header()
	header["Vary"] = append(header["Vary"], "Accept")
	header["Content-Type"] = contentTypes[x.media]
	header["X-Content-Type-Options"] = noSniff
	header["Cache-Control"] = noStore
	header.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a client that is gone needs no answer
}

// ended tells of the exchange's operation.
func (x *exchange) ended(ctx context.Context, outcome string) {
	x.router.observe(ctx, x.op, outcome, x.start)
	x.router.record(ctx, x.op, outcome)
	describe(ctx, trace.SpanFromContext(ctx), x.op, outcome)
}

var (
	contentTypes = map[string][]string{
		accept.JSON:     {accept.JSON + "; charset=utf-8"},
		accept.Response: {accept.Response + "; charset=utf-8"},
	}
	noSniff = []string{"nosniff"}
	noStore = []string{"no-store"} // a GET's answer is somebody's own
)

func isJSON(contentType string) bool {
	if contentType == accept.JSON {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != accept.JSON {
		return false
	}
	charset, ok := params["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}
