package auth

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// offered is somebody who has to choose a tenant.
func (e *env) offered(t *testing.T, email string) *TenantChoices {
	t.Helper()
	result, err := e.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
	if err != nil || result.Choices == nil {
		t.Fatalf("got %+v, %v; want a choice of tenants", result, err)
	}
	return result.Choices
}

func (e *env) redeem(ticket, tenant string) (*Tokens, error) {
	return e.auth.SwitchTenant(from(context.Background(), firefox, ""), SwitchTenantInput{Tenant: tenant, Ticket: &ticket})
}

func TestTicketIsGoodForOneSession(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first, second := e.Tenant(t), e.Tenant(t)
	id, email := e.member(t, first, second)
	choices := e.offered(t, email)
	if choices.ExpiresIn != 5*time.Minute || !strings.HasPrefix(choices.Ticket, "tst_") || len(choices.Tenants) != 2 {
		t.Fatalf("got %+v", choices)
	}
	if n := e.count(t, "SELECT count(*) FROM platform.login_tickets WHERE identity_id = $1 AND hash = sha256($2)", id, []byte(choices.Ticket)); n != 1 {
		t.Fatal("the ticket is not kept by its hash")
	}
	e.advance(t, time.Minute)
	tokens, err := e.redeem(choices.Ticket, slugOf(t, e, second))
	if err != nil || tokens.TenantID != second.ID() || tokens.UserID != id || tokens.Email != email {
		t.Fatalf("got %+v, %v", tokens, err)
	}
	caller, err := e.verifier.Authenticate(t.Context(), tokens.AccessToken)
	if err != nil || caller.Tenant != second || caller.AuthTime.Unix() != e.clock.Now().Add(-time.Minute).Unix() {
		t.Fatalf("got %+v, %v; want the time of the password", caller, err)
	}
	_, err = e.redeem(choices.Ticket, slugOf(t, e, second))
	wantFault(t, err, fault.CodeUnauthenticated, "")

	// By id, and in a race.
	choices = e.offered(t, email)
	var sessions, refused atomic.Int64
	var clicks sync.WaitGroup
	for range 16 {
		clicks.Go(func() {
			switch _, err := e.redeem(choices.Ticket, first.ID().String()); {
			case err == nil:
				sessions.Add(1)
			case fault.Is(err, fault.CodeUnauthenticated):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	clicks.Wait()
	if sessions.Load() != 1 || refused.Load() != 15 {
		t.Fatalf("%d sessions of one ticket, %d refused", sessions.Load(), refused.Load())
	}
	if n := e.count(t, "SELECT count(*) FROM platform.sessions WHERE identity_id = $1 AND tenant_id = $2", id, first.ID()); n != 1 {
		t.Fatalf("%d sessions of one ticket", n)
	}
}

func TestHostileTickets(t *testing.T) {
	t.Parallel()
	e := newEnvOn(t, dbtest.NewDatabase(t))
	first, second, foreign, suspended := e.Tenant(t), e.Tenant(t), e.Tenant(t), e.Tenant(t)
	id, email := e.member(t, first, second, suspended)
	e.exec(t, "UPDATE platform.tenants SET state = 'suspended' WHERE id = $1", suspended.ID())
	slug := slugOf(t, e, first)
	choices := e.offered(t, email)

	for name, ticket := range map[string]string{
		"empty": "", "guessed": "tst_" + strings.Repeat("A", 43), "giant": strings.Repeat("x", 1<<20),
		"refresh token": e.login(t, first).RefreshToken, "the hash": string(hashToken(choices.Ticket)),
		"other case": strings.ToUpper(choices.Ticket), "cut": choices.Ticket[:46],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.redeem(ticket, slug)
			wantFault(t, err, fault.CodeUnauthenticated, "")
		})
	}
	// A tenant of others answers like one that never was, and the ticket stays good.
	_, errForeign := e.redeem(choices.Ticket, slugOf(t, e, foreign))
	_, errForeignID := e.redeem(choices.Ticket, foreign.ID().String())
	_, errNone := e.redeem(choices.Ticket, "no-such-tenant")
	_, errNoneID := e.redeem(choices.Ticket, uuid.NewString())
	for _, err := range []error{errForeign, errForeignID, errNoneID} {
		wantFault(t, err, fault.CodeNotFound, "")
		if diff := cmp.Diff(errNone.Error(), err.Error()); diff != "" {
			t.Error(diff)
		}
	}
	_, err := e.redeem(choices.Ticket, suspended.ID().String())
	wantFault(t, err, fault.CodeTenantSuspended, "")
	for _, bad := range []string{"", strings.Repeat("x", 64), "' OR true --", "\x00"} {
		if _, err := e.redeem(choices.Ticket, bad); !fault.Is(err, fault.CodeInvalidInput) && !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := e.redeem(choices.Ticket, slug); err != nil {
		t.Fatalf("after all that: %v", err)
	}

	for name, change := range map[string]string{
		"another password": "UPDATE platform.password_credentials SET hash = '$argon2id$other' WHERE identity_id = $1",
		"disabled account": "UPDATE platform.identities SET state = 'disabled' WHERE id = $1",
	} {
		t.Run(name, func(t *testing.T) {
			id, email := e.member(t, first, second)
			choices := e.offered(t, email)
			e.exec(t, change, id)
			_, err := e.redeem(choices.Ticket, slug)
			wantFault(t, err, fault.CodeUnauthenticated, "")
		})
	}
	t.Run("no member any more", func(t *testing.T) {
		id, email := e.member(t, first, second)
		choices := e.offered(t, email)
		e.exec(t, "UPDATE platform.memberships SET state = 'disabled' WHERE identity_id = $1 AND tenant_id = $2", id, first.ID())
		_, err := e.redeem(choices.Ticket, slug)
		wantFault(t, err, fault.CodeNotFound, "")
	})
	choices = e.offered(t, email)
	e.clock.Advance(ticketLife)
	_, err = e.redeem(choices.Ticket, slug)
	wantFault(t, err, fault.CodeUnauthenticated, "")
	e.clock.Advance(time.Second)
	if err := e.auth.Housekeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := e.count(t, "SELECT count(*) FROM platform.login_tickets WHERE identity_id = $1", id); n != 0 {
		t.Errorf("%d tickets are left after their time", n)
	}
}

func TestSwitchTenant(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first, second, foreign := e.Tenant(t), e.Tenant(t), e.Tenant(t)
	_, email := e.member(t, first, second)
	old, err := e.redeem(e.offered(t, email).Ticket, first.ID().String())
	if err != nil {
		t.Fatal(err)
	}
	e.advance(t, time.Minute)
	ctx := e.as(t, old.AccessToken)
	for _, name := range []string{slugOf(t, e, foreign), foreign.ID().String(), "no-such-tenant"} {
		_, err := e.auth.SwitchTenant(ctx, SwitchTenantInput{Tenant: name})
		wantFault(t, err, fault.CodeNotFound, "")
	}
	_, err = e.auth.SwitchTenant(ctx, SwitchTenantInput{Tenant: slugOf(t, e, first)})
	wantFault(t, err, fault.CodeInvalidInput, "input.tenant")
	if _, err := e.verifier.Authenticate(t.Context(), old.AccessToken); err != nil {
		t.Fatalf("after calls that failed: %v", err)
	}

	next, err := e.auth.SwitchTenant(ctx, SwitchTenantInput{Tenant: slugOf(t, e, second)})
	if err != nil || next.TenantID != second.ID() || next.UserID != old.UserID {
		t.Fatalf("got %+v, %v", next, err)
	}
	caller, err := e.verifier.Authenticate(t.Context(), next.AccessToken)
	if err != nil || caller.Tenant != second || caller.AuthTime.Unix() != e.clock.Now().Add(-time.Minute).Unix() {
		t.Fatalf("got %+v, %v", caller, err)
	}
	if n := e.count(t, `SELECT count(*) FROM platform.sessions a JOIN platform.sessions b ON a.expires_at = b.expires_at AND a.auth_time = b.auth_time
		WHERE a.id = $1 AND b.id = $2 AND a.revoke_reason = 'switch_tenant'`, old.SessionID, next.SessionID); n != 1 {
		t.Error("the new session does not end when the old one would have")
	}
	// The old one has ended, whatever is held of it.
	_, err = e.verifier.Authenticate(t.Context(), old.AccessToken)
	wantFault(t, err, fault.CodeUnauthenticated, "")
	tokens, err := e.refresh(old.RefreshToken)
	wantRefused(t, tokens, err)
	_, err = e.auth.SwitchTenant(ctx, SwitchTenantInput{Tenant: slugOf(t, e, second)})
	wantFault(t, err, fault.CodeUnauthenticated, "")
	_, err = e.auth.SwitchTenant(t.Context(), SwitchTenantInput{Tenant: slugOf(t, e, second)})
	wantFault(t, err, fault.CodeUnauthenticated, "")

	// Two switches of one session at once are one.
	ctx = e.as(t, next.AccessToken)
	var switched atomic.Int64
	var clicks sync.WaitGroup
	for range 8 {
		clicks.Go(func() {
			switch _, err := e.auth.SwitchTenant(ctx, SwitchTenantInput{Tenant: first.ID().String()}); {
			case err == nil:
				switched.Add(1)
			case !fault.Is(err, fault.CodeUnauthenticated):
				t.Error(err)
			}
		})
	}
	clicks.Wait()
	if switched.Load() != 1 {
		t.Errorf("%d sessions came of one", switched.Load())
	}
	if n := e.count(t, "SELECT count(*) FROM platform.sessions WHERE identity_id = $1 AND revoked_at IS NULL", old.UserID); n != 1 {
		t.Errorf("%d live sessions, want 1", n)
	}
}

// as returns a context with the token's caller.
func (e *env) as(t *testing.T, token string) context.Context {
	t.Helper()
	caller, err := e.verifier.Authenticate(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return identity.NewContext(t.Context(), caller)
}

// Who belongs to more tenants than a list shows is at home in each of them.
func TestTheHundredAndFirstTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, last, suspended, invitedTo := w.home(t), w.home(t), w.home(t), w.home(t)
	id, email := w.member(t, first, last, suspended)
	w.exec(t, "UPDATE platform.tenants SET slug = 'zz-last' WHERE id = $1", last.ID())
	w.exec(t, "UPDATE platform.tenants SET slug = 'zz-suspended', state = 'suspended' WHERE id = $1", suspended.ID())
	w.exec(t, "UPDATE platform.tenants SET slug = 'zzz-invited' WHERE id = $1", invitedTo.ID())
	w.exec(t, `WITH more AS (
		INSERT INTO platform.tenants (id, schema_name, shard, state, schema_version, slug, name)
		SELECT gen_random_uuid(), 'tenant_' || translate(rpad(n::text, 26, 'a'), '0189', 'wxyz'), t.shard,
		       CASE WHEN n % 2 = 0 THEN 'suspended' ELSE 'active' END, t.schema_version, 'a' || n, 'More'
		FROM platform.tenants t, generate_series(10, 259) n WHERE t.id = $1 RETURNING id)
		INSERT INTO platform.memberships (identity_id, tenant_id) SELECT $2, id FROM more`, first.ID(), id)

	choices := w.offered(t, email)
	if n := len(choices.Tenants); n != 100 {
		t.Errorf("%d tenants to choose from, want 100", n)
	}
	if i := slices.IndexFunc(choices.Tenants, func(c *TenantChoice) bool { return c.ID == last.ID() }); i >= 0 {
		t.Fatal("the list is not too long for this test")
	}
	result, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: password, Tenant: ptr("zz-last")})
	if err != nil || result.TenantID != last.ID() {
		t.Errorf("login by slug: %+v, %v", result, err)
	}
	if tokens, err := w.redeem(choices.Ticket, last.ID().String()); err != nil || tokens.TenantID != last.ID() {
		t.Errorf("ticket by id: %+v, %v", tokens, err)
	}
	if tokens, err := w.redeem(w.offered(t, email).Ticket, "zz-last"); err != nil || tokens.TenantID != last.ID() {
		t.Errorf("ticket by slug: %+v, %v", tokens, err)
	}
	_, err = w.auth.Login(t.Context(), LoginInput{Email: email, Password: password, Tenant: ptr("zz-suspended")})
	wantFault(t, err, fault.CodeTenantSuspended, "")
	for _, foreign := range []string{"zzz-invited", "no-such-tenant", last.ID().String()} {
		_, err = w.auth.Login(t.Context(), LoginInput{Email: email, Password: password, Tenant: &foreign})
		wantFault(t, err, fault.CodeUnauthenticated, "")
	}
	_, code := w.invite(t, invitedTo, email)
	if joined, err := w.accept(code, ptr(password)); err != nil || joined.Slug != "zzz-invited" {
		t.Errorf("invitation: %+v, %v", joined, err)
	}
}

// Open tenants are found behind any number of closed ones.
func TestClosedTenantsHideNoOpenOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := w.home(t)
	id, email := w.member(t, open)
	w.exec(t, "UPDATE platform.tenants SET slug = 'zz-open' WHERE id = $1", open.ID())
	w.exec(t, `WITH more AS (
		INSERT INTO platform.tenants (id, schema_name, shard, state, schema_version, slug, name)
		SELECT gen_random_uuid(), 'tenant_' || translate(rpad(n::text, 26, 'a'), '0189', 'wxyz'), t.shard, 'suspended', t.schema_version, 'a' || n, 'More'
		FROM platform.tenants t, generate_series(100, 219) n WHERE t.id = $1 RETURNING id)
		INSERT INTO platform.memberships (identity_id, tenant_id) SELECT $2, id FROM more`, open.ID(), id)
	result, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
	if err != nil || result.TenantID != open.ID() {
		t.Errorf("%+v, %v", result, err)
	}
}
