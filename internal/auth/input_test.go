package auth

import (
	"strings"
	"testing"

	"github.com/tradesage/tradesage/internal/fault"
)

func TestLoginInput(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	bad := "Not A Slug"
	for name, test := range map[string]struct {
		in    LoginInput
		field string
	}{
		"no e-mail":           {LoginInput{Password: "x"}, "input.email"},
		"no at":               {LoginInput{Email: "nobody", Password: "x"}, "input.email"},
		"two ats":             {LoginInput{Email: "a@b@example.test", Password: "x"}, "input.email"},
		"NUL in the e-mail":   {LoginInput{Email: "a\x00@example.test", Password: "x"}, "input.email"},
		"invalid UTF-8":       {LoginInput{Email: "a\xff@example.test", Password: "x"}, "input.email"},
		"look-alike letters":  {LoginInput{Email: "аdmin@example.test", Password: "x"}, "input.email"},
		"space inside":        {LoginInput{Email: "a b@example.test", Password: "x"}, "input.email"},
		"line break":          {LoginInput{Email: "a@example.test\r\nBcc: x@y.test", Password: "x"}, "input.email"},
		"e-mail too long":     {LoginInput{Email: strings.Repeat("a", 300) + "@example.test", Password: "x"}, "input.email"},
		"e-mail of megabytes": {LoginInput{Email: strings.Repeat("a", 1<<20), Password: "x"}, "input.email"},
		"no password":         {LoginInput{Email: "a@example.test"}, "input.password"},
		"password too long":   {LoginInput{Email: "a@example.test", Password: strings.Repeat("x", 513)}, "input.password"},
		"tenant is no slug":   {LoginInput{Email: "a@example.test", Password: "x", Tenant: &bad}, "input.tenant"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := e.auth.Login(t.Context(), test.in)
			wantFault(t, err, fault.CodeInvalidInput, test.field)
		})
	}
}

func TestLoginFromHostileClients(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant := e.Tenant(t)
	_, email := e.member(t, tenant)
	for name, test := range map[string]struct{ agent, ip, wantAgent, wantIP string }{
		"nothing":         {"", "", "", ""},
		"NUL":             {"Mozilla\x00/5.0", "127.0.0.1\x00", "Mozilla/5.0", ""},
		"invalid UTF-8":   {"curl\xff\xfe/8.1", "\xff", "curl/8.1", ""},
		"control":         {"a\r\nb\x1b[31m", "::1", "ab[31m", "::1"},
		"giant":           {strings.Repeat("ж", 1<<20), strings.Repeat("1", 1<<20), strings.Repeat("ж", 512), ""},
		"cut in a letter": {strings.Repeat("a", 2047) + "ж", "::ffff:192.0.2.1", strings.Repeat("a", 512), "192.0.2.1"},
		"zone":            {"curl/8.1", "fe80::1%eth0", "curl/8.1", "fe80::1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := e.auth.Login(from(t.Context(), test.agent, test.ip), LoginInput{Email: email, Password: password})
			if err != nil {
				t.Fatal(err)
			}
			var agent, ip string
			must(t, func() error {
				return e.Connect(t, "postgres").QueryRow(t.Context(), "SELECT user_agent, ip FROM platform.sessions WHERE id = $1", result.SessionID).Scan(&agent, &ip)
			})
			if agent != test.wantAgent || ip != test.wantIP {
				t.Fatalf("got %.80q %q, want %.80q %q", agent, ip, test.wantAgent, test.wantIP)
			}
			if n := e.count(t, "SELECT count(*) FROM "+schemaOf(t, e, tenant)+".audit_events WHERE target = $1", result.SessionID.String()); n != 1 {
				t.Fatal("the tenant's part did not run")
			}
		})
	}
}
