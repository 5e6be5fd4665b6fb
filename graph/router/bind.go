package router

import (
	"context"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/internal/ratelimit"
)

// bind prepares a request's operation and its variables, and charges it to the rate
// limits: a request that fails counts, too. The operation is returned with an error,
// too, if it is known.
func (r *Router) bind(ctx context.Context, class *class, request *request) (*operation, *astjson.Value, ratelimit.Verdict, error) {
	var op *operation
	var variables *astjson.Value
	var price int64
	err := r.find(ctx, request)
	if err == nil {
		op, variables, price, err = r.bindOperation(ctx, class, *request)
	} else {
		class.count(err)
	}
	if err != nil {
		verdict, limited := r.take(ctx, class, nil, 0, nil)
		if limited != nil {
			return op, nil, verdict, limited
		}
		return op, nil, verdict, r.suggesting(ctx, err)
	}
	verdict, err := r.take(ctx, class, op, price, request.variables)
	if err != nil {
		return op, nil, verdict, err
	}
	r.register(ctx, request)
	return op, variables, verdict, nil
}

// bindOperation prepares a request's operation and its variables. The operation is
// returned with an error, too, if it is known.
func (r *Router) bindOperation(ctx context.Context, class *class, request request) (_ *operation, _ *astjson.Value, price int64, _ error) {
	current := r.current.Load()
	op, err := current.prepare(ctx, request.query, request.operationName, request.variables)
	if err != nil {
		class.count(err)
		return nil, nil, 0, err
	}
	if err := class.admits(op); err != nil {
		return op, nil, 0, err
	}
	if op.kind != ast.OperationTypeQuery && r.options.AllowMutations != nil {
		if err := r.options.AllowMutations(); err != nil {
			return op, nil, 0, err
		}
	}
	tools := current.tools.Get().(*toolkit)
	defer current.tools.Put(tools)
	variables, err := op.variables.Bind(current.graph.Inputs, tools.check, request.variables)
	if err != nil {
		return op, nil, 0, err
	}
	if price, err = class.price(op, request.variables); err == nil && op.trigger != nil {
		op, err = op.askable(ctx, variables)
	}
	return op, variables, price, err
}

// askable is the part of a subscription that its subgraph can be asked for: without
// fields whose variables are null and must not be, which fail in each event. It fails
// where that is the subscription's own field.
func (o *operation) askable(ctx context.Context, variables *astjson.Value) (*operation, error) {
	if len(o.voids) == 0 || variables == nil {
		return o, nil
	}
	refused := o.voided(nil, variables)
	if refused == nil {
		return o, nil
	}
	part, err := o.allowedPart(ctx, refused)
	if err == nil && part.trigger == nil {
		err = refused.Err(refused.IDs)
	}
	if err != nil {
		return o, err
	}
	return part, nil
}
