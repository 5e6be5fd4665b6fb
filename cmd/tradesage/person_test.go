package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const meQuery = `{ me { id email tenant { id name } sessions(first: 5) { edges { node { id device { name } current lastSeenAt } } } } }`

func TestAPersonSignsInAndReadsTheirOwn(t *testing.T) { everywhere(t, aPersonSignsInAndReadsTheirOwn) }

func aPersonSignsInAndReadsTheirOwn(t *testing.T, p *process) {
	token, id := p.signIn(t, "owner@acme.test")
	me := p.ask(t, token, meQuery, nil)
	if len(me.Errors) > 0 {
		t.Fatalf("%+v", me.Errors)
	}
	got := map[string]any{
		"id": dig(me.Data, "me", "id"), "email": dig(me.Data, "me", "email"), "tenant": dig(me.Data, "me", "tenant", "name"),
		"current": dig(me.Data, "me", "sessions", "edges", 0, "node", "current"),
	}
	if diff := cmp.Diff(map[string]any{"id": id, "email": "owner@acme.test", "tenant": "Acme Trading", "current": true}, got); diff != "" {
		t.Error(diff)
	}
	if name, _ := dig(me.Data, "me", "sessions", "edges", 0, "node", "device", "name").(string); name == "" {
		t.Errorf("the device has no name: %v", me.Data)
	}
	tenantID := dig(me.Data, "me", "tenant", "id").(string)

	t.Run("profile", func(t *testing.T) {
		answer := p.ask(t, token, `mutation { updateProfile(input: {displayName: "Ada", timeZone: "Europe/London"}) { user { displayName timeZone } } }`, nil)
		if dig(answer.Data, "updateProfile", "user", "displayName") != "Ada" {
			t.Errorf("%+v", answer)
		}
		answer = p.ask(t, token, `mutation { updateProfile(input: {timeZone: "Mars/Olympus"}) { user { id } } }`, nil)
		if answer.code() != "INVALID_INPUT" || answer.Errors[0].Extensions.Field != "input.timeZone" {
			t.Errorf("%+v", answer)
		}
	})
	t.Run("another tenant", func(t *testing.T) {
		other, _ := p.signIn(t, "owner@globex.test")
		answer := p.ask(t, other, meQuery, nil)
		if text := fmt.Sprint(answer); strings.Contains(text, tenantID) || strings.Contains(text, "acme") || strings.Contains(text, "Acme") {
			t.Errorf("globex sees acme: %s", text)
		}
		if answer := p.ask(t, other, `mutation { createTenant(input: {name: "X", slug: "xyz", ownerEmail: "x@x.test"}) { tenant { id } } }`, nil); answer.code() != "FORBIDDEN" {
			t.Errorf("%+v", answer)
		}
		if answer := p.ask(t, "", loginMutation, map[string]any{"email": "owner@globex.test", "password": "tradesage-dev", "tenant": "acme"}); answer.code() != "UNAUTHENTICATED" {
			t.Errorf("%+v", answer)
		}
	})
	t.Run("anonymous", func(t *testing.T) {
		for _, query := range []string{meQuery, `{ tenant { id } }`, `mutation { logout { revoked } }`} {
			if answer := p.ask(t, "", query, nil); answer.code() != "UNAUTHENTICATED" {
				t.Errorf("%s: %+v", query, answer)
			}
		}
		guesses := `mutation { a: login(input: {email: "a@b.test", password: "guess 1"}) { accessToken } ...F } fragment F on Mutation { b: changePassword(input: {currentPassword: "guess 2", newPassword: "x"}) { pending } }`
		if answer := p.ask(t, "", guesses, nil); answer.code() != "OPERATION_TOO_COMPLEX" {
			t.Errorf("%+v", answer)
		}
		if answer := p.ask(t, token+"x", meQuery, nil); answer.code() != "UNAUTHENTICATED" || answer.Status != http.StatusUnauthorized {
			t.Errorf("%+v", answer)
		}
	})
	t.Run("signed out", func(t *testing.T) {
		token, _ := p.signIn(t, "trader@acme.test")
		if answer := p.ask(t, token, meQuery, nil); len(answer.Errors) > 0 {
			t.Fatalf("%+v", answer)
		}
		if answer := p.ask(t, token, `mutation { logout { revoked } }`, nil); dig(answer.Data, "logout", "revoked") != true {
			t.Errorf("%+v", answer)
		}
		if answer := p.ask(t, token, meQuery, nil); answer.code() != "UNAUTHENTICATED" {
			t.Errorf("after logout: %+v", answer)
		}
	})
	t.Run("a new tenant", func(t *testing.T) {
		admin, _ := p.signIn(t, "admin@tradesage.test")
		answer := p.ask(t, admin, `mutation { createTenant(input: {name: "Initech", slug: "initech", ownerEmail: "bill@initech.test"}) { tenant { id slug state } } }`, nil)
		if dig(answer.Data, "createTenant", "tenant", "state") != "ACTIVE" {
			t.Fatalf("%+v", answer)
		}
		if answer := p.ask(t, admin, `mutation { createTenant(input: {name: "Again", slug: "initech", ownerEmail: "b@initech.test"}) { tenant { id } } }`, nil); answer.code() != "CONFLICT" || answer.Errors[0].Extensions.Field != "input.slug" {
			t.Errorf("%+v", answer)
		}
		deadline, tick := time.After(10*time.Second), time.NewTicker(50*time.Millisecond)
		defer tick.Stop()
		for {
			_, mails := p.get(t, p.mails)
			if strings.Contains(mails, "bill@initech.test") {
				break
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("no invitation came: %s", mails)
			}
		}
	})
	t.Run("what operators and integrators see", func(t *testing.T) {
		for path, want := range map[string]string{
			"/healthz": "live", "/health": "live", "/readyz": `"ready":true`, "/schema.graphql": "type User",
			"/.well-known/jwks.json": `"Ed25519"`, "/": "/playground", "/playground/settings.json": `"accounts":`,
		} {
			if status, text := p.get(t, p.url+path); status != http.StatusOK || !strings.Contains(text, want) {
				t.Errorf("%s: %d %s", path, status, text)
			}
		}
		if status, text := p.get(t, p.ops+"/metrics"); status != http.StatusOK || !strings.Contains(text, "tradesage_router_requests_total") {
			t.Errorf("metrics: %d %.200s", status, text)
		}
		if status, _ := p.get(t, p.url+"/metrics"); status != http.StatusNotFound {
			t.Errorf("metrics on the public listener: %d", status)
		}
	})
	p.interrupt(t)
}
