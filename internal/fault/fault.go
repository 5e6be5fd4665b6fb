// Package fault is the one error type that clients may see: a stable code, a
// message that is safe to show, and what the code's reader needs to act on it.
//
// Domain packages return these; the GraphQL presenter shows them as they are.
// Every other error is logged and shown as Internal.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Code names a kind of failure. Codes are part of the public API and never
// change their meaning; docs/errors.md lists them for integrators.
type Code string

// The codes a client can meet in errors[].extensions.code.
const (
	CodeUnauthenticated            Code = "UNAUTHENTICATED"
	CodeForbidden                  Code = "FORBIDDEN"
	CodeNotFound                   Code = "NOT_FOUND"
	CodeConflict                   Code = "CONFLICT"
	CodeInvalidInput               Code = "INVALID_INPUT"
	CodeRateLimited                Code = "RATE_LIMITED"
	CodeQuotaExceeded              Code = "QUOTA_EXCEEDED"
	CodeStepUpRequired             Code = "STEP_UP_REQUIRED"
	CodeTenantSuspended            Code = "TENANT_SUSPENDED"
	CodeTenantNotReady             Code = "TENANT_NOT_READY"
	CodePersistedQueryNotFound     Code = "PERSISTED_QUERY_NOT_FOUND"
	CodePersistedQueryNotSupported Code = "PERSISTED_QUERY_NOT_SUPPORTED"
	CodeOperationTooComplex        Code = "OPERATION_TOO_COMPLEX"
	CodeUnavailable                Code = "UNAVAILABLE"
	CodeInternal                   Code = "INTERNAL"
)

// Error is a failure that a client may see. Message never holds secrets,
// SQL, or another tenant's data.
type Error struct {
	Code    Code
	Message string
	// Field is the path of the offending input, as "input.email"; set with
	// CodeInvalidInput and, where one field is to blame, CodeConflict.
	Field string
	// RetryAfter is how long to wait before trying again; set with
	// CodeRateLimited and, where known, CodeUnavailable.
	RetryAfter time.Duration
	// MaxAge is how old a sign-in may be; set with CodeStepUpRequired.
	MaxAge time.Duration

	cause error
}

// Error returns the code and the message; the cause is left to the log.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the internal cause, which is never shown to clients.
func (e *Error) Unwrap() error { return e.cause }

// Because records the internal cause for the log and returns a copy.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// As finds the client-visible error in err's chain. An error that says of
// itself that something needed is unavailable counts as CodeUnavailable.
func As(err error) (*Error, bool) {
	var f *Error
	if errors.As(err, &f) {
		return f, true
	}
	var u interface{ Unavailable() bool }
	if errors.As(err, &u) && u.Unavailable() {
		return Unavailable("a service that this needs does not answer; try again").Because(err), true
	}
	return nil, false
}

// Is reports whether err's chain holds a client-visible error of this code.
func Is(err error, code Code) bool {
	f, ok := As(err)
	return ok && f.Code == code
}

// New returns an error of any code; prefer the named constructors.
func New(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// Unauthenticated says that no valid sign-in came with the request.
func Unauthenticated(message string) *Error { return New(CodeUnauthenticated, message) }

// Forbidden says that the caller is known and may not do this.
func Forbidden(message string) *Error { return New(CodeForbidden, message) }

// NotFound says that the thing does not exist for this caller; things of
// another tenant answer exactly like things that never existed.
func NotFound(message string) *Error { return New(CodeNotFound, message) }

// Conflict says that field's value is taken or its state has moved on.
func Conflict(field, message string) *Error {
	return &Error{Code: CodeConflict, Message: message, Field: field}
}

// InvalidInput says what is wrong with field and what is allowed.
func InvalidInput(field, message string) *Error {
	return &Error{Code: CodeInvalidInput, Message: message, Field: field}
}

// RateLimited says to come back after the given time.
func RateLimited(message string, retryAfter time.Duration) *Error {
	return &Error{Code: CodeRateLimited, Message: message, RetryAfter: retryAfter}
}

// StepUpRequired says that the caller has proved who they are longer ago than
// maxAge, which is in whole seconds, and what to do.
func StepUpRequired(maxAge time.Duration) *Error {
	return &Error{Code: CodeStepUpRequired, MaxAge: maxAge, Message: fmt.Sprintf(
		"this needs a password that was given in the last %d seconds: ask for it, call confirmPassword, and repeat this with the access token that it answers",
		int64(maxAge/time.Second))}
}

// Unavailable says that something needed does not answer at the moment.
func Unavailable(message string) *Error { return New(CodeUnavailable, message) }

// Internal hides a failure that is ours; cause goes to the log.
func Internal(cause error) *Error {
	return &Error{Code: CodeInternal, Message: "internal error", cause: cause}
}
