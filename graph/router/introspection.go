package router

import (
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
)

// takeIntrospection moves the introspections of a document that is about to be planned
// to its operation. It fails with OPERATION_TOO_COMPLEX where they would answer more
// than anybody may ask for.
func (r *generation) takeIntrospection(op *operation, planned *ast.Document) error {
	limits := r.policy.Load().limits
	part, err := r.schema.Take(planned, op.variables.Origin, limits.MaxIntrospectionBytes)
	if err != nil || part == nil {
		return err
	}
	op.introspection, op.size.Introspected = part, part.Size
	return limits.Check(op.size, op.kind)
}
