package main_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// databaseOf is how a command reaches the database of a development server.
func databaseOf(t *testing.T, data string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "*", "postmaster.pid"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	status, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(data, "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var secrets struct{ Database string }
	if err := json.Unmarshal(text, &secrets); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(status), "\n") // the port and the folder of sockets are the fourth and fifth
	return map[string]string{
		"TRADESAGE_DATABASE_URL":    "postgres:///tradesage?" + url.Values{"host": {lines[4]}, "port": {lines[3]}}.Encode(),
		"TRADESAGE_DATABASE_SECRET": secrets.Database,
	}
}

// A tenant has the limits of its plan, by the platform's word alone, and those of
// another one seconds after an operator says so.
func TestLimitsByPlan(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "limits.json")
	if err := os.WriteFile(file, []byte(`{
		"plans": [{"name": "free", "maxCost": 20, "rateTenant": "500/1h", "tenantConcurrency": 1}],
		"classes": [{"name": "auditors", "scope": "audit:read", "plans": ["free"], "maxCost": 30}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	data := dataFolder(t)
	p := start(t, data, "--limits-file", file)
	owner, _ := p.signIn(t, "owner@acme.test")
	trader, _ := p.signIn(t, "trader@acme.test")
	other, _ := p.signIn(t, "owner@globex.test")
	socket := p.dial(t, trader)
	const page = `{ users(first: 40) { edges { cursor } } }` // costs 41
	limit := func(token string) string {
		_, text := p.post(t, `{"query":"`+page+`"}`, token)
		_, found, _ := strings.Cut(text, `"cost":41,"limit":`)
		return strings.Trim(found, "}]")
	}
	for who, token := range map[string]string{"owner": owner, "trader": trader, "other": other} {
		if got := limit(token); got != "" {
			t.Errorf("%s: %q", who, got)
		}
	}
	database := databaseOf(t, data)
	if out, err := command(t, database, "tenant", "plan", "acme", "free"); err != nil || out != "acme: free, before standard\n" {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := command(t, database, "tenant", "plan", "nobody-has-this", "free"); err == nil || !strings.Contains(out, "no such tenant") {
		t.Errorf("%v\n%s", err, out)
	}
	deadline, tick := time.After(time.Minute), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for limit(trader) == "" {
		select {
		case <-deadline:
			t.Fatal("the plan is not taken up")
		case <-tick.C:
		}
	}
	for who, want := range map[string]string{trader: "20", owner: "30", other: ""} {
		if got := limit(who); got != want {
			t.Errorf("got the limit %q, want %q", got, want)
		}
	}
	socket.subscribe("1", page, nil)
	if got := socket.receive(); !strings.Contains(string(got.Payload), `"limit":20`) {
		t.Errorf("a socket from before: %s %s", got.Type, got.Payload)
	}
	// What a client says of itself is nothing.
	resp, text := p.send(t, "POST", "/graphql", `{"query":"{ users(first: 40) { edges { cursor } } }","extensions":{"plan":"standard"}}`,
		"Content-Type", "application/json", "Authorization", "Bearer "+trader, "X-Plan", "standard", "Tradesage-Plan", "standard")
	if !strings.Contains(text, `"limit":20`) || !strings.Contains(resp.Header.Get("RateLimit-Policy"), `"tenant-free";q=500;w=3600`) {
		t.Errorf("%s %v", text, resp.Header)
	}
	if _, metrics := p.get(t, p.ops+"/metrics"); !strings.Contains(metrics, `tradesage_router_limited_total{class="free",kind="cost"}`) ||
		!strings.Contains(metrics, `tradesage_router_limited_total{class="auditors@free",kind="cost"} 1`) {
		t.Error("the metrics do not tell the plan")
	}
	// One that is not in the file is as standard.
	if out, err := command(t, database, "tenant", "plan", "acme", "unheard-of"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for limit(trader) != "" {
		select {
		case <-deadline:
			t.Fatal("the plan is not taken up")
		case <-tick.C:
		}
	}
}
