package document

import (
	"slices"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
)

// RootNames are the response names of the root fields of a planned query, each once;
// none for one that cannot be read.
func RootNames(query string) []string {
	doc, report := astparser.ParseGraphqlDocumentString(query)
	if report.HasErrors() || len(doc.OperationDefinitions) != 1 || !doc.OperationDefinitions[0].HasSelections {
		return nil
	}
	var names []string
	var read func(set int)
	read = func(set int) {
		for _, ref := range doc.SelectionSets[set].SelectionRefs {
			switch selection := doc.Selections[ref]; selection.Kind {
			case ast.SelectionKindField:
				if name := doc.FieldAliasOrNameString(selection.Ref); !slices.Contains(names, name) {
					names = append(names, name)
				}
			case ast.SelectionKindInlineFragment:
				if fragment := doc.InlineFragments[selection.Ref]; fragment.HasSelections {
					read(fragment.SelectionSet)
				}
			}
		}
	}
	read(doc.OperationDefinitions[0].SelectionSet)
	return names
}
