package main_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	tradesage "github.com/tradesage/tradesage/cmd/tradesage"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// Services may be cut into processes in any way: here a router with two of them,
// and the two others together.
func TestServicesAreMixedAtWill(t *testing.T) {
	t.Parallel()
	common := settings(dbtest.NewDatabase(t))
	if err := tradesage.Seed(t.Context(), common); err != nil {
		t.Fatal(err)
	}
	common["TRADESAGE_PUBLIC_URL"], common["TRADESAGE_START_WAIT"] = "http://api.tradesage.test", "1m"
	front, back := map[string]string{"TRADESAGE_SERVICES": "router,auth,session"}, map[string]string{"TRADESAGE_SERVICES": "user,tenant"}
	for k, v := range common {
		front[k], back[k] = v, v
	}
	for _, service := range []string{"AUTH", "SESSION"} {
		front["TRADESAGE_"+service+"_LISTEN"] = freePort(t)
	}
	for _, service := range []string{"USER", "TENANT"} {
		at := freePort(t)
		front["TRADESAGE_"+service+"_LISTEN"], back["TRADESAGE_"+service+"_LISTEN"] = at, at // where the router looks, if no URL is set
	}
	p, other := serveWith(t, front), serveWith(t, back)
	(&stack{}).awaitReady(t, p)
	token, id := p.signIn(t, "owner@acme.test")
	if me := p.ask(t, token, meQuery, nil); dig(me.Data, "me", "id") != id || dig(me.Data, "me", "tenant", "name") != "Acme Trading" {
		t.Errorf("%+v", me)
	}
	if answer := p.ask(t, token, `mutation { updateProfile(input: {displayName: "Ada"}) { user { displayName } } }`, nil); dig(answer.Data, "updateProfile", "user", "displayName") != "Ada" {
		t.Errorf("%+v", answer)
	}
	// On its own port each service verifies the token again.
	service := &process{url: "http://" + back["TRADESAGE_USER_LISTEN"]}
	if answer := service.ask(t, token, `{ me { id } }`, nil); dig(answer.Data, "me", "id") != id {
		t.Errorf("%+v", answer)
	}
	if answer := service.ask(t, token+"x", `{ me { id } }`, nil); answer.code() != "UNAUTHENTICATED" {
		t.Errorf("%+v", answer)
	}
	for _, path := range []string{"/health", "/healthz", "/readyz"} {
		if status, text := p.get(t, service.url+path); status != 200 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	p.interrupt(t)
	other.interrupt(t)
}

func TestServeRefusesBadServices(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	for want, bad := range map[string]map[string]string{
		"cannot listen at " + busy.Addr().String() + " (choose another with --user-listen)": {"TRADESAGE_SERVICES": "user", "TRADESAGE_USER_LISTEN": busy.Addr().String()},
		`TRADESAGE_SERVICES: "billing" is none of`:                                          {"TRADESAGE_SERVICES": "router,billing"},
		"TRADESAGE_SERVICES: all stands alone":                                              {"TRADESAGE_SERVICES": "all,router"},
		"TRADESAGE_SERVICES: auth is named twice":                                           {"TRADESAGE_SERVICES": "auth,auth"},
		"TRADESAGE_USER_LISTEN: 0.0.0.0:1 can be reached from other":                        {"TRADESAGE_SERVICES": "user", "TRADESAGE_USER_LISTEN": "0.0.0.0:1"},
		"TRADESAGE_USER_LISTEN: \"nowhere\" is not host:port":                               {"TRADESAGE_SERVICES": "user", "TRADESAGE_USER_LISTEN": "nowhere"},
		"TRADESAGE_AUTH_URL: auth.example is another machine":                               {"TRADESAGE_SERVICES": "router", "TRADESAGE_AUTH_URL": "http://auth.example/graphql"},
		"TRADESAGE_AUTH_URL: must begin with http:// where":                                 {"TRADESAGE_SERVICES": "router", "TRADESAGE_AUTH_URL": "https://127.0.0.1:1/graphql"},
		"TRADESAGE_AUTH_URL: must begin with https:// where":                                {"TRADESAGE_SERVICES": "router", "TRADESAGE_AUTH_URL": "http://127.0.0.1:1/graphql", "TRADESAGE_SERVICE_CERTS": "/nowhere"},
		"TRADESAGE_FETCH_TIMEOUT: 1ms is not between 100ms and 5m":                          {"TRADESAGE_SERVICES": "router", "TRADESAGE_FETCH_TIMEOUT": "1ms"},
		"TRADESAGE_SERVICE_CERTS: ":                                                         {"TRADESAGE_SERVICES": "user", "TRADESAGE_SERVICE_CERTS": "/nowhere"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			environment := map[string]string{
				"TRADESAGE_DATABASE_URL": "postgres://127.0.0.1:1/none", "TRADESAGE_DATABASE_SECRET": masterKey,
				"TRADESAGE_MASTER_KEY": masterKey, "TRADESAGE_REDIS_URL": "redis://127.0.0.1:1/0",
				"TRADESAGE_USER_LISTEN": freePort(t),
			}
			for k, v := range bad {
				environment[k] = v
			}
			cmd := exec.CommandContext(t.Context(), binary(t), "serve", "--listen", freePort(t), "--metrics-listen", freePort(t))
			for k, v := range environment {
				cmd.Env = append(cmd.Env, k+"="+v)
			}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) || strings.Count(strings.TrimSpace(string(out)), "\n") > 0 {
				t.Errorf("got %v, want one line with %q in:\n%s", err, want, out)
			}
		})
	}
}
