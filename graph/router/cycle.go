package router

import (
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"
)

// cyclic reports whether fetches wait for each other. Schemas with mutual
// @requires compose well and lead here, and the engine's post-processor
// overflows the stack on such a plan, which no recover can catch: it must be
// refused before.
func cyclic(fetches []*resolve.FetchItem) bool {
	waitsFor := make(map[int][]int, len(fetches))
	for _, item := range fetches {
		deps := item.Fetch.Dependencies()
		waitsFor[deps.FetchID] = append(waitsFor[deps.FetchID], deps.DependsOnFetchIDs...)
	}
	const (
		open = iota + 1
		done
	)
	state := make(map[int]int, len(waitsFor))
	var reaches func(id int) bool
	reaches = func(id int) bool {
		switch state[id] {
		case open:
			return true
		case done:
			return false
		}
		state[id] = open
		for _, next := range waitsFor[id] {
			if reaches(next) {
				return true
			}
		}
		state[id] = done
		return false
	}
	for id := range waitsFor {
		if reaches(id) {
			return true
		}
	}
	return false
}
