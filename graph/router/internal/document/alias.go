package document

import (
	"bytes"
	"slices"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"
)

// AliasPrefix begins the name under which a client's alias is planned and sent
// to subgraphs.
//
// A client's aliases and the key and @requires fields that the planner adds live
// in one name space. Left as they are, `{ me { id: name orders { id } } }` sends
// the name as the entity's key to another subgraph: the client chooses whose
// orders are read. With the prefix, which occurs in no schema name, the two can
// never meet; the response and its errors show the client's own alias again.
const AliasPrefix = "tsAlias_"

// typenamePrefix begins the name under which an alias of __typename is planned. It
// differs from that of other fields, because subgraphs' servers do not agree on
// whether String! and __typename look alike to a client: in fragments that never meet
// one alias may stand for both.
const typenamePrefix = "tsTypename_"

// Reserved is whether a schema uses names that are kept for clients' aliases.
func Reserved(schema string) (prefix string, found bool) {
	for _, prefix := range []string{AliasPrefix, typenamePrefix} {
		if strings.Contains(schema, prefix) {
			return prefix, true
		}
	}
	return "", false
}

// ReservedAlias begins the aliases that the engine itself makes.
const ReservedAlias = "__internal"

var reservedAliasBytes = []byte(ReservedAlias)

// placeholder is the alias of the __typename with which the engine fills a selection
// that @skip and @include have emptied.
const placeholder = "__internal_typename"

// DropPlaceholders removes each placeholder that has company, as where an emptied
// selection was merged with another one of the same field. The planner would take it
// for the client's own __typename and leave that out.
func DropPlaceholders(doc *ast.Document) {
	for i := range doc.SelectionSets {
		set := &doc.SelectionSets[i]
		kept := slices.DeleteFunc(slices.Clone(set.SelectionRefs), func(ref int) bool {
			selection := doc.Selections[ref]
			return selection.Kind == ast.SelectionKindField && doc.FieldAliasString(selection.Ref) == placeholder
		})
		if len(kept) > 0 {
			set.SelectionRefs = kept
		}
	}
}

// PrefixAliases renames each alias in a validated document. Those of the engine's
// own stay; checkDocument has refused clients' aliases that look like them. Fields of
// the names in taking get an alias too: others require them with arguments of their
// own, and the planner would take the client's for those.
func PrefixAliases(doc *ast.Document, taking map[string]bool) {
	for i := range doc.Fields {
		if !doc.Fields[i].Alias.IsDefined && !taking[doc.FieldNameString(i)] {
			continue
		}
		alias := doc.FieldAliasOrNameBytes(i)
		if bytes.HasPrefix(alias, reservedAliasBytes) {
			continue
		}
		prefix := AliasPrefix
		if doc.FieldNameString(i) == "__typename" {
			prefix = typenamePrefix
		}
		name := append([]byte(prefix), alias...)
		doc.Fields[i].Alias = ast.Alias{IsDefined: true, Name: doc.Input.AppendInputBytes(name), Colon: doc.Fields[i].Alias.Colon}
	}
}

// RestoreAliases gives the fields of a finished plan the names that the client
// chose. It must come last: the engine merges equally named fields, and only
// prefixed names tell a client's `id: name` from an id.
func RestoreAliases(node resolve.Node) {
	switch n := node.(type) {
	case *resolve.Object:
		if n == nil {
			return
		}
		for _, field := range n.Fields {
			field.Name = []byte(ClientName(string(field.Name)))
			RestoreAliases(field.Value)
		}
	case *resolve.Array:
		RestoreAliases(n.Item)
	}
}

// ClientName returns a response name as the client wrote it.
func ClientName(name string) string {
	if client, ok := strings.CutPrefix(name, AliasPrefix); ok {
		return client
	}
	return strings.TrimPrefix(name, typenamePrefix)
}

// ClientMessage returns an error's message without the prefix, which is found in
// messages that quote a field's response name.
func ClientMessage(message string) string {
	return strings.ReplaceAll(strings.ReplaceAll(message, AliasPrefix, ""), typenamePrefix, "")
}
