package main_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/internal/dbtest"
)

// command runs a command of the program with these settings alone.
func command(t *testing.T, environment map[string]string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	for k, v := range environment {
		if v != "" {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The first administrator of a fresh installation: invited before anything serves,
// by the link or the mail, able to make tenants.
func TestTheFirstAdministrator(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	environment := settings(env)
	environment["TRADESAGE_PUBLIC_URL"] = "https://api.tradesage.test"
	own := map[string]string{
		"TRADESAGE_DATABASE_URL": env.URL, "TRADESAGE_PUBLIC_URL": "https://api.tradesage.test",
		"TRADESAGE_DATABASE_CREDENTIALS_FILE": credentialsFile(t, "tenant"), // knows enough
	}
	const ada = "ada@tradesage.example"
	first, err := command(t, own, "admin", "invite", " Ada@TradeSage.example ")
	if err != nil || !strings.HasPrefix(first, ada+" is invited as platform-admin until ") || !strings.Contains(first, "\nhttps://api.tradesage.test/invitation#") {
		t.Fatalf("%v\n%s", err, first)
	}
	second, err := command(t, environment, "admin", "invite", ada)
	if err != nil {
		t.Fatalf("%v\n%s", err, second)
	}

	smtp := newPostOffice(t)
	box := httptest.NewServer(http.HandlerFunc(smtp.box.ServeJSON))
	t.Cleanup(box.Close)
	host, port, _ := net.SplitHostPort(smtp.address)
	environment["TRADESAGE_SMTP_HOST"], environment["TRADESAGE_SMTP_PORT"], environment["TRADESAGE_SMTP_PLAINTEXT"] = host, port, "true"
	p := serveWith(t, environment)
	p.mails = box.URL
	p.awaitText(t, func(s string) bool { return strings.Contains(s, "msg=serving") })
	p.mailTo(t, ada, "invitation to TradeSage")
	accept := func(link string) gqlResponse {
		return p.ask(t, "", acceptMutation, map[string]any{"code": codeIn(t, link), "password": "tradesage-dev", "name": "Ada"})
	}
	if answer := accept(first); answer.code() != "NOT_FOUND" {
		t.Errorf("the second invitation takes the place of the first: %+v", answer)
	}
	if answer := accept(second); dig(answer.Data, "acceptInvitation", "tenant", "slug") != "tradesage" {
		t.Fatalf("%+v", answer)
	}
	token, _ := p.signIn(t, ada)
	me := p.ask(t, token, `{ me { displayName roles { key } } }`, nil)
	if diff := cmp.Diff(map[string]any{"displayName": "Ada", "roles": []any{map[string]any{"key": "platform-admin"}}}, dig(me.Data, "me")); diff != "" {
		t.Errorf("%+v %s", me.Errors, diff)
	}
	made := p.ask(t, token, `mutation { createTenant(input: {name: "Acme", slug: "acme", ownerEmail: "owner@acme.test"}) { tenant { slug state } } }`, nil)
	if diff := cmp.Diff(map[string]any{"slug": "acme", "state": "ACTIVE"}, dig(made.Data, "createTenant", "tenant")); diff != "" {
		t.Errorf("%+v %s", made.Errors, diff)
	}
	events := p.ask(t, token, `{ auditEvents(first: 20) { edges { node { action actor { id } } } } }`, nil)
	edges, _ := dig(events.Data, "auditEvents", "edges").([]any)
	invites := 0
	for _, edge := range edges {
		if dig(edge, "node", "action") == "user.invite" && dig(edge, "node", "actor") == nil {
			invites++
		}
	}
	if invites != 2 {
		t.Errorf("%d of two invitations are recorded: %+v", invites, events)
	}
	if out, err := command(t, environment, "admin", "invite", ada); err == nil || !strings.Contains(out, "CONFLICT") && !strings.Contains(out, "already") {
		t.Errorf("a second time: %v\n%s", err, out)
	}
	p.interrupt(t)
	if strings.Contains(p.text(), codeIn(t, second)) {
		t.Error("the code is in the log")
	}
}

func TestAdminInviteRefuses(t *testing.T) {
	t.Parallel()
	good := settings(dbtest.New(t))
	good["TRADESAGE_PUBLIC_URL"] = "https://api.tradesage.test"
	for want, change := range map[string]struct{ setting, value, email string }{
		"TRADESAGE_PUBLIC_URL: must be set":  {"TRADESAGE_PUBLIC_URL", "", "a@b.example"},
		"TRADESAGE_PUBLIC_URL: \"ftp":        {"TRADESAGE_PUBLIC_URL", "ftp://x", "a@b.example"},
		"TRADESAGE_MASTER_KEY: must be":      {"TRADESAGE_MASTER_KEY", "", "a@b.example"},
		"TRADESAGE_DATABASE_URL: must be":    {"TRADESAGE_DATABASE_URL", "", "a@b.example"},
		"TRADESAGE_DATABASE_SECRET: must be": {"TRADESAGE_DATABASE_SECRET", "", "a@b.example"},
		"email":                              {"TRADESAGE_BLANKS", "0", "nobody"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			environment := map[string]string{}
			for k, v := range good {
				environment[k] = v
			}
			environment[change.setting] = change.value
			out, err := command(t, environment, "admin", "invite", change.email)
			if err == nil || !strings.Contains(out, want) || strings.Count(out, "\n") != 1 {
				t.Errorf("%v, want one line with %q:\n%s", err, want, out)
			}
		})
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	environment := settings(dbtest.New(t))
	p := serveWith(t, environment)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(p.ops, "http://"))
	p.awaitText(t, func(s string) bool { return strings.Contains(s, "msg=serving") })
	for _, listen := range []string{"127.0.0.1:" + port, ":" + port, "0.0.0.0:" + port, "[::]:" + port} {
		out, err := command(t, map[string]string{"TRADESAGE_METRICS_LISTEN": listen}, "health")
		if err != nil || !strings.HasPrefix(out, "ready") || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %v\n%s", listen, err, out)
		}
	}
	if out, err := command(t, nil, "health", "--url", p.url+"/readyz"); err != nil || out != "ready, without mail (TRADESAGE_SMTP_HOST is not set: mail waits)\n" {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := command(t, nil, "health", "--url", p.url+"/nothing"); err == nil || out != "tradesage: not ready: 404 Not Found\n" {
		t.Errorf("%v\n%s", err, out)
	}
	p.interrupt(t)
	if out, err := command(t, nil, "health", "--url", p.url+"/readyz"); err == nil || !strings.HasPrefix(out, "tradesage: not ready: ") || strings.Count(out, "\n") != 1 {
		t.Errorf("%v\n%s", err, out)
	}

	environment["TRADESAGE_DATABASE_URL"], environment["TRADESAGE_START_WAIT"] = "postgres://127.0.0.1:1/none", "1m"
	waits := serveWith(t, environment)
	waits.awaitText(t, func(s string) bool { return strings.Contains(s, "waiting to start") })
	out, err := command(t, map[string]string{"TRADESAGE_METRICS_LISTEN": strings.TrimPrefix(waits.ops, "http://")}, "health")
	if err == nil || !strings.HasPrefix(out, "tradesage: not ready: start (") || strings.Count(out, "\n") != 1 {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := command(t, map[string]string{"TRADESAGE_METRICS_LISTEN": "nowhere"}, "health"); err == nil || !strings.Contains(out, "TRADESAGE_METRICS_LISTEN") {
		t.Errorf("%v\n%s", err, out)
	}
}
