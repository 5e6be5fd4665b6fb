package subgraph

import (
	"context"
	"fmt"

	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/tradesage/tradesage/internal/fault"
)

// maxRepeats bounds how often one name may be answered in one selection set, and
// how many fragments may be spread in one. Validation compares each with each.
const maxRepeats = 100

// repeats refuses documents that are slow to validate, before they are validated.
type repeats struct {
	// checked are the documents that were validated already.
	checked *lru.LRU[*ast.QueryDocument]
}

// check refuses a document with OPERATION_TOO_COMPLEX. One that cannot be parsed
// is left for the executor to refuse.
func (r repeats) check(ctx context.Context, text string, maxFields int) error {
	if _, ok := r.checked.Get(ctx, text); ok {
		return nil
	}
	document, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxTokens)
	if err != nil {
		return nil //nolint:nilerr // the executor says what is wrong
	}
	w := repeatWalk{fragments: document.Fragments, left: maxFields, most: maxFields}
	for _, operation := range document.Operations {
		if err := w.place([]ast.SelectionSet{operation.SelectionSet}); err != nil {
			return err
		}
	}
	for _, fragment := range document.Fragments { // also those that nobody spreads are validated
		if err := w.place([]ast.SelectionSet{fragment.SelectionSet}); err != nil {
			return err
		}
	}
	return nil
}

// repeatWalk visits a document's fields as they are merged, and no more of them
// than an operation may have.
type repeatWalk struct {
	fragments  ast.FragmentDefinitionList
	left, most int
}

// place visits the selection sets that are merged into one.
func (w *repeatWalk) place(sets []ast.SelectionSet) error {
	below, spreads := map[string][]ast.SelectionSet{}, 0
	var visit func(set ast.SelectionSet) error
	visit = func(set ast.SelectionSet) error {
		for _, selection := range set {
			var err error
			switch s := selection.(type) {
			case *ast.Field:
				err = w.field(s, below)
			case *ast.InlineFragment: // whose fields are in this place, too
				err = visit(s.SelectionSet)
			case *ast.FragmentSpread:
				if spreads++; spreads > maxRepeats {
					return fault.New(fault.CodeOperationTooComplex,
						fmt.Sprintf("the operation spreads more than %d fragments in one place", maxRepeats))
				}
				if fragment := w.fragments.ForName(s.Name); fragment != nil {
					err = visit(fragment.SelectionSet)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, set := range sets {
		if err := visit(set); err != nil {
			return err
		}
	}
	for _, merged := range below {
		if err := w.place(merged); err != nil {
			return err
		}
	}
	return nil
}

func (w *repeatWalk) field(f *ast.Field, below map[string][]ast.SelectionSet) error {
	if w.left--; w.left < 0 {
		return fault.New(fault.CodeOperationTooComplex, fmt.Sprintf("the operation has more than %d fields", w.most))
	}
	below[f.Alias] = append(below[f.Alias], f.SelectionSet)
	if len(below[f.Alias]) > maxRepeats {
		return fault.New(fault.CodeOperationTooComplex,
			fmt.Sprintf("the operation selects %q more than %d times in one place", f.Alias, maxRepeats))
	}
	return nil
}
