package main_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// post sends an operation as it is.
func (p *process) post(t *testing.T, body, token string) (*http.Response, string) {
	t.Helper()
	headers := []string{"Content-Type", "application/json"}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	return p.send(t, http.MethodPost, "/graphql", body, headers...)
}

// What one caller may ask for is bounded in the built program, by its
// configuration.
func TestLimitsOfTheProgram(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "limits.json")
	if err := os.WriteFile(file, []byte(`{"classes": [{"name": "auditors", "scope": "audit:read", "maxCost": 90000}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dataFolder(t), "--rate-login", "4/1h", "--rate-user", "40/24h", "--limits-file", file, "--rate-clients", "reports=2/24h,*=1000/1h")
	owner, _ := p.signIn(t, "owner@acme.test") // 1 of 4
	trader, _ := p.signIn(t, "trader@acme.test")

	// 145 at once is INVALID_INPUT of the lists themselves; the router does not know.
	const pages = `{ users(first: 145) { edges { node { sessions(first: 145) { edges { node { id } } } } } } }`
	for token, want := range map[string]string{owner: "INVALID_INPUT", trader: "OPERATION_TOO_COMPLEX"} {
		if got := p.ask(t, token, pages, nil); got.code() != want {
			t.Errorf("want %q: %+v", want, got)
		}
	}
	resp, text := p.post(t, `{"query":"query($n: Int) { users(first: $n) { edges { cursor } } }","variables":{"n":5000}}`, "")
	if resp.StatusCode != http.StatusOK || !strings.Contains(text, `"cost":5001,"limit":1000`) {
		t.Errorf("anonymous: %d %s", resp.StatusCode, text)
	}

	// A password is guessed at four times.
	guess := `{"query":"mutation { login(input: {email: \"Owner@acme.test\", password: \"wrong-password\"}) { accessToken } }"}`
	var statuses []int
	for range 5 {
		resp, text = p.post(t, guess, "")
		statuses = append(statuses, resp.StatusCode)
	}
	if diff := cmp.Diff([]int{200, 200, 200, 429, 429}, statuses); diff != "" {
		t.Errorf("guesses (-want +got):\n%s", diff)
	}
	if !strings.Contains(text, "RATE_LIMITED") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v", text, resp.Header)
	}
	p.signIn(t, "owner@globex.test")

	refused := 0
	for range 60 {
		resp, _ = p.post(t, `{"query":"{ me { id } }"}`, owner)
		if resp.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 20 || !strings.Contains(resp.Header.Get("RateLimit-Policy"), `"user-cost";q=300000;w=60`) && resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d were refused: %v", refused, resp.Header)
	}
	if resp, text = p.post(t, `{"query":"{ me { id } }"}`, trader); resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("RateLimit"), `"`) {
		t.Errorf("another user is refused: %s", text)
	}
	statuses = nil
	for range 3 {
		resp, _ = p.send(t, http.MethodPost, "/graphql", `{"query":"{ me { id } }"}`, "Content-Type", "application/json",
			"Authorization", "Bearer "+trader, "Apollographql-Client-Name", "reports")
		statuses = append(statuses, resp.StatusCode)
	}
	if diff := cmp.Diff([]int{200, 200, 429}, statuses); diff != "" {
		t.Errorf("a program with a rate (-want +got):\n%s", diff)
	}
	if _, metrics := p.get(t, p.ops+"/metrics"); !strings.Contains(metrics, `tradesage_ratelimit_refused_total{policy="login"}`) ||
		!strings.Contains(metrics, `tradesage_router_limited_total{class="anonymous",kind="cost"} 1`) {
		t.Error("the metrics do not tell what was refused")
	}
}

func TestBadLimitsAreNamed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for want, text := range map[string]string{
		`unknown field "maxCots"`:                 `{"classes": [{"name": "auditors", "maxCots": 1}]}`,
		`class auditors: needs the scope`:         `{"classes": [{"name": "auditors"}]}`,
		`class auditors: there is no plan "gold"`: `{"classes": [{"name": "auditors", "scope": "audit:read", "plans": ["gold"]}]}`,
		`plan "free": needs a name of its own`:    `{"plans": [{"name": "free"}, {"name": "free"}]}`,
		`plan "Free": needs a name`:               `{"plans": [{"name": "Free"}]}`,
		`plan free: a limit is negative: -1`:      `{"plans": [{"name": "free", "userConcurrency": -1}]}`,
		`class "free": needs a name`:              `{"plans": [{"name": "free"}], "classes": [{"name": "free", "scope": "a"}]}`,
		`"60" is not a rate as 600/1m, nor off`:   `{"plans": [{"name": "free", "rateTenant": "60"}]}`,
	} {
		file := filepath.Join(folder, "limits.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, want, "--limits-file", file)
	}
	for want, flags := range map[string][]string{
		"is not a rate as 600/1m":                 {"--rate-user", "600"},
		"TRADESAGE_MAX_DEPTH: -1":                 {"--max-depth=-1"},
		"TRADESAGE_RATE_CLIENTS: \"a b\"":         {"--rate-clients", "a b=600/1m"},
		`--rate-clients: invalid map value "600"`: {"--rate-clients", "a=600"},
		"TRADESAGE_TRUSTED_PROXIES: \"a":          {"--trusted-proxy", "a.example"},
	} {
		wantRefused(t, want, flags...)
	}
}

// wantRefused starts serve, which must not, with words that name the fault.
func wantRefused(t *testing.T, want string, flags ...string) {
	t.Helper()
	out, err := exec.Command(binary(t), append([]string{"serve", "--redis-url", "redis://127.0.0.1:1/0", "--start-wait", "1ms"}, flags...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: %v, want %q in\n%s", flags, err, want, out)
	}
}
