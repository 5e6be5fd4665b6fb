package router

import (
	"slices"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/fault"
)

// errNested answers a valid operation that the engine would answer with nulls: it
// does not find objects in lists of lists again when it has something to add.
var errNested = fault.New(fault.CodeOperationTooComplex,
	"the operation cannot be planned: it asks for fields of several services inside a list of lists")

// completesNested is whether a fetch adds to objects in lists of lists.
func completesNested(response *resolve.GraphQLResponse) bool {
	var nested [][]string
	findNested(response.Data, nil, &nested)
	if len(nested) == 0 {
		return false
	}
	for _, item := range response.RawFetches {
		at := slices.DeleteFunc(slices.Clone(item.ResponsePathElements), func(s string) bool { return s == clienterr.EveryItem || s == "" })
		for _, list := range nested {
			if len(at) >= len(list) && slices.Equal(at[:len(list)], list) {
				return true
			}
		}
	}
	return false
}

func findNested(node resolve.Node, path []string, found *[][]string) {
	switch n := node.(type) {
	case *resolve.Object:
		for _, field := range n.Fields {
			findNested(field.Value, append(path[:len(path):len(path)], string(field.Name)), found)
		}
	case *resolve.Array:
		if _, ok := n.Item.(*resolve.Array); ok {
			*found = append(*found, path)
		}
		findNested(n.Item, path, found)
	}
}
