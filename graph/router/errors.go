package router

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/entities"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
)

// present turns an error of a request that was not run into the client's errors
// and logs what is hidden from the client.
func (r *Router) present(ctx context.Context, err error) []clienterr.Error {
	var document *clienterr.DocumentError
	if errors.As(err, &document) {
		return document.Errors
	}
	f, ok := fault.As(err)
	if !ok {
		f = fault.Internal(err)
	}
	if f.Code == fault.CodeInternal {
		r.log.ErrorContext(ctx, "request failed", "error", errors.Unwrap(f))
		return []clienterr.Error{clienterr.Internal(ctx)}
	}
	e := clienterr.FromFault(f)
	e.Extensions.RequestID = clienterr.RequestID(ctx, f.Code)
	var dear *costError
	if errors.As(f, &dear) {
		e.Extensions.Cost, e.Extensions.Limit = dear.cost, dear.limit
	}
	return []clienterr.Error{e}
}

// clientResponse rewrites the errors of a finished response for the client. A
// response without errors is returned as it is.
func (r *Router) clientResponse(ctx context.Context, response []byte) (_ []byte, failed bool, _ error) {
	if len(response) < len(clienterr.ErrorsFirst) || string(response[:len(clienterr.ErrorsFirst)]) != clienterr.ErrorsFirst {
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
	return r.withErrors(ctx, parsed.GetArray("errors"), rest)
}

// withErrors renders a response of data and errors, as the client may see them, and
// tells whether there are any.
func (r *Router) withErrors(ctx context.Context, found []*astjson.Value, data []byte) (_ []byte, failed bool, _ error) {
	errs := r.placedErrors(ctx, found, data)
	if len(errs) == 0 {
		return clienterr.Data(data), false, nil
	}
	encoded, err := json.Marshal(errs)
	if err != nil {
		return nil, true, fault.Internal(err)
	}
	return clienterr.Joined(encoded, data), true, nil
}

// placedErrors are the errors of an operation's response as the client may see them.
func (r *Router) placedErrors(ctx context.Context, found []*astjson.Value, data []byte) []clienterr.Error {
	errs, voids := r.clientErrors(ctx, found)
	kept := entities.Kept(ctx)
	kept.Show(data)
	out := make([]clienterr.Error, 0, len(errs))
	for _, e := range errs {
		for _, path := range kept.Paths(e.Path) { // one at each place where the entity stands
			e.Path = path
			out = append(out, e)
		}
	}
	var everywhere []json.RawMessage
	for _, void := range voids {
		everywhere = append(everywhere, kept.Alike(void)...)
	}
	for _, void := range clienterr.Unexplained(out, everywhere) {
		r.log.ErrorContext(ctx, "subgraph gave no value for a non-null field", "path", string(void))
		out = append(out, clienterr.Hidden(ctx, void))
	}
	return out
}

// clientErrors reads errors, and where fields had no value that must have one.
func (r *Router) clientErrors(ctx context.Context, found []*astjson.Value) (_ []clienterr.Error, voids []json.RawMessage) {
	out := make([]clienterr.Error, 0, len(found))
	var consequences []clienterr.Error
	for _, e := range found {
		message := document.ClientMessage(string(e.GetStringBytes("message")))
		x := clienterr.Extensions{Code: fault.Code(e.GetStringBytes("extensions", "code"))}
		_, known := clienterr.Statuses[x.Code]
		if known && x.Code != fault.CodeInternal {
			x.Field = clienterr.Clip(string(e.GetStringBytes("extensions", "field")), clienterr.MaxMessage)
			x.RetryAfter = e.GetInt("extensions", "retryAfter")
			x.MaxAge = e.GetInt("extensions", "maxAge")
			x.RequestID = clienterr.RequestID(ctx, x.Code)
			out = append(out, clienterr.Error{Message: clienterr.Clip(message, clienterr.MaxMessage), Path: clientPath(e.Get("path")), Extensions: x})
			continue
		}
		masked := clienterr.Hidden(ctx, clientPath(e.Get("path")))
		// A non-null field without a value is most often the consequence of an error
		// that is in the list already; alone, it is the subgraph's fault.
		if x.Code == "" && strings.HasPrefix(message, "Cannot return null for non-nullable") {
			consequences, voids = append(consequences, masked), append(voids, masked.Path)
			continue
		}
		if !known {
			r.log.ErrorContext(ctx, "unexpected subgraph error", "message", clienterr.Clip(message, clienterr.MaxMessage), "path", string(masked.Path))
		}
		out = append(out, masked)
	}
	if len(out) == 0 {
		r.log.ErrorContext(ctx, "subgraph gave no value for a non-null field", "count", len(consequences))
		return consequences, voids
	}
	return out, voids
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
			out = rawjson.AppendString(out, document.ClientName(string(element.GetStringBytes())))
		} else {
			out = element.MarshalTo(out)
		}
	}
	return append(out, ']')
}
