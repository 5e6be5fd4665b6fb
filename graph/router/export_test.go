package router

// CachedOperations counts what the plan cache holds, after its cleaning up.
func CachedOperations(r *Router) int {
	r.cache.CleanUp()
	return r.cache.EstimatedSize()
}
