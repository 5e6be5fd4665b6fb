package router

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/rights"
	"github.com/tradesage/tradesage/internal/fault"
)

// plannedDocument returns what of an operation is planned, and notes in op what
// that leaves to be done. It is nil where the caller may see nothing of it.
func (r *generation) plannedDocument(op *operation, doc *ast.Document) (*ast.Document, error) {
	op.rights, _ = r.graph.Rights.Of(doc)
	part := op.key.refused != ""
	if !part && (op.kind != ast.OperationTypeSubscription || len(op.rights) == 0) {
		return document.Duplicate(doc)
	}
	ids, err := rights.DecodeIDs(op.key.refused)
	if err != nil {
		return nil, err
	}
	pruned, marked, err := rights.Prune(r.graph.Rights, doc, ids, op.voids)
	if err != nil {
		return nil, err
	}
	if !part && !marked {
		return document.Duplicate(doc)
	}
	op.whole = doc
	return pruned, nil
}

// allowedPart returns the part of an operation that is left without what is
// refused. It takes the same variables.
func (o *operation) allowedPart(ctx context.Context, refused *rights.Refusals) (*operation, error) {
	r, key := o.from, o.key
	key.refused = rights.EncodeIDs(refused.IDs)
	if found, ok := r.cache.GetIfPresent(key); ok {
		r.metrics.hits.Inc()
		return found.operation, nil
	}
	found, err := r.load(ctx, key)
	if err != nil {
		return nil, err
	}
	r.metrics.misses.Inc()
	return found.operation, nil
}

// respondInPart runs what of a query or mutation the caller may see and do.
func (r *Router) respondInPart(
	ctx context.Context, op *operation, refused *rights.Refusals, variables *astjson.Value, out *bytes.Buffer,
) (response []byte, failed bool, _ error) {
	part, err := op.allowedPart(ctx, refused)
	if err != nil {
		return nil, true, err
	}
	ctx = part.entities.Keep(ctx, nil)
	answer, _, err := r.resolve(ctx, part, variables, out)
	if err != nil {
		return nil, true, err
	}
	parsed, err := astjson.ParseBytes(answer)
	if err != nil {
		return nil, true, fault.Internal(err)
	}
	response, err = r.completed(ctx, part, refused, parsed, nil)
	return response, true, err
}

// completed renders the answer of a part, or of a subscription's event, with what
// was refused. more are errors beside the answer's own.
func (r *Router) completed(ctx context.Context, part *operation, refused *rights.Refusals, answer *astjson.Value, more []*astjson.Value) ([]byte, error) {
	found := append(more, answer.GetArray("errors")...)
	rest := []byte("null")
	var denied []clienterr.Error
	if data := answer.Get("data"); data != nil && data.Type() == astjson.TypeObject {
		rest, denied = part.from.graph.Rights.Complete(part.whole, refused, data, part.voids)
	}
	var errs []clienterr.Error
	if len(found) > 0 {
		for _, e := range r.placedErrors(ctx, found, rest) {
			if !clienterr.Below(e.Path, denied) { // a subgraph has refused it too
				errs = append(errs, e)
			}
		}
	}
	errs = append(errs, denied...)
	if len(errs) == 0 {
		return clienterr.Data(rest), nil
	}
	for i := range errs {
		if errs[i].Extensions.Code == fault.CodeInternal {
			errs[i] = clienterr.Hidden(ctx, errs[i].Path)
		}
	}
	encoded, err := json.Marshal(errs)
	if err != nil {
		return nil, fault.Internal(fmt.Errorf("errors of a response: %w", err))
	}
	return clienterr.Joined(encoded, rest), nil
}

// admittedTo tells what of a subscription is refused to the caller of ctx; it
// fails where that is the subscription itself.
func (r *Router) admittedTo(ctx context.Context, op *operation, variables *astjson.Value) (*rights.Refusals, error) {
	refused, err := r.refused(ctx, op, variables)
	if err != nil {
		return nil, err
	}
	return refused, refused.Err(op.trigger.rights)
}
