package auth

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
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
	result, err := e.auth.Login(ctx, LoginInput{
		Email: "  " + strings.ToUpper(email) + " ", Password: password, UserAgent: firefox, IP: "192.0.2.7",
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
	if _, err := e.auth.Login(ctx, LoginInput{Email: email, Password: password, UserAgent: strings.ReplaceAll(firefox, "140", "141")}); err != nil {
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
			result, err := e.auth.Login(t.Context(), LoginInput{Email: email, Password: password, UserAgent: test.agent, IP: test.ip})
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

func TestLoginWithSeveralTenants(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first, second, suspended, foreign := e.Tenant(t), e.Tenant(t), e.Tenant(t), e.Tenant(t)
	_, email := e.member(t, first, second, suspended)
	e.exec(t, "UPDATE platform.tenants SET state = 'suspended' WHERE id = $1", suspended.ID())

	_, err := e.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
	wantFault(t, err, fault.CodeInvalidInput, "input.tenant")
	for tenant, listed := range map[db.Tenant]bool{first: true, second: true, suspended: false, foreign: false} {
		if strings.Contains(err.Error(), slugOf(t, e, tenant)) != listed {
			t.Errorf("%v; want %s listed: %v", err, slugOf(t, e, tenant), listed)
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
			_, err = e.auth.signIn(t.Context(), attempt{email: email, identity: id, hash: *found.Hash}, choices[0])
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
	pending, err := e.auth.Logout(ctx)
	if err != nil || pending {
		t.Fatalf("pending %v, %v", pending, err)
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
}

func TestDeviceOf(t *testing.T) {
	t.Parallel()
	tenant, user := uuid.New(), uuid.New()
	for agent, want := range map[string]string{
		firefox:      "Firefox on Linux, desktop",
		"curl/8.1.2": "curl, other",
		"":           "Unknown device, other",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1": "Safari on iOS, mobile",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36":                         "Chrome on Windows, desktop",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0":     "Edge on macOS, desktop",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                                                                "Googlebot, bot",
	} {
		d := deviceOf(tenant, user, agent)
		if got := d.Name + ", " + d.Kind; got != want {
			t.Errorf("%s: got %s, want %s", agent, got, want)
		}
		if d.ID.Version() != 8 || d.ID.Variant() != uuid.RFC4122 {
			t.Errorf("%s: id %s", agent, d.ID)
		}
	}
	same := deviceOf(tenant, user, strings.ReplaceAll(firefox, "140", "99"))
	for name, other := range map[string]device{
		"tenant": deviceOf(uuid.New(), user, firefox), "user": deviceOf(tenant, uuid.New(), firefox), "browser": deviceOf(tenant, user, "curl/8.1"),
	} {
		if other.ID == same.ID {
			t.Errorf("another %s has the same device", name)
		}
	}
	if deviceOf(tenant, user, firefox).ID != same.ID {
		t.Error("an update of the browser is another device")
	}
}

func FuzzDeviceOf(f *testing.F) {
	f.Add(firefox)
	f.Add("(((;;;")
	f.Add("Mozilla/5.0 (")
	f.Fuzz(func(t *testing.T, agent string) {
		d := deviceOf(uuid.Nil, uuid.Nil, cleanUserAgent(agent))
		if n := len([]rune(d.Name)); n < 1 || n > 100 || strings.ContainsRune(d.Name, 0) {
			t.Fatalf("name %q", d.Name)
		}
	})
}
