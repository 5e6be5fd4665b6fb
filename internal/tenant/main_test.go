package tenant_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/tenant"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

// platform is a database whose platform's own tenant has an administrator.
type platform struct {
	*dbtest.Env
	tenants  *tenant.Tenants
	refiller *tenant.Refiller
	own      db.Tenant
	admin    uuid.UUID
}

func newPlatform(t *testing.T, env *dbtest.Env) *platform {
	t.Helper()
	store := env.DB.PlatformStore(db.ServiceTenant)
	p := &platform{Env: env, refiller: tenant.NewRefiller(store, 3, slog.New(slog.DiscardHandler))}
	invitations, err := tenant.NewInvitationMails([]byte(strings.Repeat("s", 32)), "https://tradesage.test/")
	if err != nil {
		t.Fatal(err)
	}
	p.tenants, err = tenant.New(tenant.Options{
		Store: store, Invitations: invitations,
		Refiller: p.refiller, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.own, err = p.tenants.EnsureTenant(t.Context(), tenant.PlatformSlug, "TradeSage"); err != nil {
		t.Fatal(err)
	}
	p.admin = p.member(t, p.own, tenant.RolePlatformAdmin)
	return p
}

// member makes a new identity and a user of it with a role.
func (p *platform) member(t *testing.T, of db.Tenant, role string) uuid.UUID {
	t.Helper()
	id := newID(t)
	email := id.String() + "@people.test"
	err := p.DB.PlatformStore(db.ServiceAuth).Platform().CreateIdentity(t.Context(), platformdb.CreateIdentityParams{ID: id, Email: email})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.tenants.EnsureMember(t.Context(), tenant.Member{Tenant: of, Identity: id, Email: email, DisplayName: "Somebody", RoleKey: role}); err != nil {
		t.Fatal(err)
	}
	return id
}

func (p *platform) asAdmin(t *testing.T) context.Context { return as(t, p.own, p.admin) }

func as(t *testing.T, in db.Tenant, subject uuid.UUID) context.Context {
	return identity.NewContext(t.Context(), &identity.Caller{Subject: subject, Session: newID(t), Tenant: in, Expires: now.Add(time.Hour)})
}

func newID(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// unique returns a slug that no other test uses.
func unique(t *testing.T) string {
	t.Helper()
	return "x" + strings.ReplaceAll(newID(t).String(), "-", "")
}

func input(slug string) tenant.CreateTenantInput {
	return tenant.CreateTenantInput{Name: "Acme " + slug, Slug: slug, OwnerEmail: "owner@" + slug + ".test"}
}

func ptr[T any](v T) *T { return &v }

func wantFault(t *testing.T, err error, code fault.Code, field string) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Code != code || f.Field != field {
		t.Errorf("got %v (field %q), want %s of %q", err, fieldOf(f), code, field)
	}
}

func fieldOf(f *fault.Error) string {
	if f == nil {
		return ""
	}
	return f.Field
}

// count asks the database behind the scenes.
func (p *platform) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	if err := p.Connect(t, "postgres").QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// outbox returns the bodies of one kind of event of a tenant.
func (p *platform) outbox(t *testing.T, kind string, of uuid.UUID) []json.RawMessage {
	t.Helper()
	rows, err := p.Connect(t, "postgres").Query(t.Context(),
		"SELECT body FROM platform.outbox WHERE kind = $1 AND tenant_id = $2 ORDER BY id", kind, of)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var bodies []json.RawMessage
	for rows.Next() {
		var body json.RawMessage
		if err := rows.Scan(&body); err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

// atOnce runs fn n times together.
func atOnce(n int, fn func(i int)) {
	var together sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		together.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	together.Wait()
}
