package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/persisted"
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/internal/fault"
)

// Trusted says which operations clients may send.
type Trusted struct {
	// Only refuses every operation that is not of the manifest, but for callers who
	// hold FreeForm, a scope.
	Only     bool
	FreeForm string
}

// SetManifest replaces the persisted operations. Each is checked against the schema
// first: with an error the former ones stay.
func (r *Router) SetManifest(ctx context.Context, m *persisted.Manifest) error {
	current := r.current.Load()
	var errs []error
	for id, text := range m.All() {
		if err := current.checkDocument(ctx, text); err != nil {
			why := err.Error()
			if f, ok := fault.As(err); ok {
				why = f.Message
			}
			errs = append(errs, fmt.Errorf("persisted operation %s: %s", id, why))
		}
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return errors.Join(errs...)
	}
	r.knowClients(m)
	r.manifest.Store(m)
	return nil
}

// checkDocument plans a document that holds one operation.
func (r *generation) checkDocument(ctx context.Context, text string) error {
	found, err := r.load(ctx, planKey{text: text})
	if err == nil && found.operation == nil {
		_, err = r.load(ctx, planKey{text: text, conditions: strings.Repeat("t", len(found.conditions))})
	}
	return err
}

// documentID is the persisted operation that a request names: documentId, or the
// hash of Apollo's persistedQuery.
func documentID(root *astjson.Value) (id, hash string, _ error) {
	id, err := optionalString(root, "documentId")
	if err != nil {
		return "", "", err
	}
	if v := root.Get("extensions", "persistedQuery"); v != nil && v.Type() != astjson.TypeNull {
		hash = string(v.GetStringBytes("sha256Hash"))
		if v.Type() != astjson.TypeObject || hash == "" {
			return "", "", fault.InvalidInput("extensions.persistedQuery", "persistedQuery needs sha256Hash, a string")
		}
		if version := v.Get("version"); version != nil && v.GetInt("version") != 1 {
			return "", "", fault.InvalidInput("extensions.persistedQuery", "persistedQuery must have the version 1")
		}
	}
	if id != "" && hash != "" && strings.TrimPrefix(id, "sha256:") != hash {
		return "", "", fault.InvalidInput("documentId", "documentId and persistedQuery name two operations")
	}
	return id, hash, nil
}

var errUnknownDocument = fault.New(fault.CodePersistedQueryNotFound, "no operation is kept under this id: send the query too").
	Because(&document.BeyondLimit{Kind: "persisted"})

// find puts the text of a persisted operation in its place, and refuses a free-form
// one where the caller may send none. What is persisted cannot be altered: a text
// that comes along must be the same.
func (r *Router) find(ctx context.Context, q *request) error {
	m := r.manifest.Load()
	if id := q.document(); id != "" {
		text, known := m.Find(id)
		switch {
		case known && q.query != "" && q.query != text:
			return fault.InvalidInput("query", "the query is not the persisted operation: send the id alone")
		case known:
			q.query = text
			return nil
		case q.query == "" && r.automatic(ctx, q):
			return nil
		case q.query == "":
			return errUnknownDocument
		case q.hash != "" && !strings.EqualFold(persisted.Hash(q.query), q.hash):
			return fault.InvalidInput("extensions.persistedQuery", "sha256Hash is not the hash of the query")
		}
		q.fresh = q.hash != ""
	}
	if !r.options.Trusted.Only || m.Has(q.query) {
		return nil
	}
	if r.options.Trusted.FreeForm != "" && r.options.MissingScope != nil {
		missing, err := r.options.MissingScope(ctx, [][]string{{r.options.Trusted.FreeForm}})
		if err == nil && missing == "" {
			return nil
		}
		if fault.Is(err, fault.CodeUnavailable) {
			return err
		}
	}
	return fault.Forbidden("only persisted operations are run here: name one by documentId").Because(&document.BeyondLimit{Kind: "persisted"})
}

func (q *request) document() string {
	if q.documentID != "" {
		return q.documentID
	}
	return q.hash
}
