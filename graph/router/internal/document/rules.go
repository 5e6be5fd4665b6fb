package document

import (
	"fmt"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/fault"
)

// checkRules refuses what the specification forbids and the engine, which sees only
// the chosen operation, with its fragments written out, does not: fragments that
// nobody spreads or that have one name, selections below __typename, directives
// twice in one place, and subscriptions of nothing but introspection.
func (d *Document) checkRules() error {
	doc := &d.AST
	if d.Kind == ast.OperationTypeSubscription {
		for _, ref := range doc.SelectionSets[doc.OperationDefinitions[d.Operation].SelectionSet].SelectionRefs {
			if s := doc.Selections[ref]; s.Kind == ast.SelectionKindField && strings.HasPrefix(doc.FieldNameString(s.Ref), "__") {
				return fault.InvalidInput("query", "a subscription selects a field that has events")
			}
		}
	}
	names := make(map[string]bool, len(doc.FragmentDefinitions))
	for i := range doc.FragmentDefinitions {
		name := doc.FragmentDefinitionNameString(i)
		if names[name] {
			return fault.InvalidInput("query", fmt.Sprintf("the document holds two fragments %q", clip(name)))
		}
		names[name] = true
	}
	for _, name := range d.reached() {
		delete(names, name)
	}
	for i := range doc.FragmentDefinitions {
		if name := doc.FragmentDefinitionNameString(i); names[name] {
			return fault.InvalidInput("query", fmt.Sprintf("fragment %q is never used", clip(name)))
		}
	}
	for i := range doc.Fields {
		if doc.FieldNameString(i) == "__typename" && doc.Fields[i].HasSelections {
			return fault.InvalidInput("query", "__typename has no fields to select")
		}
		if err := d.repeats(doc.Fields[i].Directives.Refs); err != nil {
			return err
		}
	}
	for i := range doc.InlineFragments {
		if err := d.repeats(doc.InlineFragments[i].Directives.Refs); err != nil {
			return err
		}
	}
	for i := range doc.FragmentSpreads {
		if err := d.repeats(doc.FragmentSpreads[i].Directives.Refs); err != nil {
			return err
		}
	}
	return nil
}

// reached are the names of the fragments that the operations spread, themselves or
// by way of others.
func (d *Document) reached() []string {
	doc := &d.AST
	var out []string
	seen := map[string]bool{}
	var sets []int
	for i := range doc.OperationDefinitions {
		if doc.OperationDefinitions[i].HasSelections {
			sets = append(sets, doc.OperationDefinitions[i].SelectionSet)
		}
	}
	for len(sets) > 0 {
		set := sets[len(sets)-1]
		sets = sets[:len(sets)-1]
		for _, ref := range doc.SelectionSets[set].SelectionRefs {
			selection := doc.Selections[ref]
			switch selection.Kind {
			case ast.SelectionKindField:
				if doc.Fields[selection.Ref].HasSelections {
					sets = append(sets, doc.Fields[selection.Ref].SelectionSet)
				}
			case ast.SelectionKindInlineFragment:
				if doc.InlineFragments[selection.Ref].HasSelections {
					sets = append(sets, doc.InlineFragments[selection.Ref].SelectionSet)
				}
			case ast.SelectionKindFragmentSpread:
				name := doc.FragmentSpreadNameString(selection.Ref)
				if seen[name] {
					continue
				}
				seen[name] = true
				out = append(out, name)
				if i, ok := doc.FragmentDefinitionRef(doc.FragmentSpreadNameBytes(selection.Ref)); ok && doc.FragmentDefinitions[i].HasSelections {
					sets = append(sets, doc.FragmentDefinitions[i].SelectionSet)
				}
			}
		}
	}
	return out
}

// repeats refuses @skip or @include twice in one place. Others are the schema's, and
// may be repeatable.
func (d *Document) repeats(directives []int) error {
	if len(directives) < 2 {
		return nil
	}
	skips, includes := 0, 0
	for _, ref := range directives {
		switch d.AST.DirectiveNameString(ref) {
		case "skip":
			skips++
		case "include":
			includes++
		}
	}
	if skips > 1 || includes > 1 {
		return fault.InvalidInput("query", "@skip and @include may stand once in one place")
	}
	return nil
}

// maxShown bounds what an error repeats of a client's text, in bytes.
const maxShown = 100

func clip(text string) string { return clienterr.Clip(text, maxShown) }
