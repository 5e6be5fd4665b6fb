package router

import (
	"bytes"
	"context"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
)

// direct runs a query that one exact subgraph answers whole, with the names and
// in the order of the client's response: the engine would only read the answer
// and write it again.
type direct struct {
	subgraph ExactSubgraph
	source   *source
	template *resolve.InputTemplate
}

// newDirect returns nil for a finished plan that needs the engine.
func newDirect(response *resolve.GraphQLResponse) *direct {
	item := onlyFetch(response.Fetches)
	if item == nil || response.Info == nil || response.Info.OperationType != ast.OperationTypeQuery {
		return nil
	}
	fetch, ok := item.Fetch.(*resolve.SingleFetch)
	if !ok {
		return nil
	}
	from, ok := fetch.DataSource.(*source)
	if !ok {
		return nil
	}
	local, ok := from.fetcher.(localFetcher)
	if !ok {
		return nil
	}
	exact, ok := local.subgraph.(ExactSubgraph)
	if !ok || !sameShape(&fetch.InputTemplate, response.Data) {
		return nil
	}
	return &direct{exact, from, &fetch.InputTemplate}
}

// onlyFetch returns the one fetch of a plan, or nil if there are more.
func onlyFetch(node *resolve.FetchTreeNode) *resolve.FetchItem {
	for node != nil && node.Item == nil {
		if len(node.ChildNodes) != 1 {
			return nil
		}
		node = node.ChildNodes[0]
	}
	if node == nil || len(node.ChildNodes) > 0 {
		return nil
	}
	return node.Item
}

// sameShape reports whether the subgraph is asked for exactly the fields of the
// response. Fragments, aliases and fields that only planning needs are not.
func sameShape(template *resolve.InputTemplate, response *resolve.Object) bool {
	text, ok := fixedQuery(template)
	if !ok {
		return false
	}
	doc, report := astparser.ParseGraphqlDocumentString(text)
	if report.HasErrors() || len(doc.OperationDefinitions) != 1 || len(doc.FragmentDefinitions) > 0 {
		return false
	}
	return sameFields(&doc, doc.OperationDefinitions[0].SelectionSet, response)
}

// fixedQuery is what a subgraph is asked, which is the same for all variables.
func fixedQuery(template *resolve.InputTemplate) (string, bool) {
	var input bytes.Buffer
	if err := template.Render(resolve.NewContext(context.Background()), nil, &input); err != nil {
		return "", false
	}
	request, ok := readFetchInput(input.Bytes())
	if !ok {
		return "", false
	}
	text, err := rawjson.DecodeString(request.query)
	return text, err == nil
}

func sameFields(doc *ast.Document, set int, object *resolve.Object) bool {
	selected := doc.SelectionSets[set].SelectionRefs
	if object.Unresolvable || len(selected) != len(object.Fields) {
		return false
	}
	for i, field := range object.Fields {
		selection := doc.Selections[selected[i]]
		if selection.Kind != ast.SelectionKindField || doc.FieldHasDirectives(selection.Ref) ||
			doc.FieldAliasOrNameString(selection.Ref) != string(field.Name) ||
			field.OnTypeNames != nil || field.ParentOnTypeNames != nil || field.Defer != nil || field.Stream != nil {
			return false
		}
		path := field.Value.NodePath()
		if len(path) != 1 || path[0] != string(field.Name) || !sameValue(doc, selection.Ref, field.Value) {
			return false
		}
	}
	return true
}

func sameValue(doc *ast.Document, field int, value resolve.Node) bool {
	switch v := value.(type) {
	case *resolve.Object:
		set, ok := doc.FieldSelectionSet(field)
		return ok && sameFields(doc, set, v)
	case *resolve.Array:
		return v.SkipItem == nil && sameValue(doc, field, v.Item)
	case *resolve.Enum:
		return len(v.InaccessibleValues) == 0
	case *resolve.String, *resolve.Boolean, *resolve.Integer, *resolve.Float, *resolve.BigInt, *resolve.Scalar:
		return true
	}
	return false
}

// respond runs a query or mutation and returns the client's response, which may
// point into out.
func (r *Router) respond(
	ctx context.Context, op *operation, variables *astjson.Value, out *bytes.Buffer,
) (response []byte, failed bool, _ error) {
	refused, err := r.refused(ctx, op, variables)
	if err != nil {
		return nil, true, err
	}
	if refused != nil {
		return r.respondInPart(ctx, op, refused, variables, out)
	}
	ctx = op.entities.Keep(ctx, nil)
	answer, clean, err := r.resolve(ctx, op, variables, out)
	if err != nil || clean {
		return answer, err != nil, err
	}
	return r.clientResponse(ctx, answer)
}

// resolve runs an operation and returns its answer as the engine or the subgraph
// gives it, with what is told of the schema; clean says that it has no errors.
func (r *Router) resolve(
	ctx context.Context, op *operation, variables *astjson.Value, out *bytes.Buffer,
) (answer []byte, clean bool, err error) {
	answer, clean = []byte(`{"data":{}}`), true
	if op.response != nil {
		if answer, clean, err = r.fetch(ctx, op, variables, out); err != nil {
			return nil, false, err
		}
	}
	if op.introspection != nil {
		answer = op.introspection.Join(answer, variables)
	}
	return answer, clean, nil
}

// fetch runs what of an operation has fetches.
func (r *Router) fetch(
	ctx context.Context, op *operation, variables *astjson.Value, out *bytes.Buffer,
) (answer []byte, clean bool, _ error) {
	rc := r.resolveContext(ctx, op, variables)
	if op.direct != nil {
		if err := op.direct.template.Render(rc, nil, out); err != nil {
			return nil, false, fault.Internal(err)
		}
		answer, clean = op.direct.source.loadExact(ctx, op.direct.subgraph, out.Bytes())
		return answer, clean, nil
	}
	if _, err := r.resolver.ArenaResolveGraphQLResponse(rc, op.response, out); err != nil {
		return nil, false, fault.Internal(err)
	}
	if op.boxes {
		return unboxed(out.Bytes()), false, nil
	}
	return out.Bytes(), false, nil
}
