package router

import (
	"errors"
	"fmt"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/internal/fault"
)

// errCyclic is a plan whose fetches wait for each other.
var errCyclic = errors.New("fetches wait for each other")

// planAnyhow plans a document, and once more with the subgraphs taken apart where
// fetches would wait for each other. It changes doc.
func (r *generation) planAnyhow(doc *ast.Document, name string) (*resolve.GraphQLResponse, *trigger, error) {
	var spare *ast.Document
	if r.graph.Layered != nil { // the planner writes into its document
		var err error
		if spare, err = document.Duplicate(doc); err != nil {
			return nil, nil, fault.Internal(fmt.Errorf("copying the operation: %w", err))
		}
	}
	response, trigger, err := r.planResponse(r.graph.Plan, doc, name)
	if errors.Is(err, errCyclic) && spare != nil {
		response, trigger, err = r.planResponse(*r.graph.Layered, spare, name)
	}
	if errors.Is(err, errCyclic) {
		return nil, nil, errUnplannable
	}
	return response, trigger, err
}

// cyclic reports whether fetches wait for each other. Schemas with mutual
// @requires lead here, and the engine's post-processor
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
