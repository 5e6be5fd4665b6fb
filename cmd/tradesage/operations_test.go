package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Where only trusted operations are taken clients name them, and only those who
// administer may send others; the manifest is followed when it changes.
func TestTrustedOperations(t *testing.T) {
	t.Parallel()
	manifest := filepath.Join(t.TempDir(), "operations.json")
	write := func(documents map[string]string) {
		t.Helper()
		text, err := json.Marshal(documents)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(manifest+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(manifest+".new", manifest); err != nil {
			t.Fatal(err)
		}
	}
	documents := map[string]string{"login": loginMutation, "me": "query Me { me { email } }"}
	write(documents)
	p := start(t, dataFolder(t), "--operations", "trusted", "--operations-manifest", manifest)
	trader, _ := p.signIn(t, "trader@acme.test") // by the text of a trusted operation
	owner, _ := p.signIn(t, "owner@acme.test")
	send := func(token, body string) string {
		t.Helper()
		_, text := p.send(t, "POST", "/graphql", body, "Content-Type", "application/json", "Authorization", "Bearer "+token)
		return text
	}
	const free = `{"query":"{ me { email } }"}`
	for _, c := range []struct{ token, body, want string }{
		{trader, `{"documentId":"me"}`, `{"data":{"me":{"email":"trader@acme.test"}}}`},
		{trader, free, "FORBIDDEN"},
		{trader, `{"query":"{ __schema { queryType { name } } }"}`, "FORBIDDEN"},
		{trader, `{"documentId":"me","query":"{ me { email id } }"}`, "INVALID_INPUT"},
		{trader, `{"documentId":"sessions"}`, "PERSISTED_QUERY_NOT_FOUND"},
		{owner, free, `{"data":{"me":{"email":"owner@acme.test"}}}`},
	} {
		if got := send(c.token, c.body); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.body, got, c.want)
		}
	}
	if resp, body := p.send(t, "GET", "/graphql?documentId=me", "", "Authorization", "Bearer "+trader); !strings.Contains(body, "trader@acme.test") {
		t.Errorf("by GET: %d %s", resp.StatusCode, body)
	}
	if resp, body := p.send(t, "POST", "/graphql", free, "Content-Type", "application/json"); !strings.Contains(body, "FORBIDDEN") {
		t.Errorf("nobody: %d %s", resp.StatusCode, body)
	}
	documents["sessions"] = "{ me { id } }"
	write(documents)
	deadline, tick := time.After(soon), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for strings.Contains(send(trader, `{"documentId":"sessions"}`), "PERSISTED_QUERY_NOT_FOUND") {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the new manifest is not followed")
		}
	}
	// A wrong one changes nothing.
	write(map[string]string{"me": "{ nothing }"})
	p.awaitText(t, func(said string) bool { return strings.Contains(said, "nothing") })
	if _, body := p.send(t, "GET", "/readyz", ""); !strings.Contains(body, `"operations":{"ok":false,"needed":false,"missing":["the file is refused`) {
		t.Error(body)
	}
	_, metrics := p.get(t, p.ops+"/metrics")
	for _, result := range []string{"taken", "refused"} { // perhaps more than once: files are not written at once
		if !regexp.MustCompile(`tradesage_router_operations_reloads_total\{result="` + result + `"\} [1-9]`).MatchString(metrics) {
			t.Errorf("none is counted as %s", result)
		}
	}
	if got := send(trader, `{"documentId":"sessions"}`); !strings.Contains(got, `"id"`) {
		t.Error(got)
	}
}
