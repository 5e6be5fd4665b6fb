package main_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A client sends an operation once with its hash, and the hash alone from then on;
// what it has sent is its tenant's alone, and nothing that was refused is kept.
func TestAutomaticPersistedQueries(t *testing.T) {
	t.Parallel()
	p := start(t, dataFolder(t), "--automatic-persisted-queries", "--max-cost", "500")
	trader, _ := p.signIn(t, "trader@acme.test")
	owner, _ := p.signIn(t, "owner@acme.test")
	other, _ := p.signIn(t, "owner@globex.test")
	body := func(query, text string) string {
		sum := sha256.Sum256([]byte(text))
		sent := ""
		if query != "" {
			sent = fmt.Sprintf(`"query":%q,`, query)
		}
		return fmt.Sprintf(`{%s"extensions":{"persistedQuery":{"version":1,"sha256Hash":"%s"}}}`, sent, hex.EncodeToString(sum[:]))
	}
	const me, large, broken = "{ me { email } }", "{ users(first: 600) { edges { cursor } } }", "{ nothing }"
	for i, c := range []struct{ token, body, want string }{
		{trader, body("", me), "PERSISTED_QUERY_NOT_FOUND"},
		{trader, body(large, me), "is not the hash of the query"},
		{trader, body("", me), "PERSISTED_QUERY_NOT_FOUND"},
		{trader, body(me, me), "trader@acme.test"},
		{trader, body("", me), "trader@acme.test"},
		{owner, body("", me), "owner@acme.test"},
		{other, body("", me), "PERSISTED_QUERY_NOT_FOUND"},
		{"", body("", me), "PERSISTED_QUERY_NOT_FOUND"},
		{trader, body(large, large), "OPERATION_TOO_COMPLEX"},
		{trader, body("", large), "PERSISTED_QUERY_NOT_FOUND"},
		{trader, body(broken, broken), "INVALID_INPUT"},
		{trader, body("", broken), "PERSISTED_QUERY_NOT_FOUND"},
	} {
		if _, got := p.post(t, c.body, c.token); !strings.Contains(got, c.want) {
			t.Errorf("%d: %s: %s, want %s", i, c.body, got, c.want)
		}
	}
	sum := sha256.Sum256([]byte(me))
	extensions := url.QueryEscape(fmt.Sprintf(`{"persistedQuery":{"version":1,"sha256Hash":"%s"}}`, hex.EncodeToString(sum[:])))
	if _, got := p.send(t, "GET", "/graphql?extensions="+extensions, "", "Authorization", "Bearer "+trader); !strings.Contains(got, "trader@acme.test") {
		t.Errorf("by GET: %s", got)
	}
	socket := p.dial(t, trader)
	socket.send(map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{
		"extensions": map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hex.EncodeToString(sum[:])}},
	}})
	if got := socket.receive(); !strings.Contains(string(got.Payload), "trader@acme.test") {
		t.Errorf("on a socket: %s %s", got.Type, got.Payload)
	}
	if _, metrics := p.get(t, p.ops+"/metrics"); !strings.Contains(metrics, `tradesage_router_automatic_queries_total{result="registered"} 1`) {
		t.Error("the metrics do not tell of what was registered")
	}
}

// Clients cannot add to what is trusted.
func TestNothingIsAutomaticWhereOperationsAreTrusted(t *testing.T) {
	t.Parallel()
	manifest := filepath.Join(t.TempDir(), "operations.json")
	if err := os.WriteFile(manifest, []byte(`{"me":"{ me { id } }"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, "TRADESAGE_AUTOMATIC_PERSISTED_QUERIES: cannot be", "--automatic-persisted-queries", "--operations", "trusted", "--operations-manifest", manifest)
	wantRefused(t, "TRADESAGE_AUTOMATIC_TTL: 1s is not", "--automatic-persisted-queries", "--automatic-ttl", "1s")
}
