package document

import (
	"regexp"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/operationreport"
)

// Locate gives places to errors that the engine reports with a path only: the
// place of the field that the path leads to in the client's text, or else of the
// last field on the way that is found.
func Locate(report *operationreport.Report, text, operationName string) {
	var doc *ast.Document // parsed again: normalization has changed the client's
	for i := range report.ExternalErrors {
		e := &report.ExternalErrors[i]
		if len(e.Locations) > 0 || e.Path.Len() == 0 {
			continue
		}
		if doc == nil {
			parsed, parseReport := astparser.ParseGraphqlDocumentString(strings.TrimPrefix(text, byteOrderMark))
			if parseReport.HasErrors() {
				return
			}
			doc = &parsed
		}
		if l, ok := find(doc, operationName, e); ok {
			e.Locations = []operationreport.Location{l}
		}
	}
}

var fieldInMessage = regexp.MustCompile(`field:? "?([_A-Za-z][_0-9A-Za-z]*)`)

func find(doc *ast.Document, operationName string, e *operationreport.ExternalError) (operationreport.Location, bool) {
	var names []string
	for _, item := range e.Path[1:] { // the first one is the operation's type
		if item.Kind == ast.FieldName {
			names = append(names, string(item.FieldName))
		}
	}
	// The path ends above the field; only the message names it.
	if name := fieldInMessage.FindStringSubmatch(e.Message); name != nil {
		names = append(names, name[1])
	}
	set := -1
	for i := range doc.OperationDefinitions {
		if doc.OperationDefinitionNameString(i) == operationName && doc.OperationDefinitions[i].HasSelections {
			set = doc.OperationDefinitions[i].SelectionSet
			break
		}
	}
	found := -1
	for _, name := range names {
		if set < 0 {
			break
		}
		field, ok := findField(doc, set, name, maxSearchDepth)
		if !ok {
			break
		}
		found, set = field, -1
		if doc.Fields[field].HasSelections {
			set = doc.Fields[field].SelectionSet
		}
	}
	if found < 0 {
		return operationreport.Location{}, false
	}
	position := doc.Fields[found].Position
	return operationreport.Location{Line: position.LineStart, Column: position.CharStart}, true
}

// maxSearchDepth bounds the search through nested fragments.
const maxSearchDepth = 8

// findField finds a field by its alias or name, fragments included.
func findField(doc *ast.Document, set int, name string, depth int) (int, bool) {
	if depth == 0 {
		return -1, false
	}
	for _, ref := range doc.SelectionSets[set].SelectionRefs {
		selection := doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			if doc.FieldAliasOrNameString(selection.Ref) == name || doc.FieldNameString(selection.Ref) == name {
				return selection.Ref, true
			}
		case ast.SelectionKindInlineFragment:
			if inner, ok := doc.InlineFragmentSelectionSet(selection.Ref); ok {
				if field, ok := findField(doc, inner, name, depth-1); ok {
					return field, true
				}
			}
		case ast.SelectionKindFragmentSpread:
			if fragment, ok := doc.FragmentDefinitionRef(doc.FragmentSpreadNameBytes(selection.Ref)); ok {
				if field, ok := findField(doc, doc.FragmentDefinitions[fragment].SelectionSet, name, depth-1); ok {
					return field, true
				}
			}
		}
	}
	return -1, false
}
