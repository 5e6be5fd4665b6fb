package main_test

import (
	"net/http"
	"strings"
	"testing"
)

const refreshMutation = `mutation ($token: String!) { refreshSession(input: {refreshToken: $token}) { accessToken refreshToken expiresIn user { id email } } }`

const sessionsQuery = `{ sessions { edges { node { id current } } } }`

// tokens signs somebody in and returns both tokens.
func (p *process) tokens(t *testing.T, email string) (access, refresh string) {
	t.Helper()
	answer := p.ask(t, "", loginMutation, map[string]any{"email": email, "password": "tradesage-dev"})
	if len(answer.Errors) > 0 {
		t.Fatalf("login of %s: %+v", email, answer.Errors)
	}
	return dig(answer.Data, "login", "accessToken").(string), dig(answer.Data, "login", "refreshToken").(string)
}

func TestAPersonKeepsAndEndsSessions(t *testing.T) { everywhere(t, aPersonKeepsAndEndsSessions) }

func aPersonKeepsAndEndsSessions(t *testing.T, p *process) {
	t.Run("renewal", func(t *testing.T) {
		_, first := p.tokens(t, "trader@acme.test")
		answer := p.ask(t, "", refreshMutation, map[string]any{"token": first})
		access, second := dig(answer.Data, "refreshSession", "accessToken"), dig(answer.Data, "refreshSession", "refreshToken")
		if len(answer.Errors) > 0 || second == first || dig(answer.Data, "refreshSession", "user", "email") != "trader@acme.test" {
			t.Fatalf("%+v", answer)
		}
		if again := p.ask(t, "", refreshMutation, map[string]any{"token": first}); dig(again.Data, "refreshSession", "refreshToken") != second {
			t.Errorf("a retry got another successor: %+v", again)
		}
		if me := p.ask(t, access.(string), meQuery, nil); len(me.Errors) > 0 {
			t.Errorf("%+v", me)
		}
		for _, bad := range []string{"", "tsr_" + strings.Repeat("A", 43), access.(string)} {
			if answer := p.ask(t, "", refreshMutation, map[string]any{"token": bad}); answer.code() != "UNAUTHENTICATED" || answer.Status != http.StatusOK {
				t.Errorf("%q: %+v", bad, answer)
			}
		}
		if strings.Contains(p.text(), first) || strings.Contains(p.text(), second.(string)) {
			t.Error("a refresh token is in the log")
		}
	})
	t.Run("list and end", func(t *testing.T) {
		mine, refresh := p.tokens(t, "owner@acme.test")
		other, otherRefresh := p.tokens(t, "owner@acme.test")
		theirs, _ := p.tokens(t, "owner@globex.test")
		answer := p.ask(t, mine, sessionsQuery, nil)
		if dig(answer.Data, "sessions", "edges", 0, "node", "current") != false || dig(answer.Data, "sessions", "edges", 1, "node", "current") != true {
			t.Fatalf("%+v", answer)
		}
		id := dig(answer.Data, "sessions", "edges", 0, "node", "id")
		const revoke = `mutation ($id: ID!) { revokeSession(id: $id) { revoked pending } }`
		foreign := dig(p.ask(t, theirs, sessionsQuery, nil).Data, "sessions", "edges", 0, "node", "id")
		for _, unknown := range []any{foreign, "01900000-0000-7000-8000-000000000000"} {
			if answer := p.ask(t, mine, revoke, map[string]any{"id": unknown}); answer.code() != "NOT_FOUND" || answer.Errors[0].Message != "no such session" {
				t.Errorf("%+v", answer)
			}
		}
		if answer := p.ask(t, mine, revoke, map[string]any{"id": id}); dig(answer.Data, "revokeSession", "revoked") != true {
			t.Errorf("%+v", answer)
		}
		if answer := p.ask(t, other, meQuery, nil); answer.code() != "UNAUTHENTICATED" {
			t.Errorf("after its end: %+v", answer)
		}
		if answer := p.ask(t, "", refreshMutation, map[string]any{"token": otherRefresh}); answer.code() != "UNAUTHENTICATED" {
			t.Errorf("after its end: %+v", answer)
		}
		third, _ := p.tokens(t, "owner@acme.test")
		if answer := p.ask(t, third, `mutation { revokeOtherSessions { count pending } }`, nil); dig(answer.Data, "revokeOtherSessions", "count") != 1.0 {
			t.Errorf("%+v", answer)
		}
		if answer := p.ask(t, "", refreshMutation, map[string]any{"token": refresh}); answer.code() != "UNAUTHENTICATED" {
			t.Errorf("after its end: %+v", answer)
		}
		trader, traderID := p.signIn(t, "trader@acme.test")
		const revokeUser = `mutation ($id: ID!) { revokeUserSessions(userId: $id) { count } }`
		if answer := p.ask(t, trader, revokeUser, map[string]any{"id": traderID}); answer.code() != "FORBIDDEN" {
			t.Errorf("%+v", answer)
		}
		if answer := p.ask(t, third, revokeUser, map[string]any{"id": traderID}); len(answer.Errors) > 0 {
			t.Errorf("%+v", answer)
		}
		if answer := p.ask(t, trader, meQuery, nil); answer.code() != "UNAUTHENTICATED" {
			t.Errorf("after the end of all: %+v", answer)
		}
		for _, query := range []string{sessionsQuery, `mutation { revokeOtherSessions { count } }`} {
			if answer := p.ask(t, "", query, nil); answer.code() != "UNAUTHENTICATED" {
				t.Errorf("%s: %+v", query, answer)
			}
		}
	})
	p.interrupt(t)
}
