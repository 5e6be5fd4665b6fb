package persisted_test

import (
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/persisted"
)

func TestManifests(t *testing.T) {
	t.Parallel()
	const document = "{ me { id } }"
	hash := persisted.Hash(document)
	for text, id := range map[string]string{
		`{"abc":"{ me { id } }"}`:                 "abc",
		`{"sha256:` + hash + `":"{ me { id } }"}`: hash,
		`{"` + hash + `":"{ me { id } }"}`:        "sha256:" + hash,
		`{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"x","name":"Me","type":"query","body":"{ me { id } }"}]}`: "x",
	} {
		m, err := persisted.Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, ok := m.Find(id); !ok || got != document || !m.Has(document) || m.Has("{ me { name } }") {
			t.Errorf("%s: %q %v", text, got, ok)
		}
		if _, ok := m.Find("other"); ok {
			t.Errorf("%s has what it has not", text)
		}
	}
	m, err := persisted.Parse([]byte(`{"format":"apollo-persisted-query-manifest","operations":[
		{"id":"x","body":"{ a }","clientName":"web"},{"id":"y","body":"{ b }","clientName":"ios"},{"id":"z","body":"{ c }","clientName":"web"},{"id":"w","body":"{ d }"}]}`))
	if err != nil || strings.Join(m.Clients(), " ") != "ios web" {
		t.Errorf("%v, %v", m.Clients(), err)
	}
	for text, want := range map[string]string{
		`[]`:                    "no JSON object",
		`{"a":1}`:               "no JSON object",
		`{"":"{ a }"}`:          "an id of 1 to 256 bytes",
		`{"a":""}`:              "and a document",
		`{"sha256:00":"{ a }"}`: "is not the SHA-256",
		`{"format":"other"}`:    "unknown format",
		`{"format":"apollo-persisted-query-manifest","operations":[{"id":"x","body":"{a}"},{"id":"x","body":"{b}"}]}`: "twice",
	} {
		if _, err := persisted.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
