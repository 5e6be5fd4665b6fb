package resume

import (
	"encoding/json"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"
)

const (
	// cursorKey is the key of a cursor that no client has asked for.
	cursorKey = "__cursor"
	// cursorHole stands for a cursor in the text of a query.
	cursorHole = "__cursor_hole"
)

// resumption is how a subscription goes on after an event.
type resumption struct {
	// prefix and suffix are the query around the argument's literal value.
	prefix, suffix string
	// root and cursor are the keys of an event's cursor.
	root, cursor string
}

// after is what the subgraph is asked to go on after an event; without a cursor in
// it, what it was asked before.
func (r *resumption) after(event []byte, query string, variables []byte) (string, []byte) {
	if r == nil || event == nil {
		return query, variables
	}
	var parsed struct {
		Data map[string]map[string]json.RawMessage
	}
	var cursor string
	if json.Unmarshal(event, &parsed) != nil || json.Unmarshal(parsed.Data[r.root][r.cursor], &cursor) != nil || cursor == "" {
		return query, variables
	}
	literal, err := json.Marshal(cursor)
	if err != nil { // a string always encodes
		return query, variables
	}
	return r.prefix + string(literal) + r.suffix, variables
}

// newResumption finds out how a subscription goes on after one of its events, and
// has the query ask for their cursors. It is nil where that is not known.
func newResumption(arguments map[string]string, cursor string, query *string) *resumption {
	doc, err := parser.ParseQuery(&ast.Source{Input: *query})
	if err != nil || len(doc.Operations) != 1 || len(doc.Operations[0].SelectionSet) != 1 {
		return nil
	}
	operation := doc.Operations[0]
	root, ok := operation.SelectionSet[0].(*ast.Field)
	if !ok || arguments[root.Name] == "" || len(root.SelectionSet) == 0 {
		return nil
	}
	out := &resumption{root: root.Alias, cursor: cursorKey}
	root.SelectionSet = append(root.SelectionSet, &ast.Field{Alias: cursorKey, Name: cursor})
	*query = printed(doc)

	name := arguments[root.Name]
	hole := &ast.Value{Kind: ast.EnumValue, Raw: cursorHole}
	if argument := root.Arguments.ForName(name); argument != nil {
		before := argument.Value
		argument.Value = hole
		if before.Kind == ast.Variable { // which must not stay without a use
			declared := operation.VariableDefinitions
			operation.VariableDefinitions = without(declared, before.Raw)
			if strings.Contains(printed(doc), "$"+before.Raw) { // it has another, or one of a longer name
				operation.VariableDefinitions = declared
			}
		}
	} else {
		root.Arguments = append(root.Arguments, &ast.Argument{Name: name, Value: hole})
	}
	out.prefix, out.suffix, ok = strings.Cut(printed(doc), cursorHole)
	if !ok {
		return nil
	}
	return out
}

func without(list ast.VariableDefinitionList, name string) ast.VariableDefinitionList {
	var out ast.VariableDefinitionList
	for _, v := range list {
		if v.Variable != name {
			out = append(out, v)
		}
	}
	return out
}

func printed(doc *ast.QueryDocument) string {
	var out strings.Builder
	formatter.NewFormatter(&out, formatter.WithIndent("")).FormatQueryDocument(doc)
	return out.String()
}
