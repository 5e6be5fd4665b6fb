package main_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// mailTo waits for the newest mail to an address whose subject has these words,
// and returns its text.
func (p *process) mailTo(t *testing.T, address, words string) string {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		_, text := p.get(t, p.mails)
		var box struct {
			Messages []struct{ To, Subject, Text string }
		}
		if err := json.Unmarshal([]byte(text), &box); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for _, m := range box.Messages {
			if m.To == address && strings.Contains(m.Subject, words) {
				return m.Text
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no mail about %q came to %s: %s", words, address, text)
		}
	}
}

// codeIn is what stands behind the # of the mail's link.
func codeIn(t *testing.T, text string) string {
	t.Helper()
	_, code, ok := strings.Cut(text, "#")
	if !ok {
		t.Fatalf("no code in %s", text)
	}
	code, _, _ = strings.Cut(code, "\n")
	return code
}

func TestAPersonRegistersAndForgets(t *testing.T) { everywhere(t, aPersonRegistersAndForgets) }

func aPersonRegistersAndForgets(t *testing.T, p *process) {
	const (
		register = `mutation ($email: String!, $name: String) {
			register(input: {email: $email, password: "twelve letters", tenantName: $name}) { verificationSent } }`
		verify = `mutation ($code: String!) { verifyEmail(input: {code: $code}) { verified tenant { id slug name } } }`
	)
	for _, email := range []string{"grace@navy.test", "owner@acme.test"} {
		answer := p.ask(t, "", register, map[string]any{"email": email, "name": "Acme"})
		if len(answer.Errors) > 0 || dig(answer.Data, "register", "verificationSent") != true {
			t.Fatalf("%s: %+v", email, answer)
		}
	}
	if text := p.mailTo(t, "owner@acme.test", "already"); strings.Contains(text, "#") {
		t.Errorf("somebody who is known got a code: %s", text)
	}
	code := codeIn(t, p.mailTo(t, "grace@navy.test", "Confirm"))
	if answer := p.ask(t, "", verify, map[string]any{"code": strings.ToUpper(code)}); answer.code() != "NOT_FOUND" {
		t.Errorf("%+v", answer)
	}
	answer := p.ask(t, "", verify, map[string]any{"code": code})
	if len(answer.Errors) > 0 || dig(answer.Data, "verifyEmail", "tenant", "slug") != "acme-2" {
		t.Fatalf("%+v", answer)
	}
	login := func(password string) gqlResponse {
		return p.ask(t, "", loginMutation, map[string]any{"email": "grace@navy.test", "password": password})
	}
	access, _ := dig(login("twelve letters").Data, "login", "accessToken").(string)
	if me := p.ask(t, access, meQuery, nil); dig(me.Data, "me", "tenant", "name") != "Acme" || dig(me.Data, "me", "email") != "grace@navy.test" {
		t.Fatalf("%+v", me)
	}

	const change = `mutation { changePassword(input: {currentPassword: "twelve letters", newPassword: "thirteen letters"}) { sessionsEnded } }`
	other, _ := dig(login("twelve letters").Data, "login", "accessToken").(string)
	if answer := p.ask(t, access, change, nil); dig(answer.Data, "changePassword", "sessionsEnded") != 1.0 {
		t.Errorf("%+v", answer)
	}
	if answer := p.ask(t, access, change, nil); answer.code() != "INVALID_INPUT" || answer.Errors[0].Extensions.Field != "input.currentPassword" {
		t.Errorf("%+v", answer)
	}
	if answer := p.ask(t, other, meQuery, nil); answer.code() != "UNAUTHENTICATED" {
		t.Errorf("the other session: %+v", answer)
	}
	p.mailTo(t, "grace@navy.test", "changed")

	const request = `mutation ($email: String!) { requestPasswordReset(input: {email: $email}) { resetSent } }`
	for _, email := range []string{"grace@navy.test", "nobody@navy.test"} {
		if answer := p.ask(t, "", request, map[string]any{"email": email}); dig(answer.Data, "requestPasswordReset", "resetSent") != true {
			t.Errorf("%+v", answer)
		}
	}
	const reset = `mutation ($code: String!) { resetPassword(input: {code: $code, newPassword: "fourteen letters"}) { sessionsEnded } }`
	code = codeIn(t, p.mailTo(t, "grace@navy.test", "Reset"))
	if answer := p.ask(t, "", reset, map[string]any{"code": code}); dig(answer.Data, "resetPassword", "sessionsEnded") != 1.0 {
		t.Errorf("%+v", answer)
	}
	if answer := p.ask(t, "", reset, map[string]any{"code": code}); answer.code() != "NOT_FOUND" {
		t.Errorf("a code twice: %+v", answer)
	}
	if answer := login("thirteen letters"); answer.code() != "UNAUTHENTICATED" {
		t.Errorf("%+v", answer)
	}
	if answer := login("fourteen letters"); len(answer.Errors) > 0 {
		t.Errorf("%+v", answer)
	}
	for _, secret := range []string{code, "twelve letters", "thirteen letters", "fourteen letters"} {
		if strings.Contains(p.text(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	p.interrupt(t)
}
