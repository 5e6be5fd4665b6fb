package tenant_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/tenant"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	slug := unique(t)
	in := input(slug)
	in.Name, in.Domain, in.OwnerEmail = "  Acme & Söhne ", ptr("Trade."+slug+".TEST"), " Owner@Acme.test"
	got, err := p.tenants.Create(p.asAdmin(t), in)
	if err != nil {
		t.Fatal(err)
	}
	want := &tenant.Tenant{
		ID: got.ID, Slug: slug, Name: "Acme & Söhne", Domain: ptr("trade." + slug + ".test"),
		State: tenant.StateActive, CreatedAt: got.CreatedAt,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	conn := p.Connect(t, "postgres")
	var schema string
	if err := conn.QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", got.ID).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	if n := p.count(t, "SELECT count(*) FROM "+schema+".roles WHERE built_in AND key IN ('owner', 'admin', 'trader', 'viewer')"); n != 4 {
		t.Errorf("%d built-in roles, want 4", n)
	}
	if n := p.count(t, "SELECT count(*) FROM "+schema+".roles WHERE 'tenants:create' = ANY(permissions)"); n != 0 {
		t.Errorf("%d roles of a tenant may create tenants", n)
	}
	// Both tenants' records know who did it: the platform's directly, the new one's own.
	if n := p.count(t, `SELECT count(*) FROM platform.audit_events
		WHERE action = 'tenant.create' AND tenant_id = $1 AND actor_id = $2 AND target = $3`, p.own.ID(), p.admin, got.ID.String()); n != 1 {
		t.Errorf("%d events in the platform's record, want 1", n)
	}
	if n := p.count(t, "SELECT count(*) FROM "+schema+".audit_events WHERE action = 'tenant.provision' AND actor_id = $1", p.admin); n != 1 {
		t.Errorf("%d events in the tenant's record, want 1", n)
	}

	// The mail's code is the invitation's, of which only the hash is kept.
	mails := p.outbox(t, tenant.KindInvitationMail, got.ID)
	if len(mails) != 1 {
		t.Fatalf("%d mails, want 1", len(mails))
	}
	message, err := p.tenants.InvitationMail(t.Context(), got.ID, mails[0])
	if err != nil || message == nil {
		t.Fatalf("%v, %v", message, err)
	}
	if message.To != "owner@acme.test" || !strings.Contains(message.Subject, "Acme & Söhne") {
		t.Errorf("mail to %q, subject %q", message.To, message.Subject)
	}
	code := regexp.MustCompile(`https://tradesage\.test/invitation#([A-Za-z0-9_-]{64})\n`).FindStringSubmatch(message.Text)
	if code == nil {
		t.Fatalf("no link in %q", message.Text)
	}
	hash := sha256.Sum256([]byte(code[1]))
	if n := p.count(t, "SELECT count(*) FROM "+schema+".invitations WHERE code_hash = $1 AND email = 'owner@acme.test' AND role_key = 'owner' AND expires_at = $2",
		hash[:], now.Add(7*24*time.Hour)); n != 1 {
		t.Errorf("%d invitations with the mailed code, want 1", n)
	}

	// The relay comes by later: nothing happens twice.
	for _, body := range p.outbox(t, tenant.KindProvision, got.ID) {
		if err := p.tenants.ProvisionStep(t.Context(), got.ID, body); err != nil {
			t.Error(err)
		}
	}
	if n := len(p.outbox(t, tenant.KindInvitationMail, got.ID)); n != 1 {
		t.Errorf("%d mails after the relay, want 1", n)
	}
}

func TestCreateIsForPlatformAdminsOnly(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	other, err := p.tenants.EnsureTenant(t.Context(), unique(t), "Other")
	if err != nil {
		t.Fatal(err)
	}
	in := input(unique(t))
	_, err = p.tenants.Create(t.Context(), in)
	wantFault(t, err, fault.CodeUnauthenticated, "")
	for name, caller := range map[string]context.Context{
		"platform trader":       as(t, p.own, p.member(t, p.own, tenant.RoleTrader)),
		"platform owner":        as(t, p.own, p.member(t, p.own, tenant.RoleOwner)),
		"not in the platform":   as(t, p.own, newID(t)),
		"owner of a tenant":     as(t, other, p.member(t, other, tenant.RoleOwner)),
		"admin through another": as(t, other, p.admin),
	} {
		if _, err := p.tenants.Create(caller, in); !fault.Is(err, fault.CodeForbidden) {
			t.Errorf("%s: got %v, want FORBIDDEN", name, err)
		}
	}
	// What is asked for makes no difference to who may not ask.
	_, err = p.tenants.Create(as(t, other, p.admin), tenant.CreateTenantInput{Slug: tenant.PlatformSlug})
	wantFault(t, err, fault.CodeForbidden, "")
	if n := p.count(t, "SELECT count(*) FROM platform.tenants WHERE slug = $1", in.Slug); n != 0 {
		t.Error("a refused call made a tenant")
	}
}

func TestCreateRefusesBadInput(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	ctx := p.asAdmin(t)
	good := input(unique(t))
	before := p.count(t, "SELECT count(*) FROM platform.tenants WHERE slug LIKE $1 || '%'", good.Slug)
	for _, c := range []struct {
		field  string
		change func(*tenant.CreateTenantInput)
	}{
		{"name", func(i *tenant.CreateTenantInput) { i.Name = "" }},
		{"name", func(i *tenant.CreateTenantInput) { i.Name = " \t " }},
		{"name", func(i *tenant.CreateTenantInput) { i.Name = "a\x00b" }},
		{"name", func(i *tenant.CreateTenantInput) { i.Name = "a\nb" }},
		{"name", func(i *tenant.CreateTenantInput) { i.Name = "a\xffb" }},
		{"name", func(i *tenant.CreateTenantInput) { i.Name = strings.Repeat("ü", 201) }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "" }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "ab" }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "Acme" }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "-acme" }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "acme-" }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "ac_me" }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "acme\n" }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "acmé" }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "xn--acme" }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = strings.Repeat("a", 64) }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "admin" }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = tenant.PlatformSlug }},
		{"slug", func(i *tenant.CreateTenantInput) { i.Slug = "a'; DROP SCHEMA platform CASCADE; --" }},
		{"domain", func(i *tenant.CreateTenantInput) { i.Domain = ptr("") }},
		{"domain", func(i *tenant.CreateTenantInput) { i.Domain = ptr("acme") }},
		{"domain", func(i *tenant.CreateTenantInput) { i.Domain = ptr("127.0.0.1") }},
		{"ownerEmail", func(i *tenant.CreateTenantInput) { i.OwnerEmail = "" }},
		{"ownerEmail", func(i *tenant.CreateTenantInput) { i.OwnerEmail = "a@b.test\r\nBcc: c@d.test" }},
		{"idempotencyKey", func(i *tenant.CreateTenantInput) { i.IdempotencyKey = ptr("") }},
		{"idempotencyKey", func(i *tenant.CreateTenantInput) { i.IdempotencyKey = ptr(strings.Repeat("k", 129)) }},
		{"idempotencyKey", func(i *tenant.CreateTenantInput) { i.IdempotencyKey = ptr("k\x00") }},
	} {
		in := good
		c.change(&in)
		_, err := p.tenants.Create(ctx, in)
		wantFault(t, err, fault.CodeInvalidInput, "input."+c.field)
	}
	if after := p.count(t, "SELECT count(*) FROM platform.tenants WHERE slug LIKE $1 || '%'", good.Slug); after != before {
		t.Error("a refused call made a tenant")
	}
}

func TestCreateSameSlugAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.NewDatabase(t))
	if _, err := p.refiller.Refill(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := p.asAdmin(t)
	slug := unique(t)
	const callers = 50
	errs := make([]error, callers)
	atOnce(callers, func(i int) { _, errs[i] = p.tenants.Create(ctx, input(slug)) })
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantFault(t, err, fault.CodeConflict, "input.slug")
	}
	if won != 1 {
		t.Errorf("%d callers won, want 1", won)
	}
	for what, query := range map[string]string{
		"tenants":            "SELECT count(*) FROM platform.tenants WHERE state NOT IN ('blank') AND slug <> 'tradesage'",
		"audit events":       "SELECT count(*) FROM platform.audit_events WHERE action = 'tenant.create' AND actor_id IS NOT NULL",
		"provisioning steps": "SELECT count(*) FROM platform.outbox o JOIN platform.tenants t ON t.id = o.tenant_id WHERE kind = 'tenant.provision' AND t.slug <> 'tradesage'",
		"mails":              "SELECT count(*) FROM platform.outbox WHERE kind = 'mail.invitation'",
	} {
		if n := p.count(t, query); n != 1 {
			t.Errorf("%d %s, want 1", n, what)
		}
	}
	// Blanks that lost are blanks again, and every schema is somebody's.
	if n := p.count(t, "SELECT count(*) FROM platform.tenants WHERE state = 'blank' AND (slug IS NOT NULL OR claimed_at IS NOT NULL)"); n != 0 {
		t.Errorf("%d blanks with something left over", n)
	}
	if n := p.count(t, `SELECT count(*) FROM pg_namespace n WHERE nspname ~ '^tenant_[a-z2-7]{26}$'
		AND NOT EXISTS (SELECT FROM platform.tenants t WHERE t.schema_name = n.nspname)`); n != 0 {
		t.Errorf("%d schemas that belong to no tenant", n)
	}
}

func TestCreateTakenDomain(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	first, second := input(unique(t)), input(unique(t))
	first.Domain = ptr("trade." + first.Slug + ".test")
	second.Domain = ptr(strings.ToUpper(*first.Domain))
	if _, err := p.tenants.Create(p.asAdmin(t), first); err != nil {
		t.Fatal(err)
	}
	_, err := p.tenants.Create(p.asAdmin(t), second)
	wantFault(t, err, fault.CodeConflict, "input.domain")
	second.Domain = nil
	if _, err := p.tenants.Create(p.asAdmin(t), second); err != nil {
		t.Errorf("the slug of a refused call is not free: %v", err)
	}
}

func TestCreateIsIdempotent(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	ctx := p.asAdmin(t)
	in := input(unique(t))
	in.IdempotencyKey = ptr("key " + in.Slug)
	const callers = 16
	got := make([]*tenant.Tenant, callers)
	errs := make([]error, callers)
	atOnce(callers, func(i int) { got[i], errs[i] = p.tenants.Create(ctx, in) })
	for i := range callers {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		// A call that came while the first was at it may see the tenant being set up.
		if diff := cmp.Diff(got[0], got[i], cmpopts.IgnoreFields(tenant.Tenant{}, "State")); diff != "" {
			t.Fatal(diff)
		}
	}
	spelled := in
	spelled.Name, spelled.OwnerEmail = " "+in.Name, strings.ToUpper(in.OwnerEmail)
	again, err := p.tenants.Create(ctx, spelled)
	if err != nil || again.ID != got[0].ID || again.State != tenant.StateActive {
		t.Errorf("the same input in another spelling: got %+v, %v", again, err)
	}
	if n := len(p.outbox(t, tenant.KindInvitationMail, got[0].ID)); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}

	other := input(unique(t))
	other.IdempotencyKey = in.IdempotencyKey
	_, err = p.tenants.Create(ctx, other)
	wantFault(t, err, fault.CodeConflict, "input.idempotencyKey")

	// The key is the caller's own: another administrator's is another key.
	if _, err := p.tenants.Create(as(t, p.own, p.member(t, p.own, tenant.RolePlatformAdmin)), other); err != nil {
		t.Error(err)
	}
}

func TestCreateSameKeyForDifferentTenantsAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	ctx := p.asAdmin(t)
	key := unique(t)
	slugs := make([]string, 8)
	errs := make([]error, len(slugs))
	for i := range slugs {
		slugs[i] = unique(t)
	}
	atOnce(len(slugs), func(i int) {
		in := input(slugs[i])
		in.IdempotencyKey = &key
		_, errs[i] = p.tenants.Create(ctx, in)
	})
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantFault(t, err, fault.CodeConflict, "input.idempotencyKey")
	}
	if n := p.count(t, "SELECT count(*) FROM platform.tenants WHERE slug = ANY($1)", slugs); won != 1 || n != 1 {
		t.Errorf("%d callers won and %d tenants were made, want 1", won, n)
	}
}

func TestCreateWithoutBlanks(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.NewDatabase(t))
	if n := p.count(t, "SELECT count(*) FROM platform.tenants WHERE state = 'blank'"); n != 0 {
		t.Fatalf("%d blanks to begin with", n)
	}
	ctx := p.asAdmin(t)
	errs := make([]error, 10)
	atOnce(len(errs), func(i int) { _, errs[i] = p.tenants.Create(ctx, input(unique(t))) })
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := p.count(t, "SELECT count(*) FROM platform.tenants WHERE state = 'active'"); n != 11 {
		t.Errorf("%d active tenants, want 11", n)
	}

	if _, err := p.Connect(t, "postgres").Exec(ctx, "UPDATE platform.shards SET capacity = greatest(tenants, 1)"); err != nil {
		t.Fatal(err)
	}
	for range 4 { // shards that had none may take one more
		_, err := p.tenants.Create(ctx, input(unique(t)))
		if err != nil {
			wantFault(t, err, fault.CodeUnavailable, "")
			return
		}
	}
	_, err := p.tenants.Create(ctx, input(unique(t)))
	wantFault(t, err, fault.CodeUnavailable, "")
}

func TestProvisionAfterCrash(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	slug := unique(t)
	made, err := p.tenants.CreateAndCrash(p.asAdmin(t), input(slug))
	if err != nil {
		t.Fatal(err)
	}
	if _, state, err := p.DB.Store(db.ServiceTenant).Resolve(t.Context(), made); err != nil || state != db.TenantProvisioning {
		t.Fatalf("got %s, %v; want a tenant that is being set up", state, err)
	}
	if n := len(p.outbox(t, tenant.KindInvitationMail, made)); n != 0 {
		t.Fatalf("%d mails of a tenant that is not there yet", n)
	}
	bodies := p.outbox(t, tenant.KindProvision, made)
	if len(bodies) != 1 {
		t.Fatalf("%d provisioning events, want 1", len(bodies))
	}
	errs := make([]error, 8)
	atOnce(len(errs), func(i int) { errs[i] = p.tenants.ProvisionStep(t.Context(), made, bodies[0]) })
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	proof, state, err := p.DB.Store(db.ServiceTenant).Resolve(t.Context(), made)
	if err != nil || state != db.TenantActive {
		t.Fatalf("got %s, %v; want active", state, err)
	}
	if n := len(p.outbox(t, tenant.KindInvitationMail, made)); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}
	if n := len(p.outbox(t, "audit.copy", made)); n != 1 {
		t.Errorf("%d audit events, want 1", n)
	}
	if permissions, err := p.DB.Store(db.ServiceTenant).Tenant(proof).ListPermissions(t.Context(), p.admin); err != nil || len(permissions) != 0 {
		t.Errorf("whoever made the tenant has permissions in it: %v, %v", permissions, err)
	}
}

func TestCreateWhenTheTenantStepFails(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.NewDatabase(t))
	if _, err := p.refiller.Refill(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Every blank refuses its invitation, so the step fails halfway.
	conn := p.Connect(t, "postgres")
	change := func(statement string) {
		t.Helper()
		var schemas []string
		if err := conn.QueryRow(t.Context(), "SELECT array_agg(schema_name) FROM platform.tenants WHERE slug IS DISTINCT FROM 'tradesage'").Scan(&schemas); err != nil {
			t.Fatal(err)
		}
		for _, schema := range schemas {
			if _, err := conn.Exec(t.Context(), "ALTER TABLE "+schema+".invitations "+statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	change("ADD CONSTRAINT broken CHECK (false)")
	made, err := p.tenants.Create(p.asAdmin(t), input(unique(t)))
	if err != nil || made.State != tenant.StateProvisioning {
		t.Fatalf("got %+v, %v; want a tenant that is being set up", made, err)
	}
	bodies := p.outbox(t, tenant.KindProvision, made.ID)
	if len(bodies) != 1 {
		t.Fatalf("%d provisioning events, want 1", len(bodies))
	}
	if err := p.tenants.ProvisionStep(t.Context(), made.ID, bodies[0]); err == nil {
		t.Error("the step hides its failure from the relay")
	}
	if n := len(p.outbox(t, "audit.copy", made.ID)); n != 0 {
		t.Errorf("%d events of a step that failed", n)
	}
	change("DROP CONSTRAINT broken")
	if err := p.tenants.ProvisionStep(t.Context(), made.ID, bodies[0]); err != nil {
		t.Fatal(err)
	}
	if _, state, err := p.DB.Store(db.ServiceTenant).Resolve(t.Context(), made.ID); err != nil || state != db.TenantActive {
		t.Errorf("got %s, %v; want active", state, err)
	}
	if n := len(p.outbox(t, tenant.KindInvitationMail, made.ID)); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}
}

func TestProvisionStepRefusesNonsense(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	unknown := uuid.New()
	for _, body := range []string{``, `[]`, `{"tenant": "x"}`, `{"tenant": "` + unknown.String() + `"}`} {
		if err := p.tenants.ProvisionStep(t.Context(), unknown, json.RawMessage(body)); err == nil {
			t.Errorf("%q was accepted", body)
		}
	}
}

// A tenant may emit events of any kind: it must not finish another's making.
func TestATenantCannotProvisionAnother(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	made, err := p.tenants.CreateAndCrash(p.asAdmin(t), input(unique(t)))
	if err != nil {
		t.Fatal(err)
	}
	forged := json.RawMessage(`{"tenant": "` + made.String() + `", "owner": {"id": "` + uuid.NewString() +
		`", "email": "thief@globex.test", "expiresAt": "2100-01-01T00:00:00Z"}}`)
	if err := p.tenants.ProvisionStep(t.Context(), p.Tenant(t).ID(), forged); err == nil {
		t.Error("a forged event was accepted")
	}
	if _, state, err := p.DB.Store(db.ServiceTenant).Resolve(t.Context(), made); err != nil || state != db.TenantProvisioning {
		t.Errorf("got %s, %v; want a tenant that is still being set up", state, err)
	}
	if n := len(p.outbox(t, tenant.KindInvitationMail, made)); n != 0 {
		t.Errorf("%d mails to the thief", n)
	}
}
