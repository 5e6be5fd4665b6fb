package auth

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

func TestLogin(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant := e.Tenant(t)
	id, email := e.member(t, tenant)
	ctx := telemetry.WithRequestID(t.Context(), "request-1")
	result, err := e.auth.Login(from(ctx, firefox, "192.0.2.7"), LoginInput{
		Email: "  " + strings.ToUpper(email) + " ", Password: password,
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.UserID != id || result.TenantID != tenant.ID() || result.Email != email || result.ExpiresIn != DefaultTokenLifetime {
		t.Fatalf("got %+v", result)
	}
	if !strings.HasPrefix(result.RefreshToken, "tsr_") || len(result.RefreshToken) != 47 {
		t.Fatalf("refresh token %q", result.RefreshToken)
	}

	conn := e.Connect(t, "postgres")
	var agent, ip string
	var amr []string
	var device uuid.UUID
	must(t, func() error {
		return conn.QueryRow(ctx, "SELECT user_agent, ip, amr, device_id FROM platform.sessions WHERE id = $1 AND identity_id = $2 AND tenant_id = $3",
			result.SessionID, id, tenant.ID()).Scan(&agent, &ip, &amr, &device)
	})
	if agent != firefox || ip != "192.0.2.7" || !cmp.Equal(amr, []string{"pwd"}) {
		t.Fatalf("session row: %q %q %v", agent, ip, amr)
	}
	if n := e.count(t, "SELECT count(*) FROM platform.refresh_tokens WHERE session_id = $1 AND hash = sha256($2) AND generation = 0",
		result.SessionID, []byte(result.RefreshToken)); n != 1 {
		t.Fatal("the refresh token's hash is not there")
	}
	if n := e.count(t, `SELECT count(*) FROM platform.audit_events WHERE action = 'auth.login' AND target = $1
		AND actor_id = $2 AND session_id = $3 AND tenant_id = $4 AND request_id = 'request-1'`,
		result.SessionID.String(), id, result.SessionID, tenant.ID()); n != 1 {
		t.Fatalf("%d audit events of the platform", n)
	}

	// The tenant's part has run, and running it again changes nothing.
	var body json.RawMessage
	must(t, func() error {
		return conn.QueryRow(ctx, "SELECT body FROM platform.outbox WHERE tenant_id = $1 AND kind = $2", tenant.ID(), KindSessionStarted).Scan(&body)
	})
	if strings.Contains(string(body), result.RefreshToken) || strings.Contains(string(body), password) {
		t.Fatal("the outbox holds a secret")
	}
	schema := schemaOf(t, e, tenant)
	for range 2 {
		var name, kind string
		must(t, func() error {
			return conn.QueryRow(ctx, "SELECT name, kind FROM "+schema+".devices WHERE id = $1 AND user_id = $2", device, id).Scan(&name, &kind)
		})
		if name != "Firefox on Linux" || kind != "desktop" {
			t.Fatalf("device %q %q", name, kind)
		}
		if n := e.count(t, "SELECT count(*) FROM "+schema+".audit_events WHERE action = 'auth.login'"); n != 1 {
			t.Fatalf("%d audit events of the tenant", n)
		}
		must(t, func() error { return e.auth.HandleSessionStarted(ctx, tenant, body) })
	}

	// The same device on another day is the same device.
	e.clock.Advance(24 * time.Hour)
	if _, err := e.auth.Login(from(ctx, strings.ReplaceAll(firefox, "140", "141"), ""), LoginInput{Email: email, Password: password}); err != nil {
		t.Fatal(err)
	}
	if n := e.count(t, "SELECT count(*) FROM "+schema+".devices WHERE last_seen_at = $1", e.clock.Now()); n != 1 {
		t.Fatalf("%d devices seen today", n)
	}
}

func schemaOf(t *testing.T, e *env, tenant db.Tenant) (schema string) {
	t.Helper()
	must(t, func() error {
		return e.Connect(t, "postgres").QueryRow(context.Background(), "SELECT schema_name FROM platform.tenants WHERE id = $1", tenant.ID()).Scan(&schema)
	})
	return schema
}

func TestLoginAnswersAlike(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant, other := e.Tenant(t), e.Tenant(t)
	id, email := e.member(t, tenant)
	disabledID, disabled := e.member(t, tenant)
	e.exec(t, "UPDATE platform.identities SET state = 'disabled' WHERE id = $1", disabledID)
	invited := "invited" + uuid.NewString()[:8] + "@example.test"
	e.exec(t, "INSERT INTO platform.identities (id, email) VALUES (gen_random_uuid(), $1)", invited)
	foreignSlug, noSlug := slugOf(t, e, other), "no-such-tenant"

	for name, test := range map[string]struct {
		in     LoginInput
		reason string
		target string
	}{
		"unknown account":       {LoginInput{Email: "nobody@example.test", Password: password}, "unknown_account", "email:" + e.sealer.pseudonym("nobody@example.test")},
		"wrong password":        {LoginInput{Email: email, Password: password + "!"}, "wrong_password", id.String()},
		"password with NUL":     {LoginInput{Email: email, Password: password + "\x00"}, "wrong_password", id.String()},
		"disabled account":      {LoginInput{Email: disabled, Password: password}, "account_disabled", disabledID.String()},
		"no password yet":       {LoginInput{Email: invited, Password: password}, "wrong_password", ""},
		"tenant of others":      {LoginInput{Email: email, Password: password, Tenant: &foreignSlug}, "not_a_member", id.String()},
		"tenant of nobody":      {LoginInput{Email: email, Password: password, Tenant: &noSlug}, "not_a_member", id.String()},
		"wrong with any tenant": {LoginInput{Email: email, Password: "x", Tenant: &foreignSlug}, "wrong_password", id.String()},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := telemetry.WithRequestID(t.Context(), uuid.NewString())
			result, err := e.auth.Login(ctx, test.in)
			f, ok := fault.As(err)
			if result != nil || !ok || f.Code != fault.CodeUnauthenticated || f.Message != "e-mail or password is wrong" {
				t.Fatalf("got %+v, %v", result, err)
			}
			var details, target string
			must(t, func() error {
				return e.Connect(t, "postgres").QueryRow(ctx, `SELECT details::text, target FROM platform.audit_events
					WHERE action = 'auth.login_failed' AND request_id = $1 AND actor_id IS NULL AND tenant_id IS NULL`,
					telemetry.RequestID(ctx)).Scan(&details, &target)
			})
			if !strings.Contains(details, test.reason) || test.target != "" && target != test.target {
				t.Fatalf("audit event: %s of %s", details, target)
			}
			if strings.Contains(details, test.in.Password) || strings.Contains(details+target, "@") {
				t.Fatalf("the audit event tells too much: %s of %s", details, target)
			}
		})
	}
}

func slugOf(t *testing.T, e *env, tenant db.Tenant) string {
	t.Helper()
	row, err := e.auth.store.Platform().GetTenant(t.Context(), tenant.ID())
	if err != nil {
		t.Fatal(err)
	}
	return *row.Slug
}

func TestLoginWithSeveralTenants(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first, second, suspended, foreign := e.Tenant(t), e.Tenant(t), e.Tenant(t), e.Tenant(t)
	_, email := e.member(t, first, second, suspended)
	e.exec(t, "UPDATE platform.tenants SET state = 'suspended' WHERE id = $1", suspended.ID())

	offered, err := e.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
	if err != nil || offered.AccessToken != "" || offered.RefreshToken != "" || offered.Choices == nil {
		t.Fatalf("got %+v, %v", offered, err)
	}
	for tenant, listed := range map[db.Tenant]bool{first: true, second: true, suspended: false, foreign: false} {
		if slices.ContainsFunc(offered.Choices.Tenants, func(c *TenantChoice) bool {
			return c.ID == tenant.ID() && c.Slug == slugOf(t, e, tenant) && c.Name != ""
		}) != listed {
			t.Errorf("%+v; want %s listed: %v", offered.Choices.Tenants, slugOf(t, e, tenant), listed)
		}
	}
	slug := slugOf(t, e, second)
	result, err := e.auth.Login(t.Context(), LoginInput{Email: email, Password: password, Tenant: &slug})
	if err != nil || result.TenantID != second.ID() {
		t.Fatalf("with a slug: %+v, %v", result, err)
	}
	slug = slugOf(t, e, suspended)
	_, err = e.auth.Login(t.Context(), LoginInput{Email: email, Password: password, Tenant: &slug})
	wantFault(t, err, fault.CodeTenantSuspended, "")

	_, alone := e.member(t)
	_, err = e.auth.Login(t.Context(), LoginInput{Email: alone, Password: password})
	wantFault(t, err, fault.CodeForbidden, "")
}

// The password, the account, the membership or the tenant changed after it was
// checked and before the session began.
func TestNoSessionStartsOnWhatWasTrueAMomentAgo(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for name, change := range map[string]string{
		"password":   "UPDATE platform.password_credentials SET hash = '$argon2id$other' WHERE identity_id = $1",
		"account":    "UPDATE platform.identities SET state = 'disabled' WHERE id = $1",
		"membership": "UPDATE platform.memberships SET state = 'disabled' WHERE identity_id = $1",
		"tenant":     "UPDATE platform.tenants SET state = 'suspended' WHERE id = (SELECT tenant_id FROM platform.memberships WHERE identity_id = $1)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, email := e.member(t, e.Tenant(t))
			found, err := e.auth.store.Platform().GetLogin(t.Context(), email)
			if err != nil {
				t.Fatal(err)
			}
			choices, err := e.auth.store.Platform().ListLoginTenants(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			e.exec(t, change, id)
			_, err = e.auth.signIn(t.Context(), attempt{
				email: email, identity: id, credential: hashToken(*found.Hash), methods: []string{"pwd"},
				authTime: e.clock.Now(), ends: e.clock.Now().Add(time.Hour),
			}, choices[0], nil)
			wantFault(t, err, fault.CodeUnauthenticated, "")
			if n := e.count(t, "SELECT count(*) FROM platform.sessions WHERE identity_id = $1", id); n != 0 {
				t.Fatal("a session began")
			}
			if n := e.count(t, "SELECT count(*) FROM platform.audit_events WHERE actor_id = $1 AND action = 'auth.login'", id); n != 0 {
				t.Fatal("there is an event without its cause")
			}
		})
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant := e.Tenant(t)
	_, email := e.member(t, tenant)
	var tokens [2]*LoginResult
	for i := range tokens {
		must(t, func() (err error) {
			tokens[i], err = e.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
			return
		})
	}
	caller, err := e.verifier.Authenticate(t.Context(), tokens[0].AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	ctx := identity.NewContext(t.Context(), caller)
	if _, err := e.auth.Logout(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = e.verifier.Authenticate(t.Context(), tokens[0].AccessToken)
	wantFault(t, err, fault.CodeUnauthenticated, "")
	if _, err := e.verifier.Authenticate(t.Context(), tokens[1].AccessToken); err != nil {
		t.Fatalf("the other session: %v", err)
	}
	if _, err := e.auth.Logout(ctx); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	if n := e.count(t, `SELECT count(*) FROM platform.sessions s JOIN platform.audit_events a ON a.session_id = s.id AND a.action = 'auth.logout'
		WHERE s.id = $1 AND s.revoked_at = $2 AND s.revoke_reason = 'logout'`, caller.Session, e.clock.Now()); n != 1 {
		t.Fatalf("%d rows of an ended session with its event", n)
	}
	_, err = e.auth.Logout(t.Context())
	wantFault(t, err, fault.CodeUnauthenticated, "")

	// A process that starts now knows it too.
	fresh := newEnvOn(t, e.Env)
	_, err = fresh.verifier.Authenticate(t.Context(), tokens[0].AccessToken)
	wantFault(t, err, fault.CodeUnauthenticated, "")
}

func TestEnsureIdentity(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant := e.Tenant(t)
	id, email := e.member(t, tenant)
	again, err := e.auth.EnsureIdentity(t.Context(), NewIdentity{Email: email, Password: "another password"})
	if err != nil || again != id {
		t.Fatalf("got %s, %v; want %s", again, err, id)
	}
	if _, err := e.auth.Login(t.Context(), LoginInput{Email: email, Password: password}); err != nil {
		t.Fatalf("the first password: %v", err)
	}
	_, err = e.auth.EnsureIdentity(t.Context(), NewIdentity{Email: email, Password: "short"})
	wantFault(t, err, fault.CodeInvalidInput, "password")
	_, err = e.auth.EnsureIdentity(t.Context(), NewIdentity{Email: "nobody", Password: password})
	wantFault(t, err, fault.CodeInvalidInput, "email")

	email = "p" + uuid.NewString()[:8] + "@example.test"
	ids := make([]uuid.UUID, 8)
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() {
			id, err := e.auth.EnsureIdentity(context.Background(), NewIdentity{Email: email, Password: "tradesage-dev"})
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	group.Wait()
	for _, got := range ids {
		if got == uuid.Nil || got != ids[0] {
			t.Fatalf("at once: %v", ids)
		}
	}
	if n := e.count(t, "SELECT count(*) FROM platform.audit_events WHERE action = 'identity.create' AND target = $1", ids[0].String()); n != 1 {
		t.Fatalf("%d audit events of one identity", n)
	}
}

// Known and unknown addresses queue for the same hash.
func TestLoginStorm(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	_, email := e.member(t, e.Tenant(t))
	full, err := NewPasswords(PasswordOptions{Slots: 1, Queue: 1, Params: &cheap})
	if err != nil {
		t.Fatal(err)
	}
	full.slots <- struct{}{}
	full.queued.Store(1)
	open := e.auth.passwords
	e.auth.passwords = full
	for _, address := range []string{email, "nobody@example.test"} {
		_, err := e.auth.Login(t.Context(), LoginInput{Email: address, Password: password})
		wantFault(t, err, fault.CodeRateLimited, "")
	}
	e.auth.passwords = open

	var in, limited atomic.Int64
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() {
			result, err := e.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
			switch {
			case err == nil && result.AccessToken != "":
				in.Add(1)
			case fault.Is(err, fault.CodeRateLimited):
				limited.Add(1)
			default:
				t.Errorf("got %v", err)
			}
		})
	}
	group.Wait()
	if in.Load()+limited.Load() != 200 || in.Load() < int64(cap(open.slots)) {
		t.Fatalf("%d signed in, %d told to come back", in.Load(), limited.Load())
	}
}
