package auth

import (
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/tenant"
)

// home is a tenant with roles, and somebody in it.
func (w *world) home(t *testing.T) db.Tenant {
	t.Helper()
	place, err := w.tenants.EnsureTenant(t.Context(), "t"+strings.ReplaceAll(uuid.NewString(), "-", "")[:20], "Acme")
	if err != nil {
		t.Fatal(err)
	}
	return place
}

// invite makes an invitation and returns its id and code.
func (w *world) invite(t *testing.T, to db.Tenant, email string) (uuid.UUID, string) {
	t.Helper()
	id := uuid.New()
	must(t, func() error {
		return w.DB.Store(db.ServiceUser).Tenant(to).UpsertInvitation(t.Context(), tenantdb.UpsertInvitationParams{
			ID: id, Email: email, RoleKey: tenant.RoleTrader, CodeHash: w.invitations.CodeHash(to.ID(), id),
			ExpiresAt: w.clock.Now().Add(time.Hour),
		})
	})
	return id, w.invitations.Code(to.ID(), id)
}

func (w *world) accept(code string, password *string) (*TenantChoice, error) {
	return w.auth.AcceptInvitation(context.Background(), AcceptInvitationInput{Code: code, Password: password, DisplayName: ptr("Grace")})
}

// wantUser wants the identity to be the tenant's active member and user once.
func (w *world) wantUser(t *testing.T, in db.Tenant, email string) {
	t.Helper()
	schema := schemaOf(t, w.env, in)
	if n := w.count(t, "SELECT count(*) FROM "+schema+".users u JOIN "+schema+".user_roles ur ON ur.user_id = u.id JOIN "+schema+
		".roles r ON r.id = ur.role_id JOIN platform.identities i ON i.id = u.id AND i.email = u.email JOIN platform.memberships m ON m.identity_id = i.id AND m.tenant_id = $2"+
		" WHERE u.email = $1 AND r.key = 'trader' AND m.state = 'active'", email, in.ID()); n != 1 {
		t.Errorf("%s is %d times a trader", email, n)
	}
	if n := w.count(t, "SELECT count(*) FROM "+schema+".audit_events a JOIN "+schema+".users u ON a.target = u.id::text WHERE a.action = 'user.join' AND u.email = $1", email); n != 1 {
		t.Errorf("%d audit events of one who joined", n)
	}
}

func TestAcceptInvitation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := w.home(t)
	const email = "grace@navy.test"
	_, code := w.invite(t, place, email)
	for _, bad := range []*string{nil, ptr(""), ptr("eleven char"), ptr(strings.Repeat("a", MaxPassword+1))} {
		_, err := w.accept(code, bad)
		wantFault(t, err, fault.CodeInvalidInput, "input.password")
	}
	for _, bad := range []string{strings.Repeat("a", 101), "two\nlines"} {
		_, err := w.auth.AcceptInvitation(t.Context(), AcceptInvitationInput{Code: code, Password: ptr(password), DisplayName: &bad})
		wantFault(t, err, fault.CodeInvalidInput, "input.displayName")
	}
	if n := w.count(t, "SELECT count(*) FROM platform.identities WHERE email = $1", email); n != 0 {
		t.Fatal("an account came of a call that failed")
	}
	joined, err := w.accept(code, ptr(password))
	if err != nil || joined.ID != place.ID() || joined.Name != "Acme" {
		t.Fatalf("got %+v, %v", joined, err)
	}
	w.wantUser(t, place, email)
	result, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
	if err != nil || result.TenantID != place.ID() {
		t.Fatalf("got %+v, %v", result, err)
	}
	if n := w.count(t, "SELECT count(*) FROM platform.identities WHERE email = $1 AND email_verified_at IS NOT NULL", email); n != 1 {
		t.Error("the code has not proven the address")
	}
	if n := w.count(t, "SELECT count(*) FROM platform.audit_events WHERE action = 'auth.accept_invitation' AND tenant_id = $1", place.ID()); n != 1 {
		t.Errorf("the platform has %d events of it", n)
	}
	_, err = w.accept(code, ptr(password))
	wantFault(t, err, fault.CodeNotFound, "")
	w.settle(t)
	w.wantUser(t, place, email)

	// The same person in a second tenant: by password, then by session.
	second, third := w.home(t), w.home(t)
	_, code = w.invite(t, second, email)
	_, err = w.accept(code, nil)
	wantFault(t, err, fault.CodeUnauthenticated, "")
	_, err = w.accept(code, ptr("not the password"))
	wantFault(t, err, fault.CodeUnauthenticated, "")
	_, err = w.accept(code, ptr(strings.Repeat("a", MaxPassword+1)))
	wantFault(t, err, fault.CodeInvalidInput, "input.password")
	if n := w.count(t, "SELECT count(*) FROM "+schemaOf(t, w.env, second)+".invitations WHERE accepted_at IS NULL"); n != 1 {
		t.Error("a wrong password has used the invitation up")
	}
	if _, err = w.accept(code, ptr(password)); err != nil {
		t.Fatal(err)
	}
	w.wantUser(t, second, email)
	_, code = w.invite(t, third, email)
	stranger := w.as(t, w.login(t, second).AccessToken)
	_, err = w.auth.AcceptInvitation(stranger, AcceptInvitationInput{Code: code})
	wantFault(t, err, fault.CodeUnauthenticated, "")
	if _, err := w.auth.AcceptInvitation(w.as(t, result.AccessToken), AcceptInvitationInput{Code: code}); err != nil {
		t.Fatal(err)
	}
	if n := w.count(t, "SELECT count(*) FROM platform.memberships m JOIN platform.identities i ON i.id = m.identity_id WHERE i.email = $1 AND m.state = 'active'", email); n != 3 {
		t.Errorf("%d memberships, want 3", n)
	}
}

func TestHostileInvitations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place, other := w.home(t), w.home(t)
	id, code := w.invite(t, place, "grace@navy.test")
	raw, err := base64.RawURLEncoding.DecodeString(code)
	if err != nil {
		t.Fatal(err)
	}
	with := func(tenant uuid.UUID, secret []byte) string {
		return base64.RawURLEncoding.EncodeToString(append(tenant[:], secret...))
	}
	_, withdrawn := w.invite(t, place, "gone@navy.test")
	if _, err := w.DB.Store(db.ServiceUser).Tenant(place).WithdrawInvitations(t.Context(), "gone@navy.test"); err != nil {
		t.Fatal(err)
	}
	_, used := w.invite(t, place, "used@navy.test")
	if _, err := w.accept(used, ptr(password)); err != nil {
		t.Fatal(err)
	}
	guessed := with(place.ID(), make([]byte, 32))
	answers := map[string]string{}
	refused := func(name, code string) {
		_, err := w.accept(code, ptr(password))
		wantFault(t, err, fault.CodeNotFound, "")
		f, _ := fault.As(err)
		answers[f.Message] = name
	}
	for name, bad := range map[string]string{
		"of another tenant": with(other.ID(), raw[16:]), "of no tenant": with(uuid.New(), raw[16:]), "guessed": guessed,
		"of the zero tenant": with(uuid.Nil, raw[16:]), "withdrawn": withdrawn, "used": used,
		"empty": "", "cut": code[:60], "with a line's end": code[:63] + "\n", "giant": strings.Repeat("A", 1<<20), "no base64": strings.Repeat("!", len(code)),
	} {
		refused(name, bad)
	}
	w.exec(t, "UPDATE platform.tenants SET state = 'suspended' WHERE id = $1", place.ID())
	_, err = w.accept(code, ptr(password))
	wantFault(t, err, fault.CodeTenantSuspended, "")
	refused("guessed, of a suspended tenant", guessed) // which it does not tell
	w.exec(t, "UPDATE platform.tenants SET state = 'active' WHERE id = $1", place.ID())
	w.clock.Advance(time.Hour)
	refused("expired", code)
	if len(answers) != 1 {
		t.Errorf("the answers tell bad codes apart: %v", answers)
	}
	if n := w.count(t, "SELECT count(*) FROM platform.identities WHERE email <> 'used@navy.test'"); n != 0 {
		t.Errorf("%d accounts came of bad codes; invitation %s", n, id)
	}
}

// A code proves an address, and nothing about who was shut out.
func TestTheShutOutStayOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := w.home(t)
	disabled, email := w.member(t)
	w.exec(t, "UPDATE platform.identities SET state = 'disabled' WHERE id = $1", disabled)
	_, code := w.invite(t, place, email)
	_, err := w.accept(code, ptr(password))
	wantFault(t, err, fault.CodeUnauthenticated, "")

	_, email = w.member(t, place)
	w.exec(t, "UPDATE platform.memberships m SET state = 'disabled' FROM platform.identities i WHERE i.id = m.identity_id AND i.email = $1", email)
	_, code = w.invite(t, place, email)
	_, err = w.accept(code, ptr(password))
	wantFault(t, err, fault.CodeForbidden, "")
	w.settle(t)
	if _, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: password}); !fault.Is(err, fault.CodeForbidden) {
		t.Errorf("a membership that was disabled is alive: %v", err)
	}
}

// Accepting hashes behind the same few slots as signing in, and only for who has
// a good code.
func TestAcceptancesWaitForAHash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := w.home(t)
	_, code := w.invite(t, place, "grace@navy.test")
	full, err := NewPasswords(PasswordOptions{Slots: 1, Queue: 1, Params: &cheap})
	if err != nil {
		t.Fatal(err)
	}
	idle := w.auth.passwords
	w.auth.passwords = full
	full.slots <- struct{}{}
	full.queued.Store(1)
	_, err = w.accept(code, ptr(password))
	wantFault(t, err, fault.CodeRateLimited, "")
	_, err = w.accept(code[1:]+"A", ptr(password))
	wantFault(t, err, fault.CodeNotFound, "")
	w.auth.passwords = idle
	if _, err = w.accept(code, ptr(password)); err != nil {
		t.Errorf("the invitation is used up: %v", err)
	}
}

// The tenant's part is whole or not there, its audit event included.
func TestAcceptanceIsWholeOrNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := w.home(t)
	schema := schemaOf(t, w.env, place)
	_, code := w.invite(t, place, "grace@navy.test")
	w.exec(t, "ALTER TABLE "+schema+".audit_events ADD CONSTRAINT no_more CHECK (action <> 'user.join')")
	if _, err := w.accept(code, ptr(password)); err == nil {
		t.Fatal("somebody has joined without an audit event")
	}
	if n := w.count(t, "SELECT (SELECT count(*) FROM "+schema+".users) + (SELECT count(*) FROM "+schema+".user_roles) + (SELECT count(*) FROM platform.memberships)"); n != 0 {
		t.Errorf("%d rows stay behind", n)
	}
	w.exec(t, "ALTER TABLE "+schema+".audit_events DROP CONSTRAINT no_more")
	w.settle(t)
	w.wantUser(t, place, "grace@navy.test")
}

// Killed after each of its steps, an acceptance is finished by the outbox, and by
// the person who tries again.
func TestAcceptanceGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := w.home(t)
	for name, kill := range map[string]func(t *testing.T, accepted acceptance){
		"after the account": func(*testing.T, acceptance) {},
		"after the tenant's part": func(t *testing.T, accepted acceptance) {
			must(t, func() error { return w.auth.accept(t.Context(), accepted) })
			w.exec(t, "DELETE FROM platform.memberships WHERE identity_id = $1", accepted.Identity)
		},
	} {
		t.Run(name, func(t *testing.T) {
			email := strings.ReplaceAll(name, " ", ".") + "@navy.test"
			email = strings.ReplaceAll(email, "'", "")
			id, code := w.invite(t, place, email)
			who, err := w.auth.invited(t.Context(), email, AcceptInvitationInput{Password: ptr(password)})
			if err != nil {
				t.Fatal(err)
			}
			accepted := acceptance{Tenant: place.ID(), Invitation: id, At: w.clock.Now()}
			must(t, func() error { return w.auth.recordAcceptance(t.Context(), &accepted, who) })
			kill(t, accepted)
			if _, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: password}); !fault.Is(err, fault.CodeForbidden) {
				t.Errorf("halfway: %v, want an account of no tenant", err)
			}
			if name == "after the account" {
				if _, err := w.accept(code, ptr(password)); err != nil {
					t.Errorf("again by hand: %v", err)
				}
			}
			w.settle(t)
			w.wantUser(t, place, email)
			if _, err := w.auth.Login(t.Context(), LoginInput{Email: email, Password: password}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Many clicks at once make one account and one user.
func TestAcceptanceRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := w.home(t)
	_, code := w.invite(t, place, "grace@navy.test")
	var accepted atomic.Int64
	var clicks sync.WaitGroup
	for range 8 {
		clicks.Go(func() {
			switch _, err := w.accept(code, ptr(password)); {
			case err == nil:
				accepted.Add(1)
			case !fault.Is(err, fault.CodeNotFound) && !fault.Is(err, fault.CodeUnauthenticated):
				t.Error(err)
			}
		})
	}
	clicks.Wait()
	if accepted.Load() == 0 {
		t.Error("nobody was let in")
	}
	w.settle(t)
	w.wantUser(t, place, "grace@navy.test")
	if n := w.count(t, "SELECT count(*) FROM platform.audit_events WHERE action = 'identity.create'"); n != 1 {
		t.Errorf("%d accounts of one address", n)
	}
}
