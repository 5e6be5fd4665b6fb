package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/tradesage/tradesage/internal/fault"
)

// A confirmed password makes the session's sign-in recent, in the token at hand and
// in those that renewals bring; other sessions stay as old as they are.
func TestConfirmPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.Tenant(t)
	id, email := w.member(t, in)
	slug := slugOf(t, w.env, in)
	signIn := func() *Tokens {
		t.Helper()
		result, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: password, Tenant: &slug})
		if err != nil {
			t.Fatal(err)
		}
		return &result.Tokens
	}
	current, other := signIn(), signIn()
	ctx := w.as(t, current.AccessToken)
	w.count(t, "WITH old AS (UPDATE platform.sessions SET auth_time = auth_time - interval '1 hour' WHERE identity_id = $1 RETURNING 1) SELECT count(*) FROM old", id)
	age := func(token string) time.Duration {
		t.Helper()
		caller, err := w.verifier.Authenticate(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return w.auth.clock().Sub(caller.AuthTime).Round(time.Minute)
	}
	renewed, err := w.refresh(other.RefreshToken)
	if err != nil || age(renewed.AccessToken) != time.Hour {
		t.Fatalf("a renewed token of an old sign-in: %v", err)
	}

	for name, bad := range map[string]string{"wrong": "not " + password, "empty": "", "giant": strings.Repeat("x", MaxPassword+1)} {
		_, err := w.auth.ConfirmPassword(ctx, ConfirmPasswordInput{Password: bad})
		if f, _ := fault.As(err); f == nil || f.Code != fault.CodeInvalidInput || f.Field != "input.password" {
			t.Errorf("%s: %v", name, err)
		}
	}
	events := func(action string) int {
		t.Helper()
		return w.count(t, "SELECT count(*) FROM platform.audit_events WHERE action = '"+action+"' AND actor_id = $1", id)
	}
	if n := events("auth.confirm_password_failed"); n != 1 {
		t.Errorf("%d audit events of a wrong password", n)
	}
	_, err = w.auth.ConfirmPassword(t.Context(), ConfirmPasswordInput{Password: password})
	wantFault(t, err, fault.CodeUnauthenticated, "")

	confirmed, err := w.auth.ConfirmPassword(from(ctx, firefox, ""), ConfirmPasswordInput{Password: password})
	if err != nil || confirmed.ExpiresIn <= 0 {
		t.Fatalf("%+v, %v", confirmed, err)
	}
	if age(confirmed.AccessToken) != 0 {
		t.Errorf("the new token's sign-in is %s old", age(confirmed.AccessToken))
	}
	if renewed, err = w.refresh(current.RefreshToken); err != nil || age(renewed.AccessToken) != 0 {
		t.Errorf("renewed after it: %v", err)
	}
	if renewed, err = w.refresh(other.RefreshToken); err != nil || age(renewed.AccessToken) != time.Hour {
		t.Errorf("another session: %v", err)
	}
	if n := events("auth.confirm_password"); n != 1 {
		t.Errorf("%d audit events", n)
	}
	if _, err := w.auth.Logout(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = w.auth.ConfirmPassword(ctx, ConfirmPasswordInput{Password: password})
	wantFault(t, err, fault.CodeUnauthenticated, "")
}
