package auth

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
)

func (e *env) refresh(token string) (*Tokens, error) {
	return e.auth.RefreshSession(from(context.Background(), firefox, "192.0.2.9"), RefreshSessionInput{RefreshToken: token})
}

// wantRefused wants the one answer to every refresh token that is not good.
func wantRefused(t *testing.T, tokens *Tokens, err error) {
	t.Helper()
	f, ok := fault.As(err)
	if tokens != nil || !ok || f.Code != fault.CodeUnauthenticated || f.Message != errRefresh.Message {
		t.Fatalf("got %+v, %v; want the uniform UNAUTHENTICATED", tokens, err)
	}
}

func TestRefreshSession(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant := e.Tenant(t)
	first := e.login(t, tenant)
	e.advance(t, 4*time.Minute)
	e.exec(t, "UPDATE platform.memberships SET epoch = 7 WHERE identity_id = $1", first.UserID)
	second, err := e.refresh(first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken ||
		second.SessionID != first.SessionID || second.UserID != first.UserID || second.TenantID != tenant.ID() ||
		second.Email != first.Email || second.ExpiresIn != DefaultTokenLifetime {
		t.Fatalf("got %+v", second)
	}
	caller, err := e.verifier.Authenticate(t.Context(), second.AccessToken)
	if err != nil || caller.Epoch != 7 || caller.Session != first.SessionID || caller.AuthTime.Unix() != e.clock.Now().Add(-4*time.Minute).Unix() {
		t.Fatalf("got %+v, %v; want the current epoch and the time of the sign-in", caller, err)
	}
	e.clock.Advance(time.Hour)
	third, err := e.refresh(second.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if n := e.count(t, "SELECT count(*) FROM platform.refresh_tokens WHERE session_id = $1", first.SessionID); n != 3 {
		t.Errorf("%d tokens of the family, want 3", n)
	}
	if n := e.count(t, "SELECT count(*) FROM platform.refresh_tokens WHERE hash = sha256($1) AND generation = 2 AND used_at IS NULL",
		[]byte(third.RefreshToken)); n != 1 {
		t.Error("the newest token is not there by its hash")
	}
	if n := e.count(t, "SELECT count(*) FROM platform.audit_events WHERE action = 'auth.refresh_session' AND session_id = $1 AND actor_id = $2",
		first.SessionID, first.UserID); n != 2 {
		t.Errorf("%d audit events, want 2", n)
	}
	for _, token := range []string{first.RefreshToken, second.RefreshToken, third.RefreshToken} {
		if n := e.count(t, `SELECT (SELECT count(*) FROM platform.audit_events WHERE details::text LIKE '%' || $1 || '%')
			+ (SELECT count(*) FROM platform.outbox WHERE body::text LIKE '%' || $1 || '%')`, token[4:]); n != 0 {
			t.Error("a refresh token is written down")
		}
	}
}

func TestRefreshSessionAnswersARetryAlike(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first := e.login(t, e.Tenant(t))
	// Twenty tabs at once, and one whose answer was lost.
	answers := make([]*Tokens, 20)
	var tabs sync.WaitGroup
	for i := range answers {
		tabs.Go(func() {
			var err error
			if answers[i], err = e.refresh(first.RefreshToken); err != nil {
				t.Error(err)
			}
		})
	}
	tabs.Wait()
	e.advance(t, refreshGrace)
	late, err := e.refresh(first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	for _, answer := range append(answers, late) {
		if answer == nil || answer.RefreshToken != late.RefreshToken {
			t.Fatalf("a second branch: %+v and %+v", answer, late)
		}
		if _, err := e.verifier.Authenticate(t.Context(), answer.AccessToken); err != nil {
			t.Error(err)
		}
	}
	if n := e.count(t, "SELECT count(*) FROM platform.refresh_tokens WHERE session_id = $1", first.SessionID); n != 2 {
		t.Errorf("%d tokens of the family, want 2", n)
	}
	if n := e.count(t, "SELECT count(*) FROM platform.audit_events WHERE action = 'auth.refresh_session' AND session_id = $1", first.SessionID); n != 1 {
		t.Errorf("%d audit events of one exchange", n)
	}
}

// A thief used the token first, or its owner did: the second one ends both.
func TestStolenRefreshTokenEndsTheSession(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant := e.Tenant(t)
	_, email := e.member(t, tenant)
	var sessions [2]*LoginResult
	for i := range sessions {
		must(t, func() (err error) {
			sessions[i], err = e.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
			return
		})
	}
	stolen := sessions[0]
	thiefs, err := e.refresh(stolen.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	newest, err := e.refresh(thiefs.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(refreshGrace + time.Second)
	tokens, err := e.refresh(stolen.RefreshToken)
	wantRefused(t, tokens, err)

	for _, token := range []string{stolen.RefreshToken, thiefs.RefreshToken, newest.RefreshToken} {
		tokens, err := e.refresh(token)
		wantRefused(t, tokens, err)
	}
	for _, token := range []string{stolen.AccessToken, thiefs.AccessToken, newest.AccessToken} {
		_, err := e.verifier.Authenticate(t.Context(), token)
		wantFault(t, err, fault.CodeUnauthenticated, "")
	}
	if n := e.count(t, `SELECT count(*) FROM platform.audit_events a JOIN platform.sessions s ON s.id = a.session_id
		WHERE a.action = 'auth.refresh_token_reuse' AND a.tenant_id = $1 AND a.actor_id IS NULL AND a.details->>'ip' = '192.0.2.9'
		AND s.id = $2 AND s.revoke_reason = 'refresh_token_reuse'`, tenant.ID(), stolen.SessionID); n != 1 {
		t.Errorf("%d audit events of one theft", n)
	}
	if _, err := e.refresh(sessions[1].RefreshToken); err != nil {
		t.Errorf("the other session: %v", err)
	}
	// Another process knows.
	fresh := newEnvOn(t, e.Env)
	_, err = fresh.verifier.Authenticate(t.Context(), newest.AccessToken)
	wantFault(t, err, fault.CodeUnauthenticated, "")
}

// Many thieves at once end the session once.
func TestReuseRace(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first := e.login(t, e.Tenant(t))
	if _, err := e.refresh(first.RefreshToken); err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(time.Hour)
	var thieves sync.WaitGroup
	for range 16 {
		thieves.Go(func() {
			if _, err := e.refresh(first.RefreshToken); !fault.Is(err, fault.CodeUnauthenticated) {
				t.Errorf("got %v", err)
			}
		})
	}
	thieves.Wait()
	if n := e.count(t, "SELECT count(*) FROM platform.audit_events WHERE action = 'auth.refresh_token_reuse' AND session_id = $1", first.SessionID); n != 1 {
		t.Errorf("%d audit events", n)
	}
	if n := e.count(t, "SELECT count(*) FROM platform.revocations WHERE subject = $1", first.SessionID); n != 1 {
		t.Errorf("%d revocations", n)
	}
}

func TestRefreshSessionRefuses(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for name, change := range map[string]string{
		"identity":   "UPDATE platform.identities SET state = 'disabled' WHERE id = $1",
		"membership": "UPDATE platform.memberships SET state = 'disabled' WHERE identity_id = $1",
		"no member":  "DELETE FROM platform.memberships WHERE identity_id = $1",
		"revoked":    "UPDATE platform.sessions SET revoked_at = now() WHERE identity_id = $1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := e.login(t, e.Tenant(t))
			e.exec(t, change, result.UserID)
			tokens, err := e.refresh(result.RefreshToken)
			wantRefused(t, tokens, err)
			if n := e.count(t, "SELECT count(*) FROM platform.refresh_tokens WHERE session_id = $1", result.SessionID); n != 1 {
				t.Error("the family grew")
			}
		})
	}
	for state, code := range map[string]fault.Code{"suspended": fault.CodeTenantSuspended, "provisioning": fault.CodeTenantNotReady} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			tenant := e.Tenant(t)
			result := e.login(t, tenant)
			e.exec(t, "UPDATE platform.tenants SET state = $2 WHERE id = $1", tenant.ID(), state)
			_, err := e.refresh(result.RefreshToken)
			wantFault(t, err, code, "")
			e.exec(t, "UPDATE platform.tenants SET state = 'active' WHERE id = $1", tenant.ID())
			if _, err := e.refresh(result.RefreshToken); err != nil {
				t.Errorf("after its return: %v", err)
			}
		})
	}
	good := e.login(t, e.Tenant(t))
	for name, token := range map[string]string{
		"empty": "", "access token": good.AccessToken, "giant": strings.Repeat("x", 1<<20), "unknown": "tsr_" + strings.Repeat("A", 43),
		"other prefix": "tst_" + good.RefreshToken[4:], "other case": strings.ToUpper(good.RefreshToken), "NUL": good.RefreshToken[:46] + "\x00",
		"the hash": "tsr_" + string(hashToken(good.RefreshToken)), "id": good.SessionID.String(), "space": good.RefreshToken + " ",
	} {
		t.Run(name, func(t *testing.T) {
			tokens, err := e.refresh(token)
			wantRefused(t, tokens, err)
		})
	}
	// Made with another master key, by who knows an old token.
	stranger, err := NewSealer([]byte(strings.Repeat("x", MasterKeySize)))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := e.refresh(stranger.successor(good.RefreshToken))
	wantRefused(t, tokens, err)
}

func TestSessionEndsWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	result := e.login(t, e.Tenant(t))
	e.clock.Advance(defaultSessionLifetime - time.Minute)
	last, err := e.refresh(result.RefreshToken)
	if err != nil || last.ExpiresIn != time.Minute {
		t.Fatalf("got %+v, %v; want an access token that ends with the session", last, err)
	}
	e.clock.Advance(time.Minute)
	tokens, err := e.refresh(last.RefreshToken)
	wantRefused(t, tokens, err)
}

func TestHousekeepingKeepsWhatTellsOfATheft(t *testing.T) {
	t.Parallel()
	e := newEnvOn(t, dbtest.NewDatabase(t)) // deletes the rows of others, whose clocks go otherwise
	first := e.login(t, e.Tenant(t))
	second, err := e.refresh(first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	left := func() int {
		return e.count(t, "SELECT count(*) FROM platform.refresh_tokens WHERE session_id = $1", first.SessionID)
	}
	e.clock.Advance(keepUsed - time.Minute)
	if err := e.auth.Housekeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 2 {
		t.Fatalf("%d tokens left, want 2", n)
	}
	e.clock.Advance(2 * time.Minute)
	if err := e.auth.Housekeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 1 {
		t.Fatalf("%d tokens left, want the one in use", n)
	}
	if _, err := e.refresh(second.RefreshToken); err != nil {
		t.Error(err)
	}
	e.clock.Advance(defaultSessionLifetime)
	if err := e.auth.Housekeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 0 {
		t.Errorf("%d tokens left of a session that has ended", n)
	}
}

// A renewal waits for the end of the session that is under way, and is refused.
func TestRenewalWaitsForTheEndOfTheSession(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	result := e.login(t, e.Tenant(t))
	ctx := context.Background()
	ending := e.Connect(t, "postgres")
	for _, sql := range []string{"BEGIN", "UPDATE platform.sessions SET revoked_at = now() WHERE id = '" + result.SessionID.String() + "'"} {
		must(t, func() error { _, err := ending.Exec(ctx, sql); return err })
	}
	done := make(chan error, 1)
	go func() { _, err := e.refresh(result.RefreshToken); done <- err }()
	e.awaitLock(t)
	must(t, func() error { _, err := ending.Exec(ctx, "COMMIT"); return err })
	wantFault(t, <-done, fault.CodeUnauthenticated, "")
}

// awaitLock returns once somebody waits for a lock in this test's database.
func (e *env) awaitLock(t *testing.T) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for e.count(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nobody waits")
		}
	}
}
