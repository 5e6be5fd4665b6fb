// Package clienterr makes a response's errors as clients may see them: their codes,
// their places, and what is hidden of them.
package clienterr

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/operationreport"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// InternalMessage is all that a client reads of what went wrong inside.
const InternalMessage = "internal error"

// Statuses are the codes that an error may carry to the client, with the HTTP status
// of a request that fails by it. An error of any other code or of none is masked.
var Statuses = map[fault.Code]int{
	fault.CodeUnauthenticated:            http.StatusUnauthorized,
	fault.CodeForbidden:                  http.StatusForbidden,
	fault.CodeNotFound:                   http.StatusNotFound,
	fault.CodeConflict:                   http.StatusConflict,
	fault.CodeInvalidInput:               http.StatusBadRequest,
	fault.CodeRateLimited:                http.StatusTooManyRequests,
	fault.CodeQuotaExceeded:              http.StatusForbidden,
	fault.CodeStepUpRequired:             http.StatusForbidden,
	fault.CodeTenantSuspended:            http.StatusForbidden,
	fault.CodeTenantNotReady:             http.StatusServiceUnavailable,
	fault.CodePersistedQueryNotFound:     http.StatusBadRequest,
	fault.CodePersistedQueryNotSupported: http.StatusBadRequest,
	fault.CodeOperationTooComplex:        http.StatusBadRequest,
	fault.CodeUnavailable:                http.StatusServiceUnavailable,
	fault.CodeInternal:                   http.StatusInternalServerError,
}

// Error is an error as a client sees it.
type Error struct {
	Message    string          `json:"message"`
	Locations  []Location      `json:"locations,omitempty"`
	Path       json.RawMessage `json:"path,omitempty"`
	Extensions Extensions      `json:"extensions"`
}

// Location is a place in the client's text, counted from 1.
type Location struct {
	Line   uint32 `json:"line"`
	Column uint32 `json:"column"`
}

// Extensions tell programs what the message tells people.
type Extensions struct {
	Code       fault.Code `json:"code"`
	Field      string     `json:"field,omitempty"`
	RetryAfter int        `json:"retryAfter,omitempty"` // seconds
	Cost       int64      `json:"cost,omitempty"`       // of an operation that is too dear,
	Limit      int64      `json:"limit,omitempty"`      // and what it may cost
	MaxAge     int        `json:"maxAge,omitempty"`     // seconds
	RequestID  string     `json:"requestId,omitempty"`
}

// DocumentError is one or more errors in a document, with their places.
type DocumentError struct {
	Errors []Error
	// Text is the document where one of its names is unknown, else empty.
	Text string
}

func (e *DocumentError) Error() string { return e.Errors[0].Message }

// FromReport turns the engine's report into the client's error: what is wrong
// with the document, or INTERNAL if the engine failed by itself.
func FromReport(report operationreport.Report) error {
	if len(report.ExternalErrors) == 0 {
		return fault.Internal(report)
	}
	out := &DocumentError{}
	for _, external := range report.ExternalErrors {
		e := Error{Message: Clip(external.Message, MaxMessage), Extensions: Extensions{Code: fault.CodeInvalidInput}}
		for _, l := range external.Locations {
			if l.Line > 0 && l.Column > 0 {
				e.Locations = append(e.Locations, Location{Line: l.Line, Column: l.Column})
			}
		}
		out.Errors = append(out.Errors, e)
	}
	return out
}

// MaxMessage bounds a message, in bytes: those about a document repeat parts of it, and
// those of the subgraphs of others say what they like.
const MaxMessage = 500

// Clip bounds a text of a client's that an error repeats, in bytes.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// RequestID is the id of the request for failures that are not the client's: with
// it they are found in the log.
func RequestID(ctx context.Context, code fault.Code) string {
	if code == fault.CodeInternal || code == fault.CodeUnavailable {
		return telemetry.RequestID(ctx)
	}
	return ""
}

// Internal is an error of which the client learns nothing but the request's id.
func Internal(ctx context.Context) Error {
	return Error{
		Message:    InternalMessage,
		Extensions: Extensions{Code: fault.CodeInternal, RequestID: telemetry.RequestID(ctx)},
	}
}

// Seconds rounds up: a client that waits less comes too early.
func Seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// ErrorsFirst begins each response of the engine that holds errors.
const ErrorsFirst = `{"errors":`

// FromFault is a fault as a client sees it.
func FromFault(f *fault.Error) Error {
	return Error{Message: Clip(f.Message, MaxMessage), Extensions: Extensions{
		Code: f.Code, Field: f.Field, RetryAfter: Seconds(f.RetryAfter), MaxAge: Seconds(f.MaxAge),
	}}
}

// Joined is a response of encoded errors and data.
func Joined(errs, data []byte) []byte {
	out := make([]byte, 0, len(errs)+len(data)+len(ErrorsFirst)+len(`,"data":}`))
	out = append(append(out, ErrorsFirst...), errs...)
	out = append(append(out, `,"data":`...), data...)
	return append(out, '}')
}

// Data is a response of data alone.
func Data(data []byte) []byte { return append(append([]byte(`{"data":`), data...), '}') }

// Hidden is Internal at a path.
func Hidden(ctx context.Context, path json.RawMessage) Error {
	e := Internal(ctx)
	e.Path = path
	return e
}

// Below reports whether an error's path is one of those of refusals or leads
// further down from it.
func Below(path json.RawMessage, refused []Error) bool {
	for _, r := range refused {
		open := r.Path[:len(r.Path)-1]
		if string(path) == string(r.Path) || len(path) > len(open) && string(path[:len(open)]) == string(open) && path[len(open)] == ',' {
			return true
		}
	}
	return false
}
