package router

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/router/internal/rights"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// signInFirst is what an anonymous client reads where a caller is needed.
const signInFirst = "sign in first"

// refused tells which rights of an operation the caller of ctx does not have, and
// which of its variables are null and must not be; nil if there is nothing, and then
// it has allocated nothing. It fails with UNAVAILABLE
// where the caller's scopes cannot be told: then nothing may be fetched; and like
// mayReadSchema for an introspection.
func (r *Router) refused(ctx context.Context, op *operation, variables *astjson.Value) (*rights.Refusals, error) {
	if op.introspects {
		if err := r.mayReadSchema(ctx); err != nil {
			return nil, err
		}
	}
	var out *rights.Refusals
	if len(op.rights) == 0 && len(op.voids) == 0 {
		return out, nil
	}
	caller, err := identity.FromContext(ctx)
	if err != nil {
		caller = nil
	}
	for _, id := range op.rights {
		f, err := r.unfulfilled(ctx, caller, &op.from.graph.Rights.List[id])
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		if out == nil {
			out = &rights.Refusals{}
		}
		out.Add(id, f)
		r.metrics.refused.WithLabelValues(string(f.Code)).Inc()
	}
	if len(op.voids) == 0 || variables == nil {
		return out, nil
	}
	return op.voided(out, variables), nil
}

// voided adds to what is refused, perhaps nil, which variables are null and must not
// be.
func (o *operation) voided(out *rights.Refusals, variables *astjson.Value) *rights.Refusals {
	first := len(o.from.graph.Rights.List)
	for n, why := range inOrder(o.variables.Refused(variables)) {
		if out == nil {
			out = &rights.Refusals{}
		}
		out.Add(first+n, why)
	}
	return out
}

// inOrder goes through a map by its keys.
func inOrder[V any](m map[int]V) iter.Seq2[int, V] {
	return func(yield func(int, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

func (r *Router) unfulfilled(ctx context.Context, caller *identity.Caller, q *rights.Requirement) (*fault.Error, error) {
	if caller == nil {
		return errSignInFirst, nil
	}
	if q.MaxAge > 0 && time.Since(caller.AuthTime) > q.MaxAge {
		return fault.StepUpRequired(q.MaxAge), nil
	}
	if len(q.Scopes) == 0 {
		return nil, nil //nolint:nilnil // fulfilled
	}
	if r.options.MissingScope == nil {
		return lackingScope(q.Scopes[0][0]), nil
	}
	missing, err := r.options.MissingScope(ctx, q.Scopes)
	if err != nil {
		f, ok := fault.As(err)
		if !ok {
			r.log.ErrorContext(ctx, "what a caller may do cannot be told", "error", err)
			f = errRightsUnknown
		}
		if f.Code == fault.CodeUnauthenticated {
			return f, nil
		}
		return nil, f
	}
	if missing == "" {
		return nil, nil //nolint:nilnil // fulfilled
	}
	return lackingScope(missing), nil
}

var (
	errSignInFirst   = fault.Unauthenticated(signInFirst)
	errRightsUnknown = fault.Unavailable("what you may do cannot be told at the moment; try again")
)

func lackingScope(name string) *fault.Error {
	return fault.Forbidden("this needs the permission " + name)
}
