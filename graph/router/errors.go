package router

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/operationreport"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/telemetry"
)

const internalMessage = "internal error"

// knownCodes are the codes that a subgraph's error may carry to the client; an
// error of any other code or of none is masked.
var knownCodes = map[fault.Code]int{
	fault.CodeUnauthenticated:        http.StatusUnauthorized,
	fault.CodeForbidden:              http.StatusForbidden,
	fault.CodeNotFound:               http.StatusNotFound,
	fault.CodeConflict:               http.StatusConflict,
	fault.CodeInvalidInput:           http.StatusBadRequest,
	fault.CodeRateLimited:            http.StatusTooManyRequests,
	fault.CodeQuotaExceeded:          http.StatusForbidden,
	fault.CodeStepUpRequired:         http.StatusForbidden,
	fault.CodeTenantSuspended:        http.StatusForbidden,
	fault.CodeTenantNotReady:         http.StatusServiceUnavailable,
	fault.CodePersistedQueryNotFound: http.StatusBadRequest,
	fault.CodeOperationTooComplex:    http.StatusBadRequest,
	fault.CodeUnavailable:            http.StatusServiceUnavailable,
	fault.CodeInternal:               http.StatusInternalServerError,
}

// responseError is an error as a client sees it.
type responseError struct {
	Message    string          `json:"message"`
	Locations  []location      `json:"locations,omitempty"`
	Path       json.RawMessage `json:"path,omitempty"`
	Extensions extensions      `json:"extensions"`
}

type location struct {
	Line   uint32 `json:"line"`
	Column uint32 `json:"column"`
}

type extensions struct {
	Code       fault.Code `json:"code"`
	Field      string     `json:"field,omitempty"`
	RetryAfter int        `json:"retryAfter,omitempty"` // seconds
	Cost       int64      `json:"cost,omitempty"`       // of an operation that is too dear,
	Limit      int64      `json:"limit,omitempty"`      // and what it may cost
	MaxAge     int        `json:"maxAge,omitempty"`     // seconds
	RequestID  string     `json:"requestId,omitempty"`
}

// documentError is one or more errors in a document, with their places.
type documentError struct{ errors []responseError }

func (e *documentError) Error() string { return e.errors[0].Message }

// reportError turns the engine's report into the client's error: what is wrong
// with the document, or INTERNAL if the engine failed by itself.
func reportError(report operationreport.Report) error {
	if len(report.ExternalErrors) == 0 {
		return fault.Internal(report)
	}
	out := &documentError{}
	for _, external := range report.ExternalErrors {
		e := responseError{Message: external.Message, Extensions: extensions{Code: fault.CodeInvalidInput}}
		for _, l := range external.Locations {
			if l.Line > 0 && l.Column > 0 {
				e.Locations = append(e.Locations, location{Line: l.Line, Column: l.Column})
			}
		}
		out.errors = append(out.errors, e)
	}
	return out
}

// present turns an error of a request that was not run into the client's errors
// and logs what is hidden from the client.
func (r *Router) present(ctx context.Context, err error) []responseError {
	var document *documentError
	if errors.As(err, &document) {
		return document.errors
	}
	f, ok := fault.As(err)
	if !ok {
		f = fault.Internal(err)
	}
	if f.Code == fault.CodeInternal {
		r.log.ErrorContext(ctx, "request failed", "error", errors.Unwrap(f))
		return []responseError{internalError(ctx)}
	}
	x := extensions{Code: f.Code, Field: f.Field, RetryAfter: seconds(f.RetryAfter), MaxAge: seconds(f.MaxAge)}
	x.RequestID = reportable(ctx, f.Code)
	var dear *costError
	if errors.As(f, &dear) {
		x.Cost, x.Limit = dear.cost, dear.limit
	}
	return []responseError{{Message: f.Message, Extensions: x}}
}

// reportable is the id of the request for failures that are not the client's: with
// it they are found in the log.
func reportable(ctx context.Context, code fault.Code) string {
	if code == fault.CodeInternal || code == fault.CodeUnavailable {
		return telemetry.RequestID(ctx)
	}
	return ""
}

func internalError(ctx context.Context) responseError {
	return responseError{
		Message:    internalMessage,
		Extensions: extensions{Code: fault.CodeInternal, RequestID: telemetry.RequestID(ctx)},
	}
}

// seconds rounds up: a client that waits less comes too early.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// errorsFirst begins each response of the engine that holds errors.
const errorsFirst = `{"errors":`

// clientResponse rewrites the errors of a finished response for the client. A
// response without errors is returned as it is.
func (r *Router) clientResponse(ctx context.Context, response []byte) (_ []byte, failed bool, _ error) {
	if len(response) < len(errorsFirst) || string(response[:len(errorsFirst)]) != errorsFirst {
		return response, false, nil
	}
	parsed, err := astjson.ParseBytes(response)
	if err != nil {
		return nil, true, fault.Internal(err)
	}
	rest := []byte("null")
	if data := parsed.Get("data"); data != nil {
		rest = data.MarshalTo(nil)
	}
	out, err := r.withErrors(ctx, parsed.GetArray("errors"), rest)
	return out, true, err
}

// withErrors renders a response of data and errors, as the client may see them.
func (r *Router) withErrors(ctx context.Context, found []*astjson.Value, data []byte) ([]byte, error) {
	encoded, err := json.Marshal(placed(r.clientErrors(ctx, found), data))
	if err != nil {
		return nil, fault.Internal(err)
	}
	return joined(encoded, data), nil
}

// joined is a response of encoded errors and data.
func joined(errs, data []byte) []byte {
	out := make([]byte, 0, len(errs)+len(data)+len(errorsFirst)+len(`,"data":}`))
	out = append(append(out, errorsFirst...), errs...)
	out = append(append(out, `,"data":`...), data...)
	return append(out, '}')
}

func (r *Router) clientErrors(ctx context.Context, found []*astjson.Value) []responseError {
	out := make([]responseError, 0, len(found))
	var consequences []responseError
	for _, e := range found {
		message := clientMessage(string(e.GetStringBytes("message")))
		x := extensions{Code: fault.Code(e.GetStringBytes("extensions", "code"))}
		_, known := knownCodes[x.Code]
		if known && x.Code != fault.CodeInternal {
			x.Field = string(e.GetStringBytes("extensions", "field"))
			x.RetryAfter = e.GetInt("extensions", "retryAfter")
			x.MaxAge = e.GetInt("extensions", "maxAge")
			x.RequestID = reportable(ctx, x.Code)
			out = append(out, responseError{Message: message, Path: clientPath(e.Get("path")), Extensions: x})
			continue
		}
		masked := internalError(ctx)
		masked.Path = clientPath(e.Get("path"))
		// A non-null field without a value is most often the consequence of an error
		// that is in the list already; alone, it is the subgraph's fault.
		if x.Code == "" && strings.HasPrefix(message, "Cannot return null for non-nullable") {
			consequences = append(consequences, masked)
			continue
		}
		if !known {
			r.log.ErrorContext(ctx, "unexpected subgraph error", "message", message, "path", string(masked.Path))
		}
		out = append(out, masked)
	}
	if len(out) == 0 {
		r.log.ErrorContext(ctx, "subgraph gave no value for a non-null field", "count", len(consequences))
		return consequences
	}
	return out
}

// clientPath restores the client's aliases in a path.
func clientPath(path *astjson.Value) json.RawMessage {
	if path == nil || path.Type() != astjson.TypeArray {
		return nil
	}
	out := []byte{'['}
	for i, element := range path.GetArray() {
		if i > 0 {
			out = append(out, ',')
		}
		if element.Type() == astjson.TypeString {
			out = appendJSONString(out, clientName(string(element.GetStringBytes())))
		} else {
			out = element.MarshalTo(out)
		}
	}
	return append(out, ']')
}
