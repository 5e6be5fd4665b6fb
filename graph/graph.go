// Package graph is the supergraph as clients see it: the composed execution config
// that the router loads and the schema that integrators read. Both are made from
// the subgraphs' schemas by `make compose` (graph/compose) and committed, so that a
// change of the API is a visible diff; a test refuses a stale composition.
package graph

import _ "embed"

// Supergraph is the execution config for router.Options.Config, as JSON.
//
//go:embed supergraph.json
var Supergraph []byte

// Schema is the client schema as GraphQL SDL.
//
//go:embed supergraph.graphql
var Schema string
