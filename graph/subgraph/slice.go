package subgraph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// Waiting holds the names of a schema's fields that may wait for something: those
// with a resolver, or with a method that takes a context. graph/codegen writes it
// beside each schema's executor.
type Waiting map[string]bool

// MarshalSlice stands for gqlgen's MarshalSliceConcurrently, which starts a
// goroutine for each element: right where elements wait, and load together what
// they wait for, but twice the cost where they only render what is there. So
// elements of which no waiting field is selected are rendered one after the other.
func (w Waiting) MarshalSlice(
	ctx context.Context, selected ast.SelectionSet, length int, element func(ctx context.Context, i int) graphql.Marshaler,
) graphql.Array {
	if length < 2 || w.in(selected) {
		return graphql.MarshalSliceConcurrently(ctx, length, 0, false, element)
	}
	var (
		out      = make(graphql.Array, length)
		contexts = make([]graphql.FieldContext, length)
		indexes  = make([]int, length)
		whole    = true
	)
	for i := range length {
		indexes[i] = i
		contexts[i].Index = &indexes[i]
		whole = marshalElement(graphql.WithFieldContext(ctx, &contexts[i]), out, i, element) && whole
	}
	if !whole {
		return nil
	}
	return out
}

// marshalElement reports false if the element panicked; the error is noted.
func marshalElement(ctx context.Context, out graphql.Array, i int, element func(context.Context, int) graphql.Marshaler) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			graphql.AddError(ctx, graphql.Recover(ctx, p))
		}
	}()
	out[i] = element(ctx, i)
	return true
}

// in reports whether a waiting field is selected, at any depth. The document was
// validated: fragments are known and do not spread themselves. A field's name is
// enough: to take one for waiting that is not costs only time.
func (w Waiting) in(set ast.SelectionSet) bool {
	if len(w) == 0 {
		return false
	}
	for _, selection := range set {
		found := false
		switch s := selection.(type) {
		case *ast.Field:
			found = w[s.Name] || w.in(s.SelectionSet)
		case *ast.InlineFragment:
			found = w.in(s.SelectionSet)
		case *ast.FragmentSpread:
			found = s.Definition == nil || w.in(s.Definition.SelectionSet)
		}
		if found {
			return true
		}
	}
	return false
}
