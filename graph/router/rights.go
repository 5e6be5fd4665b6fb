package router

import (
	"context"
	"slices"
	"time"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// signInFirst is what an anonymous client reads where a caller is needed.
const signInFirst = "sign in first"

// errConfirmFirst answers a caller who has proved who they are too long ago.
func errConfirmFirst(maxAge time.Duration) *fault.Error {
	return fault.StepUpRequired("confirm your password first: this needs a sign-in that is not older", maxAge)
}

// refusals are the requirements of an operation that its caller does not fulfil.
type refusals struct {
	ids     []int // in the order of the operation's rights
	reasons map[int]*fault.Error
}

// reason returns why something that takes these requirements is refused, nil if
// it is not.
func (d *refusals) reason(ids []int) *fault.Error {
	if d == nil {
		return nil
	}
	for _, id := range ids {
		if f := d.reasons[id]; f != nil {
			return f
		}
	}
	return nil
}

// refused tells which rights of an operation the caller of ctx does not have; nil
// if none is missing, and then it has allocated nothing. It fails with UNAVAILABLE
// where the caller's scopes cannot be told: then nothing may be fetched; and like
// mayReadSchema for an introspection.
func (r *Router) refused(ctx context.Context, op *operation) (*refusals, error) {
	if op.introspects {
		if err := r.mayReadSchema(ctx); err != nil {
			return nil, err
		}
	}
	if len(op.rights) == 0 {
		return nil, nil //nolint:nilnil // nothing is refused
	}
	var out *refusals
	caller, err := identity.FromContext(ctx)
	if err != nil {
		caller = nil
	}
	for _, id := range op.rights {
		f, err := r.unfulfilled(ctx, caller, &op.from.graph.rules.list[id])
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		if out == nil {
			out = &refusals{reasons: map[int]*fault.Error{}}
		}
		out.ids, out.reasons[id] = append(out.ids, id), f
	}
	if out != nil {
		for _, f := range out.reasons {
			r.metrics.refused.WithLabelValues(string(f.Code)).Inc()
		}
	}
	return out, nil
}

func (r *Router) unfulfilled(ctx context.Context, caller *identity.Caller, q *requirement) (*fault.Error, error) {
	if caller == nil {
		return errSignInFirst, nil
	}
	if q.maxAge > 0 && time.Since(caller.AuthTime) > q.maxAge {
		return errConfirmFirst(q.maxAge), nil
	}
	if len(q.scopes) == 0 {
		return nil, nil //nolint:nilnil // fulfilled
	}
	if r.options.MissingScope == nil {
		return lackingScope(q.scopes[0][0]), nil
	}
	missing, err := r.options.MissingScope(ctx, q.scopes)
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

// err is the error of a refusal as a stream's or a whole request's.
func (d *refusals) err(ids []int) error {
	if f := d.reason(ids); f != nil {
		return f
	}
	return nil
}

// rightsOf lists what the fields of a normalized operation take, each once.
// selected is what its root fields take.
func (g *rules) rightsOf(doc *ast.Document) (all, selected []int) {
	w := rightsWalk{rules: g, doc: doc}
	for _, node := range doc.RootNodes {
		if node.Kind != ast.NodeKindOperationDefinition || !doc.OperationDefinitions[node.Ref].HasSelections {
			continue
		}
		root := rootType(g.schema, doc.OperationDefinitions[node.Ref].OperationType)
		set := doc.OperationDefinitions[node.Ref].SelectionSet
		w.set(set, g.possible[root])
		for _, ref := range doc.SelectionSets[set].SelectionRefs {
			if s := doc.Selections[ref]; s.Kind == ast.SelectionKindField {
				selected = union(selected, g.fields[coordinate{root, doc.FieldNameString(s.Ref)}])
			}
		}
	}
	slices.Sort(w.found)
	return w.found, selected
}

func rootType(schema *ast.Document, kind ast.OperationType) string {
	switch kind {
	case ast.OperationTypeMutation:
		return schema.Index.MutationTypeName.String()
	case ast.OperationTypeSubscription:
		return schema.Index.SubscriptionTypeName.String()
	}
	return schema.Index.QueryTypeName.String()
}

type rightsWalk struct {
	rules *rules
	doc   *ast.Document
	found []int
}

func (w *rightsWalk) need(ids []int) {
	for _, id := range ids {
		if !slices.Contains(w.found, id) {
			w.found = append(w.found, id)
		}
	}
}

// set walks what is selected on objects of these types.
func (w *rightsWalk) set(set int, on []string) {
	for _, ref := range w.doc.SelectionSets[set].SelectionRefs {
		selection := w.doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			name := w.doc.FieldNameString(selection.Ref)
			for _, t := range on {
				w.need(w.rules.fields[coordinate{t, name}])
			}
			inner, ok := w.doc.FieldSelectionSet(selection.Ref)
			if !ok {
				continue
			}
			values := w.rules.values(on, name)
			for _, t := range values {
				w.need(w.rules.objects[t])
			}
			w.set(inner, values)
		case ast.SelectionKindInlineFragment:
			if inner, ok := w.doc.InlineFragmentSelectionSet(selection.Ref); ok {
				w.set(inner, w.rules.narrow(on, w.doc.InlineFragmentTypeConditionNameString(selection.Ref)))
			}
		}
	}
}

// values are the object types that a field's value may have, on objects of types.
func (g *rules) values(on []string, field string) (out []string) {
	for _, t := range on {
		ref, ok := g.types[coordinate{t, field}]
		if !ok {
			continue
		}
		for _, possible := range g.possible[g.schema.ResolveTypeNameString(ref)] {
			if !slices.Contains(out, possible) {
				out = append(out, possible)
			}
		}
	}
	return out
}

// narrow is what a fragment with this condition leaves of types.
func (g *rules) narrow(on []string, condition string) []string {
	if condition == "" {
		return on
	}
	var out []string
	for _, t := range on {
		if slices.Contains(g.possible[condition], t) {
			out = append(out, t)
		}
	}
	return out
}
