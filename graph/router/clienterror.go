package router

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"time"

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

func refusalError(f *fault.Error) responseError {
	return responseError{Message: f.Message, Extensions: extensions{
		Code: f.Code, Field: f.Field, RetryAfter: seconds(f.RetryAfter), MaxAge: seconds(f.MaxAge),
	}}
}

// joined is a response of encoded errors and data.
func joined(errs, data []byte) []byte {
	out := make([]byte, 0, len(errs)+len(data)+len(errorsFirst)+len(`,"data":}`))
	out = append(append(out, errorsFirst...), errs...)
	out = append(append(out, `,"data":`...), data...)
	return append(out, '}')
}

func hidden(ctx context.Context, path json.RawMessage) responseError {
	e := internalError(ctx)
	e.Path = path
	return e
}

// below reports whether an error's path is one of those of refusals or leads
// further down from it.
func below(path json.RawMessage, refused []responseError) bool {
	for _, r := range refused {
		open := r.Path[:len(r.Path)-1]
		if string(path) == string(r.Path) || len(path) > len(open) && string(path[:len(open)]) == string(open) && path[len(open)] == ',' {
			return true
		}
	}
	return false
}
