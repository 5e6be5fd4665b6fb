package auth

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/internal/fault"
)

const another = "a much better password"

func TestChangePassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.Tenant(t), w.Tenant(t)
	id, email := w.member(t, first, second)
	in := func(tenant string) *Tokens {
		result, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: password, Tenant: &tenant})
		if err != nil {
			t.Fatal(err)
		}
		return &result.Tokens
	}
	current, other, elsewhere := in(slugOf(t, w.env, first)), in(slugOf(t, w.env, first)), in(slugOf(t, w.env, second))
	bystander := w.login(t, first)
	ticket := w.offered(t, email).Ticket
	ctx := w.as(t, current.AccessToken)

	for name, test := range map[string]struct {
		in    ChangePasswordInput
		field string
	}{
		"wrong":   {ChangePasswordInput{CurrentPassword: "wrong", NewPassword: another}, "input.currentPassword"},
		"empty":   {ChangePasswordInput{NewPassword: another}, "input.currentPassword"},
		"short":   {ChangePasswordInput{CurrentPassword: password, NewPassword: "short"}, "input.newPassword"},
		"giant":   {ChangePasswordInput{CurrentPassword: password, NewPassword: strings.Repeat("x", MaxPassword+1)}, "input.newPassword"},
		"the old": {ChangePasswordInput{CurrentPassword: password, NewPassword: password}, "input.newPassword"},
	} {
		_, _, err := w.auth.ChangePassword(ctx, test.in)
		f, _ := fault.As(err)
		if f == nil || f.Code != fault.CodeInvalidInput || f.Field != test.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.count(t, "SELECT count(*) FROM platform.audit_events WHERE action = 'auth.change_password_failed' AND actor_id = $1", id); n != 1 {
		t.Errorf("%d audit events of a wrong password", n)
	}
	_, _, err := w.auth.ChangePassword(t.Context(), ChangePasswordInput{CurrentPassword: password, NewPassword: another})
	wantFault(t, err, fault.CodeUnauthenticated, "")
	if _, err := w.verifier.Authenticate(t.Context(), other.AccessToken); err != nil {
		t.Fatalf("after calls that failed: %v", err)
	}

	ended, pending, err := w.auth.ChangePassword(from(ctx, firefox, ""), ChangePasswordInput{CurrentPassword: password, NewPassword: another})
	if err != nil || ended != 2 || pending {
		t.Fatalf("got %d, %v, %v; want the two others ended", ended, pending, err)
	}
	for _, token := range []string{current.AccessToken, bystander.AccessToken} {
		if _, err := w.verifier.Authenticate(t.Context(), token); err != nil {
			t.Errorf("a session that goes on: %v", err)
		}
	}
	for _, tokens := range []*Tokens{other, elsewhere} {
		_, err := w.verifier.Authenticate(t.Context(), tokens.AccessToken)
		wantFault(t, err, fault.CodeUnauthenticated, "")
		renewed, err := w.refresh(tokens.RefreshToken)
		wantRefused(t, renewed, err)
	}
	if _, err := w.refresh(current.RefreshToken); err != nil {
		t.Errorf("the session that changed it: %v", err)
	}
	_, err = w.redeem(ticket, first.ID().String())
	wantFault(t, err, fault.CodeUnauthenticated, "")
	_, err = w.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
	wantFault(t, err, fault.CodeUnauthenticated, "")
	w.offeredWith(t, email, another)
	if subjects, text := w.mails(t, email); !cmp.Equal(subjects, []string{"Your TradeSage password was changed"}) || !strings.Contains(text, "Firefox on Linux") {
		t.Errorf("%q %s", subjects, text)
	}
	if n := w.count(t, "SELECT count(*) FROM platform.audit_events WHERE action = 'auth.change_password' AND target = $1 AND tenant_id = $2", id.String(), first.ID()); n != 1 {
		t.Errorf("%d audit events", n)
	}
}

func (e *env) offeredWith(t *testing.T, email, password string) {
	t.Helper()
	if result, err := e.auth.Login(t.Context(), LoginInput{Email: email, Password: password}); err != nil || result.Choices == nil {
		t.Errorf("with the new password: %+v, %v", result, err)
	}
}

// Sign-ins with the old password race with its change: none of their sessions
// is alive afterwards.
func TestChangePasswordRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, email := w.member(t, w.Tenant(t))
	current, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	ctx := w.as(t, current.AccessToken)
	var changed atomic.Int64
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			if i%6 == 0 {
				_, _, err := w.auth.ChangePassword(ctx, ChangePasswordInput{CurrentPassword: password, NewPassword: another})
				switch {
				case err == nil:
					changed.Add(1)
				case !fault.Is(err, fault.CodeConflict) && !fault.Is(err, fault.CodeInvalidInput):
					t.Error(err)
				}
				return
			}
			_, err := w.auth.Login(context.Background(), LoginInput{Email: email, Password: password})
			if err != nil && !fault.Is(err, fault.CodeUnauthenticated) && !fault.Is(err, fault.CodeRateLimited) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if changed.Load() != 1 {
		t.Errorf("%d of the changes went through", changed.Load())
	}
	if n := w.count(t, "SELECT count(*) FROM platform.sessions WHERE identity_id = $1 AND revoked_at IS NULL AND id <> $2", id, current.SessionID); n != 0 {
		t.Errorf("%d sessions of the old password are alive", n)
	}
}

func TestResetPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	home := w.Tenant(t)
	_, email := w.member(t, home)
	session, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	request := func(address string) {
		t.Helper()
		must(t, func() error {
			return w.auth.RequestPasswordReset(t.Context(), RequestPasswordResetInput{Email: address})
		})
	}
	reset := func(code string) (int, error) {
		ended, _, err := w.auth.ResetPassword(context.Background(), ResetPasswordInput{Code: code, NewPassword: another})
		return ended, err
	}
	disabledID, disabled := w.member(t, home)
	w.exec(t, "UPDATE platform.identities SET state = 'disabled' WHERE id = $1", disabledID)
	for _, address := range []string{"nobody@example.test", disabled} {
		request(address)
		if subjects, _ := w.mails(t, address); len(subjects) != 0 {
			t.Errorf("%s got %q", address, subjects)
		}
		for _, id := range w.challenges(t, address) {
			_, err := reset(w.sealer.code(purposeReset, id))
			wantFault(t, err, fault.CodeNotFound, "")
		}
	}
	request(email)
	first := w.code(t, email)
	request(email)
	second := w.code(t, email)
	for _, code := range []string{"", strings.Repeat("A", 43), strings.ToUpper(first), w.sealer.code(purposeRegister, w.challenges(t, email)[0])} {
		_, err := reset(code)
		wantFault(t, err, fault.CodeNotFound, "")
	}
	_, _, err = w.auth.ResetPassword(t.Context(), ResetPasswordInput{Code: first, NewPassword: "short"})
	wantFault(t, err, fault.CodeInvalidInput, "input.newPassword")

	// Both codes at once, many times: one password is set.
	var done atomic.Int64
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			switch ended, err := reset([]string{first, second}[i%2]); {
			case err == nil && ended == 1:
				done.Add(1)
			case !fault.Is(err, fault.CodeNotFound) && !fault.Is(err, fault.CodeConflict) && !fault.Is(err, fault.CodeRateLimited):
				t.Errorf("%d, %v", ended, err)
			}
		})
	}
	all.Wait()
	if done.Load() != 1 {
		t.Fatalf("%d resets of one account", done.Load())
	}
	for _, code := range []string{first, second} {
		_, err := reset(code)
		wantFault(t, err, fault.CodeNotFound, "")
	}
	_, err = w.verifier.Authenticate(t.Context(), session.AccessToken)
	wantFault(t, err, fault.CodeUnauthenticated, "")
	if _, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: another}); err != nil {
		t.Errorf("with the new password: %v", err)
	}
	request(email)
	late := w.code(t, email)
	w.clock.Advance(resetLife)
	_, err = reset(late)
	wantFault(t, err, fault.CodeNotFound, "")
}
