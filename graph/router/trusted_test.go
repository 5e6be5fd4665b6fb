package router_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/persisted"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

const trustedDocument = `query Me($full: Boolean! = false) { me { id name @include(if: $full) } }`

func manifest(t *testing.T, documents map[string]string) *persisted.Manifest {
	t.Helper()
	text, err := json.Marshal(documents)
	if err != nil {
		t.Fatal(err)
	}
	m, err := persisted.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPersistedOperations(t *testing.T) {
	t.Parallel()
	hash := persisted.Hash(trustedDocument)
	for _, only := range []bool{false, true} {
		s := newShop(t, func(s *shop) {
			s.options.Trusted = router.Trusted{Only: only, FreeForm: "graph:free-form"}
			s.options.Authenticate = authenticateAs(t)
			s.options.MissingScope = func(ctx context.Context, _ [][]string) (string, error) {
				if caller, err := identity.FromContext(ctx); err == nil && caller.Epoch == 7 {
					return "", nil
				}
				return "graph:free-form", nil
			}
		})
		if err := s.router.SetManifest(t.Context(), manifest(t, map[string]string{hash: trustedDocument, "me1": `{ me { email } }`})); err != nil {
			t.Fatal(err)
		}
		free, freeText := fault.Code(""), ""
		// Who may send any text is told to do so, and nobody else.
		hashless, hashlessText := fault.CodePersistedQueryNotSupported, "PersistedQueryNotSupported"
		if only {
			free, freeText = fault.CodeForbidden, "only persisted operations"
			hashless, hashlessText = fault.CodePersistedQueryNotFound, "PersistedQueryNotFound"
		}
		for _, c := range []struct {
			body, token string
			code        fault.Code
			text        string
		}{
			{`{"documentId":"sha256:` + hash + `"}`, "", "", `{"data":{"me":{"id":"u1"}}}`},
			{`{"documentId":"sha256:` + hash + `","variables":{"full":true}}`, "", "", `"name":"Ada"`},
			{`{"documentId":"me1"}`, "", "", `ada@shop.test`},
			{`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hash + `"}}}`, "", "", `{"data":{"me":{"id":"u1"}}}`},
			{`{"documentId":"me1","variables":{"query":"{ users { id } }","full":{"$ne":1}}}`, "", "", `{"data":{"me":{"email":"ada@shop.test"}}}`},
			{`{"documentId":"me1","query":"{ users { id } }"}`, "", fault.CodeInvalidInput, "is not the persisted operation"},
			{`{"documentId":"me1","query":"{ users { id } }"}`, "service", fault.CodeInvalidInput, "is not the persisted operation"},
			{`{"documentId":"me1","extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hash + `"}}}`, "", fault.CodeInvalidInput, "name two operations"},
			{`{"documentId":"nope"}`, "", fault.CodePersistedQueryNotFound, "no operation"},
			{`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`, "", hashless, hashlessText},
			{`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`, "user", hashless, hashlessText},
			{`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`, "service", fault.CodePersistedQueryNotSupported, "PersistedQueryNotSupported"},
			{`{"extensions":{"persistedQuery":{"version":2,"sha256Hash":"00"}}}`, "", fault.CodeInvalidInput, "version 1"},
			{`{"extensions":{"persistedQuery":true}}`, "", fault.CodeInvalidInput, "sha256Hash"},
			{`{"query":"{ me { id } }","extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`, "", fault.CodeInvalidInput, "not the hash"},
			{`{"query":"{ me { id } }","extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + persisted.Hash("{ me { id } }") + `"}}}`, "", free, freeText},
			{`{"query":"{ me { id } }"}`, "", free, freeText},
			{`{"query":"{ me { id } }"}`, "user", free, freeText},
			{`{"query":"{ me { id } }"}`, "service", "", `"u1"`},
			{`{"query":"{ me { email } }"}`, "", "", `ada@shop.test`},
			{`{"documentId":7}`, "", fault.CodeInvalidInput, "must be a string"},
		} {
			got := post(s.router, c.body, "Authorization", c.token)
			if c.code != "" {
				wantError(t, got, c.code, c.text)
			} else if !strings.Contains(got.body, c.text) || strings.Contains(got.body, "errors") {
				t.Errorf("only %v: %s: %s", only, c.body, got.body)
			}
		}
	}
}

// A manifest that does not fit the schema is refused whole, and the former one stays.
func TestManifestsAreChecked(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	if err := s.router.SetManifest(t.Context(), manifest(t, map[string]string{"old": `{ me { id } }`})); err != nil {
		t.Fatal(err)
	}
	err := s.router.SetManifest(t.Context(), manifest(t, map[string]string{
		"new": `{ me { name } }`, "gone": `{ me { nothing } }`, "two": `query A { me { id } } query B { me { id } }`,
	}))
	if err == nil || !strings.Contains(err.Error(), "persisted operation gone:") || !strings.Contains(err.Error(), "persisted operation two:") || strings.Contains(err.Error(), "operation new") {
		t.Errorf("%v", err)
	}
	if got := post(s.router, `{"documentId":"old"}`); !strings.Contains(got.body, "u1") {
		t.Errorf("%s", got.body)
	}
	wantError(t, post(s.router, `{"documentId":"new"}`), fault.CodePersistedQueryNotFound, "")
}
