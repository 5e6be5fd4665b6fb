package auth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/mail"
	"github.com/tradesage/tradesage/internal/tenant"
)

// world is an environment of its own in which mail arrives and tenants are made.
type world struct {
	*env
	tenants *tenant.Tenants
	// invitations derives the codes that tests accept.
	invitations *tenant.InvitationMails
	mailbox     *mail.Mailbox
	relay       *db.Relay
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{env: newEnvOn(t, dbtest.NewDatabase(t))}
	w.mailbox = mail.NewMailbox(w.clock.Now)
	store, quiet := w.DB.PlatformStore(db.ServiceTenant), slog.New(slog.DiscardHandler)
	mails, err := tenant.NewInvitationMails([]byte(strings.Repeat("s", 32)), "https://tradesage.test")
	if err != nil {
		t.Fatal(err)
	}
	w.invitations = mails
	w.tenants, err = tenant.New(tenant.Options{
		Store: store, Invitations: mails, Refiller: tenant.NewRefiller(store, 1, quiet), Now: w.clock.Now, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.auth.found, w.auth.publicURL = w.tenants.Found, "https://tradesage.test"
	w.relay = db.NewRelay(w.DB.PlatformStore(db.ServiceRelay), quiet, map[string]db.OutboxHandler{
		KindChallenge:    func(ctx context.Context, e db.OutboxEvent) error { return w.auth.HandleChallenge(ctx, e.Body) },
		tenant.KindFound: func(ctx context.Context, e db.OutboxEvent) error { return w.tenants.FoundStep(ctx, e.Body) },
		tenant.KindProvision: func(ctx context.Context, e db.OutboxEvent) error {
			return w.tenants.ProvisionStep(ctx, e.TenantID, e.Body)
		},
		KindInvitationAccepted: func(ctx context.Context, e db.OutboxEvent) error {
			return w.auth.HandleInvitationAccepted(ctx, e.Body)
		},
		mail.Kind:          func(ctx context.Context, e db.OutboxEvent) error { return mail.Deliver(ctx, w.mailbox, e.Body) },
		"audit.copy":       func(context.Context, db.OutboxEvent) error { return nil },
		KindSessionStarted: func(context.Context, db.OutboxEvent) error { return nil },
	})
	return w
}

// settle delivers the outbox until nothing is due.
func (w *world) settle(t *testing.T) {
	t.Helper()
	for {
		n, err := w.relay.Deliver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// mails are the subjects that an address has got, the newest first.
func (w *world) mails(t *testing.T, address string) (subjects []string, newest string) {
	t.Helper()
	w.settle(t)
	for _, m := range w.mailbox.Messages() {
		if m.To == address {
			if subjects = append(subjects, m.Subject); newest == "" {
				newest = m.Text
			}
		}
	}
	return subjects, newest
}

// code is the one of the address's newest mail.
func (w *world) code(t *testing.T, address string) string {
	t.Helper()
	_, text := w.mails(t, address)
	_, code, ok := strings.Cut(text, "#")
	if !ok {
		t.Fatalf("no code in %q", text)
	}
	code, _, _ = strings.Cut(code, "\n")
	return code
}

func (w *world) register(t *testing.T, email string, tenantName *string) {
	t.Helper()
	must(t, func() error {
		return w.auth.Register(t.Context(), RegisterInput{Email: email, Password: password, TenantName: tenantName})
	})
}

func ptr[T any](v T) *T { return &v }

func TestRegisterWithATenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(t, " Ada@Example.test ", ptr("Söhne & Co."))
	if n := w.count(t, "SELECT count(*) FROM platform.identities"); n != 0 {
		t.Fatal("there is an account before the address is proven")
	}
	if n := w.count(t, `SELECT count(*) FROM platform.email_challenges WHERE password_hash LIKE '$argon2id$%' AND email = 'ada@example.test'`); n != 1 {
		t.Fatal("the registration does not wait with the hash of the password")
	}
	code := w.code(t, "ada@example.test")
	if n := w.count(t, "SELECT count(*) FROM platform.email_challenges WHERE code_hash = sha256($1)", []byte(code)); n != 1 {
		t.Fatal("the code is not kept by its hash")
	}
	verified, err := w.auth.VerifyEmail(t.Context(), code)
	if err != nil || verified.Tenant == nil || verified.Tenant.Slug != "sohne-co" || verified.Tenant.Name != "Söhne & Co." {
		t.Fatalf("got %+v, %v", verified, err)
	}
	result, err := w.auth.Login(t.Context(), LoginInput{Email: "ada@example.test", Password: password})
	if err != nil || result.TenantID != verified.Tenant.ID || result.UserID != verified.UserID {
		t.Fatalf("got %+v, %v", result, err)
	}
	proof, _, err := w.auth.store.Resolve(t.Context(), verified.Tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	held, err := w.DB.Store(db.ServiceUser).Tenant(proof).ListPermissions(t.Context(), verified.UserID)
	if err != nil || len(held) == 0 {
		t.Fatalf("the owner may do %v, %v", held, err)
	}
	// The code again, many times at once, and the outbox: nothing more happens.
	var replays sync.WaitGroup
	for range 8 {
		replays.Go(func() {
			if again, err := w.auth.VerifyEmail(context.Background(), code); err != nil || !cmp.Equal(verified, again) {
				t.Errorf("got %+v, %v", again, err)
			}
		})
	}
	replays.Wait()
	w.settle(t)
	w.wantOne(t, verified.Tenant.ID)
	if n := w.count(t, "SELECT count(*) FROM platform.email_challenges WHERE password_hash IS NOT NULL"); n != 0 {
		t.Error("the hash is still in the registration")
	}
}

// wantOne wants one identity, its tenant once, with one member and one event.
func (w *world) wantOne(t *testing.T, id uuid.UUID) {
	t.Helper()
	got := map[string]int{}
	for name, query := range map[string]string{
		"identities": "SELECT count(*) FROM platform.identities", "memberships": "SELECT count(*) FROM platform.memberships WHERE state = 'active'",
		"tenants":           "SELECT count(*) FROM platform.tenants WHERE state = 'active'",
		"half-made tenants": "SELECT count(*) FROM platform.tenants WHERE state = 'provisioning'",
		"identity.create":   "SELECT count(*) FROM platform.audit_events WHERE action = 'identity.create'",
		"tenant.create":     "SELECT count(*) FROM platform.audit_events WHERE action = 'tenant.create'",
	} {
		got[name] = w.count(t, query)
	}
	want := map[string]int{"identities": 1, "memberships": 1, "tenants": 1, "half-made tenants": 0, "identity.create": 1, "tenant.create": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var schema string
	must(t, func() error {
		return w.Connect(t, "postgres").QueryRow(context.Background(), "SELECT schema_name FROM platform.tenants WHERE id = $1", id).Scan(&schema)
	})
	if n := w.count(t, "SELECT count(*) FROM "+schema+".users u JOIN "+schema+".user_roles r ON r.user_id = u.id JOIN "+schema+".roles o ON o.id = r.role_id WHERE o.key = 'owner'"); n != 1 {
		t.Errorf("%d owners", n)
	}
}

// The process is killed after the account was made; the outbox of another one
// makes the tenant, once, be it that its own step was killed too.
func TestRegistrationGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(*world, tenant.Founding) error{
		"after the account": func(*world, tenant.Founding) error { return errors.New("killed") },
		"after the tenant, its answer lost": func(w *world, f tenant.Founding) error {
			return errors.Join(w.tenants.Found(context.Background(), f), errors.New("killed"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.auth.found = func(_ context.Context, f tenant.Founding) error { return kill(w, f) }
			w.register(t, "ada@example.test", ptr("Acme"))
			if _, err := w.auth.VerifyEmail(t.Context(), w.code(t, "ada@example.test")); err != nil {
				t.Fatal(err)
			}
			w.settle(t)
			result, err := w.auth.Login(t.Context(), LoginInput{Email: "ada@example.test", Password: password})
			if err != nil {
				t.Fatal(err)
			}
			w.wantOne(t, result.TenantID)
		})
	}
}

func TestRegisterAnswersAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	home := w.Tenant(t)
	id, known := w.member(t, home)
	disabledID, disabled := w.member(t, home)
	w.exec(t, "UPDATE platform.identities SET state = 'disabled' WHERE id = $1", disabledID)
	statements := func(email string) []string { // what a request writes, but for ids and times
		before := w.count(t, "SELECT count(*) FROM platform.outbox")
		w.register(t, email, ptr("Acme"))
		var kinds []string
		rows, err := w.Connect(t, "postgres").Query(t.Context(), "SELECT kind || octet_length(body::text) FROM platform.outbox ORDER BY id OFFSET $1", before)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var kind string
			must(t, func() error { return rows.Scan(&kind) })
			kinds = append(kinds, kind)
		}
		return kinds
	}
	want := statements("nobody@example.test")
	for _, email := range []string{known, disabled} {
		if diff := cmp.Diff(want, statements(email)); diff != "" {
			t.Errorf("%s: %s", email, diff)
		}
		if subjects, text := w.mails(t, email); !cmp.Equal(subjects, []string{"You already have a TradeSage account"}) || strings.Contains(text, "#") {
			t.Errorf("%s: %q %s", email, subjects, text)
		}
	}
	// Even who could derive the code of a known address gets nowhere.
	for _, row := range w.challenges(t, known) {
		_, err := w.auth.VerifyEmail(t.Context(), w.sealer.code(purposeRegister, row))
		wantFault(t, err, fault.CodeNotFound, "")
	}
	if _, err := w.auth.Login(t.Context(), LoginInput{Email: known, Password: password}); err != nil {
		t.Errorf("the account of %s: %v", id, err)
	}
	for field, in := range map[string]RegisterInput{
		"input.email":      {Email: "nobody", Password: password},
		"input.password":   {Email: known, Password: "short"},
		"input.tenantName": {Email: known, Password: password, TenantName: ptr(" ")},
	} {
		wantFault(t, w.auth.Register(t.Context(), in), fault.CodeInvalidInput, field)
	}
}

func (w *world) challenges(t *testing.T, email string) (ids []uuid.UUID) {
	t.Helper()
	rows, err := w.Connect(t, "postgres").Query(t.Context(), "SELECT id FROM platform.email_challenges WHERE email = $1", email)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var id uuid.UUID
		must(t, func() error { return rows.Scan(&id) })
		ids = append(ids, id)
	}
	return ids
}

func TestHostileRegistrations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const email = "ada@example.test"
	w.register(t, email, nil)
	first := w.code(t, email)
	for name, code := range map[string]string{
		"empty": "", "guessed": strings.Repeat("A", 43), "giant": strings.Repeat("x", 1<<20), "NUL": first[:42] + "\x00",
		"the hash": string(hashToken(first)), "other case": strings.ToUpper(first), "for a reset": w.sealer.code(purposeReset, w.challenges(t, email)[0]),
	} {
		if _, err := w.auth.VerifyEmail(t.Context(), code); !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A second registration of the address with another password: whoever proves
	// the address first has chosen; the other code is void.
	must(t, func() error {
		return w.auth.Register(t.Context(), RegisterInput{Email: email, Password: "somebody else's password"})
	})
	second := w.code(t, email)
	if _, err := w.auth.VerifyEmail(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	_, err := w.auth.VerifyEmail(t.Context(), second)
	wantFault(t, err, fault.CodeNotFound, "")
	_, err = w.auth.Login(t.Context(), LoginInput{Email: email, Password: "somebody else's password"})
	wantFault(t, err, fault.CodeUnauthenticated, "")
	_, err = w.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
	wantFault(t, err, fault.CodeForbidden, "") // it belongs to no tenant

	// A mailbox is not flooded, and the answer does not tell.
	for range 3 * mailsPerAddress {
		w.register(t, "victim@example.test", nil)
	}
	if subjects, _ := w.mails(t, "victim@example.test"); len(subjects) != mailsPerAddress {
		t.Errorf("%d mails, want %d", len(subjects), mailsPerAddress)
	}
	code := w.code(t, "victim@example.test")
	w.clock.Advance(registrationLife)
	_, err = w.auth.VerifyEmail(t.Context(), code)
	wantFault(t, err, fault.CodeNotFound, "")
	w.clock.Advance(time.Second)
	must(t, func() error { return w.auth.Housekeep(t.Context()) })
	if n := w.count(t, "SELECT count(*) FROM platform.email_challenges"); n != 0 {
		t.Errorf("%d registrations are left after their time", n)
	}
}

// A challenge is mailed once however often the outbox delivers it.
func TestChallengeIsMailedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register(t, "ada@example.test", nil)
	body, err := json.Marshal(challenge{w.challenges(t, "ada@example.test")[0]})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		must(t, func() error { return w.auth.HandleChallenge(t.Context(), body) })
	}
	if n := w.count(t, "SELECT count(*) FROM platform.outbox WHERE kind = $1", mail.Kind); n != 1 {
		t.Errorf("%d mails", n)
	}
	if err := w.auth.HandleChallenge(t.Context(), json.RawMessage(`{"id": 7}`)); err == nil {
		t.Error("an unreadable event was taken")
	}
}
