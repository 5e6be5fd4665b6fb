// Package persisted reads manifests of persisted operations: the documents that
// clients may name in place of sending them. It does not know what is in them.
package persisted

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Manifest holds documents by their ids. It does not change.
type Manifest struct {
	byID  map[string]string
	texts map[string]bool
	// clients are the programs that operations are for.
	clients []string
}

// shaPrefix begins ids that are the document's SHA-256 (GraphQL over HTTP,
// "Persisted Documents").
const shaPrefix = "sha256:"

// maxID bounds an id, in bytes.
const maxID = 256

// maxClients bounds the names of programs.
const maxClients = 100

// Parse reads a manifest: a JSON object of documents by their ids, as
// graphql-codegen writes it, or one of the format apollo-persisted-query-manifest.
func Parse(text []byte) (*Manifest, error) {
	var apollo struct {
		Format     string `json:"format"`
		Operations []struct {
			ID   string `json:"id"`
			Body string `json:"body"`
			// ClientName is the program that sends it, if the manifest is of several.
			ClientName string `json:"clientName"`
		} `json:"operations"`
	}
	documents, clients := map[string]string{}, map[string]bool{}
	if err := json.Unmarshal(text, &apollo); err == nil && apollo.Format != "" {
		if apollo.Format != "apollo-persisted-query-manifest" {
			return nil, fmt.Errorf("unknown format %q", apollo.Format)
		}
		for _, operation := range apollo.Operations {
			if _, twice := documents[operation.ID]; twice {
				return nil, fmt.Errorf("%q occurs twice", operation.ID)
			}
			documents[operation.ID] = operation.Body
			if operation.ClientName != "" {
				clients[operation.ClientName] = true
			}
		}
	} else if err := json.Unmarshal(text, &documents); err != nil {
		return nil, errors.New("it is no JSON object of documents by their ids")
	}
	m := &Manifest{byID: make(map[string]string, len(documents)), texts: make(map[string]bool, len(documents))}
	if m.clients = slices.Sorted(maps.Keys(clients)); len(m.clients) > maxClients {
		return nil, fmt.Errorf("it names %d clients, more than %d", len(m.clients), maxClients)
	}
	for id, document := range documents {
		if id == "" || len(id) > maxID || document == "" {
			return nil, fmt.Errorf("%.40q: an id of 1 to %d bytes and a document are needed", id, maxID)
		}
		if hash, ok := strings.CutPrefix(id, shaPrefix); ok && !strings.EqualFold(hash, Hash(document)) {
			return nil, fmt.Errorf("%s is not the SHA-256 of its document", id)
		}
		m.byID[strings.TrimPrefix(id, shaPrefix)] = document
		m.texts[document] = true
	}
	return m, nil
}

// Hash is the SHA-256 of a document in lower-case hexadecimal.
func Hash(document string) string {
	sum := sha256.Sum256([]byte(document))
	return hex.EncodeToString(sum[:])
}

// Find returns the document of an id, with or without "sha256:". A nil manifest has
// none.
func (m *Manifest) Find(id string) (string, bool) {
	if m == nil {
		return "", false
	}
	document, ok := m.byID[strings.TrimPrefix(id, shaPrefix)]
	return document, ok
}

// Has reports whether a text is one of the documents.
func (m *Manifest) Has(text string) bool { return m != nil && m.texts[text] }

// Clients are the programs that operations of the manifest are for, as it names
// them: an Apollo manifest may.
func (m *Manifest) Clients() []string {
	if m == nil {
		return nil
	}
	return m.clients
}

// All are the documents by their ids. Do not change the map.
func (m *Manifest) All() map[string]string {
	if m == nil {
		return nil
	}
	return m.byID
}
