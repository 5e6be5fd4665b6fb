package main_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	inviteMutation = `mutation ($email: String!, $role: String!) { inviteUser(input: {email: $email, role: $role}) { invitation { id email } } }`
	acceptMutation = `mutation ($code: String!, $password: String, $name: String) {
		acceptInvitation(input: {code: $code, password: $password, displayName: $name}) { tenant { id slug name } } }`
)

func TestSomebodyIsInvitedAndJoins(t *testing.T) { everywhere(t, somebodyIsInvitedAndJoins) }

func somebodyIsInvitedAndJoins(t *testing.T, p *process) {
	owner, _ := p.signIn(t, "owner@acme.test")
	invite := func(token, email, role, to string) string {
		t.Helper()
		if answer := p.ask(t, token, inviteMutation, map[string]any{"email": email, "role": role}); len(answer.Errors) > 0 {
			t.Fatalf("%s as %s: %+v", email, role, answer)
		}
		return codeIn(t, p.mailTo(t, email, "invitation to "+to))
	}
	accept := func(token, code string, password any) gqlResponse {
		return p.ask(t, token, acceptMutation, map[string]any{"code": code, "password": password, "name": "Grace"})
	}

	code := invite(owner, "grace@navy.test", "trader", "Acme")
	for password, field := range map[string]string{"short": "input.password", strings.Repeat("a", 513): "input.password"} {
		if answer := accept("", code, password); answer.code() != "INVALID_INPUT" || answer.Errors[0].Extensions.Field != field {
			t.Errorf("%+v", answer)
		}
	}
	if answer := accept("", "nonsense", "twelve letters"); answer.code() != "NOT_FOUND" {
		t.Errorf("%+v", answer)
	}
	if answer := accept("", code, "twelve letters"); dig(answer.Data, "acceptInvitation", "tenant", "slug") != "acme" {
		t.Fatalf("%+v", answer)
	}
	if answer := accept("", code, "twelve letters"); answer.code() != "NOT_FOUND" {
		t.Errorf("a code twice: %+v", answer)
	}
	login := p.ask(t, "", loginMutation, map[string]any{"email": "grace@navy.test", "password": "twelve letters"})
	grace, _ := dig(login.Data, "login", "accessToken").(string)
	me := p.ask(t, grace, `{ me { email displayName roles { key } tenant { name } } }`, nil)
	want := map[string]any{"email": "grace@navy.test", "displayName": "Grace", "roles": []any{map[string]any{"key": "trader"}}, "tenant": map[string]any{"name": "Acme Trading"}}
	if diff := cmp.Diff(want, dig(me.Data, "me")); diff != "" {
		t.Errorf("%v %s", me.Errors, diff)
	}

	// One that was sent by mistake is found, and withdrawn before anybody takes it.
	code = invite(owner, "mistake@navy.test", "viewer", "Acme")
	open := p.ask(t, owner, `{ invitations { edges { node { id email role { key } invitedBy { email } } } } }`, nil)
	edges, _ := dig(open.Data, "invitations", "edges").([]any)
	if len(edges) != 1 || dig(edges[0], "node", "email") != "mistake@navy.test" || dig(edges[0], "node", "invitedBy", "email") != "owner@acme.test" {
		t.Fatalf("%+v", open)
	}
	withdrawn := p.ask(t, owner, `mutation ($id: ID!) { withdrawInvitation(input: {invitationId: $id}) { invitation { email } } }`,
		map[string]any{"id": dig(edges[0], "node", "id")})
	if dig(withdrawn.Data, "withdrawInvitation", "invitation", "email") != "mistake@navy.test" {
		t.Errorf("%+v", withdrawn)
	}
	if answer := accept("", code, "twelve letters"); answer.code() != "NOT_FOUND" {
		t.Errorf("a withdrawn code: %+v", answer)
	}

	// The same person at another tenant, first with somebody else's session.
	other, _ := p.signIn(t, "owner@globex.test")
	code = invite(other, "grace@navy.test", "viewer", "Globex")
	for _, token := range []string{"", owner} {
		if answer := accept(token, code, nil); answer.code() != "UNAUTHENTICATED" {
			t.Errorf("%+v", answer)
		}
	}
	if answer := accept("", code, "not the password"); answer.code() != "UNAUTHENTICATED" {
		t.Errorf("%+v", answer)
	}
	if answer := accept(grace, code, nil); dig(answer.Data, "acceptInvitation", "tenant", "slug") != "globex" {
		t.Fatalf("%+v", answer)
	}
	login = p.ask(t, "", loginMutation, map[string]any{"email": "grace@navy.test", "password": "twelve letters", "tenant": "globex"})
	token, _ := dig(login.Data, "login", "accessToken").(string)
	if me := p.ask(t, token, `{ me { roles { key } tenant { slug } } }`, nil); dig(me.Data, "me", "tenant", "slug") != "globex" {
		t.Errorf("%+v", me)
	}
	for _, secret := range []string{code, "twelve letters"} {
		if strings.Contains(p.text(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	p.interrupt(t)
}

func TestAnAdministratorAppointsATrader(t *testing.T) {
	t.Parallel()
	p := start(t, dataFolder(t))
	join := func(by, email, role string) (token, id string) {
		t.Helper()
		if answer := p.ask(t, by, inviteMutation, map[string]any{"email": email, "role": role}); len(answer.Errors) > 0 {
			t.Fatalf("%s as %s: %+v", email, role, answer)
		}
		code := codeIn(t, p.mailTo(t, email, "invitation"))
		if answer := p.ask(t, "", acceptMutation, map[string]any{"code": code, "password": "tradesage-dev"}); len(answer.Errors) > 0 {
			t.Fatalf("%s: %+v", email, answer)
		}
		return p.signIn(t, email)
	}
	owner, ownerID := p.signIn(t, "owner@acme.test")
	admin, adminID := join(owner, "admin@acme.test", "admin")
	_, trader := join(admin, "second@acme.test", "trader")
	viewer, viewerID := join(admin, "viewer@acme.test", "viewer")
	const (
		assign = `mutation ($id: ID!, $role: String!) { assignRole(input: {userId: $id, role: $role}) { user { id } } }`
		can    = `{ can(permission: "orders:place") }`
	)
	if answer := p.ask(t, viewer, can, nil); dig(answer.Data, "can") != false {
		t.Errorf("a viewer: %+v", answer)
	}
	if answer := p.ask(t, admin, assign, map[string]any{"id": viewerID, "role": "trader"}); len(answer.Errors) > 0 {
		t.Errorf("%+v", answer)
	}
	if answer := p.ask(t, viewer, can, nil); dig(answer.Data, "can") != true {
		t.Errorf("a trader, on the next request: %+v", answer)
	}
	for _, id := range []string{adminID, trader, ownerID} {
		if answer := p.ask(t, admin, assign, map[string]any{"id": id, "role": "owner"}); answer.code() != "FORBIDDEN" {
			t.Errorf("an administrator makes an owner: %+v", answer)
		}
	}
	if answer := p.ask(t, admin, inviteMutation, map[string]any{"email": "third@acme.test", "role": "owner"}); answer.code() != "FORBIDDEN" {
		t.Errorf("an administrator invites an owner: %+v", answer)
	}
	p.interrupt(t)
}
