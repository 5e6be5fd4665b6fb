package main_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	tradesage "github.com/tradesage/tradesage/cmd/tradesage"
	"github.com/tradesage/tradesage/internal/dbtest"
)

const makeRole = `mutation ($key: String!) { createRole(input: {key: $key, name: "R", permissions: ["users:read"]}) { role { key } } }`

// A router by itself, and everything else: what callers may do and how long ago
// they signed in is enforced in both, and changes with the next request.
func TestRightsAtTheRouterAndBehindIt(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	common := settings(env)
	if err := tradesage.Seed(t.Context(), common); err != nil {
		t.Fatal(err)
	}
	common["TRADESAGE_PUBLIC_URL"], common["TRADESAGE_START_WAIT"] = "http://api.tradesage.test", "1m"
	front, back := maps.Clone(common), maps.Clone(common)
	front["TRADESAGE_SERVICES"], back["TRADESAGE_SERVICES"] = "router", "auth,session,user,tenant"
	for _, service := range []string{"AUTH", "SESSION", "USER", "TENANT"} {
		at := freePort(t)
		front["TRADESAGE_"+service+"_LISTEN"], back["TRADESAGE_"+service+"_LISTEN"] = at, at
	}
	p, other := serveWith(t, front), serveWith(t, back)
	(&stack{}).awaitReady(t, p)
	service := &process{url: "http://" + back["TRADESAGE_USER_LISTEN"]}
	trader, traderID := p.signIn(t, "trader@acme.test")
	login := p.ask(t, "", loginMutation, map[string]any{"email": "owner@acme.test", "password": "tradesage-dev"})
	owner, _ := dig(login.Data, "login", "accessToken").(string)

	const record = `{ mine: me { email } record: auditEvents(first: 1) { edges { node { action } } } }`
	if got := p.ask(t, trader, record, nil); got.code() != "FORBIDDEN" || !strings.Contains(got.Errors[0].Message, "audit:read") || got.Errors[0].Path[0] != "record" {
		t.Errorf("%+v", got) // auditEvents is not nullable: there is no data at all
	}
	const inside = `{ me { email said: auditEvents(first: 1) { edges { node { action } } } } }`
	if got := p.ask(t, trader, inside, nil); got.code() != "FORBIDDEN" || dig(got.Data, "me", "email") != "trader@acme.test" || len(got.Errors) != 1 {
		t.Errorf("%+v", got)
	}
	if got := service.ask(t, trader, inside, nil); got.code() != "FORBIDDEN" {
		t.Errorf("on the service's own port: %+v", got)
	}
	if status, metrics := p.get(t, p.ops+"/metrics"); status != 200 || !strings.Contains(metrics, `tradesage_router_refused_total{code="FORBIDDEN"} 2`) {
		t.Errorf("%d: the router did not refuse both", status)
	}
	assign := `mutation ($u: ID!) { assignRole(input: {userId: $u, role: "admin"}) { user { id } } }`
	if got := p.ask(t, owner, assign, map[string]any{"u": traderID}); len(got.Errors) > 0 {
		t.Fatalf("%+v", got)
	}
	// A mutation waits only a moment for the other process to hear of it.
	known := func(code string) {
		t.Helper()
		deadline, tick := time.After(soon), time.NewTicker(10*time.Millisecond)
		defer tick.Stop()
		for got := p.ask(t, trader, record, nil); got.code() != code; got = p.ask(t, trader, record, nil) {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("the change of a role is not known at the router: %+v", got)
			}
		}
	}
	known("")
	if got := p.ask(t, owner, strings.Replace(assign, "assignRole", "unassignRole", 1), map[string]any{"u": traderID}); len(got.Errors) > 0 {
		t.Fatalf("%+v", got)
	}
	known("FORBIDDEN")

	// The schema is for who may read it, unless the operator decides otherwise.
	for name, c := range map[string]struct {
		token, code string
		status      int
	}{"nobody": {"", "UNAUTHENTICATED", 401}, "trader": {trader, "FORBIDDEN", 403}, "owner": {owner, "", 200}} {
		if got := p.ask(t, c.token, `{ __type(name: "User") { name } }`, nil); got.code() != c.code || (dig(got.Data, "__type", "name") == "User") != (c.code == "") {
			t.Errorf("introspection by %s: %+v", name, got)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/schema.graphql", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("schema for %s: %d", name, resp.StatusCode)
		}
	}

	// An hour later: the session goes on, and what matters takes the password again.
	if _, err := env.Connect(t, "postgres").Exec(t.Context(), "UPDATE platform.sessions SET auth_time = auth_time - interval '1 hour'"); err != nil {
		t.Fatal(err)
	}
	renewed := p.ask(t, "", refreshMutation, map[string]any{"token": dig(login.Data, "login", "refreshToken")})
	owner, _ = dig(renewed.Data, "refreshSession", "accessToken").(string)
	for name, at := range map[string]*process{"router": p, "service": service} {
		got := at.ask(t, owner, makeRole, map[string]any{"key": "late"})
		if got.code() != "STEP_UP_REQUIRED" || got.Errors[0].Extensions.MaxAge != 900 || dig(got.Data, "createRole") != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := p.ask(t, owner, `{ me { email } }`, nil); len(got.Errors) > 0 {
		t.Errorf("what asks for nothing recent: %+v", got)
	}
	const confirm = `mutation ($p: String!) { confirmPassword(input: {password: $p}) { accessToken expiresIn } }`
	if got := p.ask(t, owner, confirm, map[string]any{"p": "wrong"}); got.code() != "INVALID_INPUT" || got.Errors[0].Extensions.Field != "input.password" {
		t.Errorf("%+v", got)
	}
	if got := p.ask(t, "", confirm, map[string]any{"p": "tradesage-dev"}); got.code() != "UNAUTHENTICATED" {
		t.Errorf("%+v", got)
	}
	confirmed := p.ask(t, owner, confirm, map[string]any{"p": "tradesage-dev"})
	owner, _ = dig(confirmed.Data, "confirmPassword", "accessToken").(string)
	if got := p.ask(t, owner, makeRole, map[string]any{"key": "late"}); dig(got.Data, "createRole", "role", "key") != "late" {
		t.Errorf("%+v after %+v", got, confirmed)
	}
	two := `mutation ($p: String!) { a: confirmPassword(input: {password: $p}) { expiresIn } b: confirmPassword(input: {password: $p}) { expiresIn } }`
	if got := p.ask(t, owner, two, map[string]any{"p": "x"}); got.code() != "OPERATION_TOO_COMPLEX" {
		t.Errorf("guesses by the dozen: %+v", got)
	}
	p.interrupt(t)
	other.interrupt(t)
}
