package router

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	r.reloading.Lock() // not another supergraph meanwhile
	defer r.reloading.Unlock()
	if unfit := r.current.Load().unfit(ctx, m); len(unfit) > 0 {
		var errs []error
		for _, id := range slices.Sorted(maps.Keys(unfit)) {
			errs = append(errs, fmt.Errorf("persisted operation %s: %s", id, unfit[id]))
		}
		return errors.Join(errs...)
	}
	r.knowClients(m)
	r.manifest.Store(m)
	r.note(nil)
	return nil
}

// unfit are the operations of a manifest that are none of this supergraph's, each
// with the reason.
func (r *generation) unfit(ctx context.Context, m *persisted.Manifest) map[string]string {
	out := map[string]string{}
	for id, text := range m.All() {
		if err := r.checkDocument(ctx, text); err != nil {
			out[id] = err.Error()
			if f, ok := fault.As(err); ok {
				out[id] = f.Message
			}
		}
	}
	return out
}

// recheck finds the persisted operations that a supergraph which has just come in
// force cannot run. They are named to operators, and clients who ask for one are told
// what is wrong with it: to refuse the supergraph would keep everybody from it, and
// keep what its subgraphs may have dropped already.
func (r *Router) recheck(ctx context.Context, next *generation) {
	unfit := next.unfit(ctx, r.manifest.Load())
	names := slices.Sorted(maps.Keys(unfit))
	r.note(names)
	for i, id := range names {
		if i == maxNamed {
			r.log.ErrorContext(ctx, "more persisted operations are not valid", "more", len(names)-maxNamed)
			break
		}
		r.log.ErrorContext(ctx, "a persisted operation is not valid in the supergraph that is now in force", "operation", id, "why", unfit[id])
	}
}

// maxNamed bounds the operations that are named in the log, one by one.
const maxNamed = 20

func (r *Router) note(unfit []string) {
	r.unfit.Store(&unfit)
	r.metrics.unfit.Set(float64(len(unfit)))
}

// UnfitOperations are the ids of persisted operations that the supergraph in force
// cannot run, since a Reload.
func (r *Router) UnfitOperations() []string {
	if ids := r.unfit.Load(); ids != nil {
		return *ids
	}
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

var (
	errUnknownDocument = fault.New(fault.CodePersistedQueryNotFound, "no operation is kept under this id").
				Because(&document.BeyondLimit{Kind: "persisted"})
	// Clients of automatic persisted queries know these two by their messages: after
	// the one they send the text with its hash, after the other they send texts alone
	// from then on.
	errUnknownHash = fault.New(fault.CodePersistedQueryNotFound, "PersistedQueryNotFound").
			Because(&document.BeyondLimit{Kind: "persisted"})
	errNoHashes = fault.New(fault.CodePersistedQueryNotSupported, "PersistedQueryNotSupported").
			Because(&document.BeyondLimit{Kind: "persisted"})
)

// unknown is the answer to a request that names an operation nobody knows.
func (r *Router) unknown(ctx context.Context, q *request) error {
	if q.hash == "" {
		return errUnknownDocument
	}
	if r.options.Automatic == nil && r.freeForm(ctx) == nil {
		return errNoHashes // the whole texts are welcome
	}
	return errUnknownHash
}

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
			return r.unknown(ctx, q)
		case q.hash != "" && !strings.EqualFold(persisted.Hash(q.query), q.hash):
			return fault.InvalidInput("extensions.persistedQuery", "sha256Hash is not the hash of the query")
		}
		q.fresh = q.hash != ""
	}
	if m.Has(q.query) {
		return nil
	}
	return r.freeForm(ctx)
}

// freeForm refuses callers who may only send persisted operations.
func (r *Router) freeForm(ctx context.Context) error {
	if !r.options.Trusted.Only {
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
