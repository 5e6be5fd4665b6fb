package router

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/internal/fault"
)

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
