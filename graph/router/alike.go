package router

import (
	"slices"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"
)

// shareDependencies has fetches that the engine makes one wait for what any of them
// waits for: it keeps what the first does, though the others bring objects, too. What
// is selected in fragments on several types leads there. It must come before the plan
// is completed.
func shareDependencies(fetches []*resolve.FetchItem) {
	before := make([][]int, len(fetches))
	changed := false
	for i, item := range fetches {
		before[i] = item.Fetch.Dependencies().DependsOnFetchIDs
	}
	for i, item := range fetches {
		for _, other := range fetches[i+1:] {
			if !item.EqualSingleFetch(other) {
				continue
			}
			first, second := item.Fetch.Dependencies(), other.Fetch.Dependencies()
			all := slices.Concat(first.DependsOnFetchIDs, second.DependsOnFetchIDs)
			slices.Sort(all)
			all = slices.DeleteFunc(slices.Compact(all), func(id int) bool { return id == first.FetchID || id == second.FetchID })
			first.DependsOnFetchIDs, second.DependsOnFetchIDs = all, slices.Clone(all)
			changed = true
		}
	}
	if changed && cyclic(fetches) {
		for i, item := range fetches {
			item.Fetch.Dependencies().DependsOnFetchIDs = before[i]
		}
	}
}
