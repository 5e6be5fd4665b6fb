package router

import (
	"context"

	"github.com/wundergraph/astjson"
)

// CachedOperations counts what the plan cache holds, after its cleaning up.
func CachedOperations(r *Router) int {
	r.current.Load().cache.CleanUp()
	return r.current.Load().cache.EstimatedSize()
}

// IsDirect reports whether an operation is answered without the engine for who is
// signed in. Variables are a JSON object or empty.
func IsDirect(r *Router, query, variables string) bool {
	var vars *astjson.Value
	if variables != "" {
		vars = astjson.MustParse(variables)
	}
	op, err := r.current.Load().prepare(context.Background(), query, "", vars)
	return err == nil && op.direct != nil
}
