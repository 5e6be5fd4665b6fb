package router

import (
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/supergraph"
)

// Limits bounds what a single request may ask for; a zero means the default.
type Limits = document.Limits

// Composition is what an execution config says of its subgraphs.
type Composition = supergraph.Composition

// ReadComposition reads an execution config, as composition writes it (JSON), far
// enough to tell what is missing: the error names the field.
func ReadComposition(config []byte) (Composition, error) { return supergraph.ReadComposition(config) }
