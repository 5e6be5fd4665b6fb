package tenant_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/tenant"
)

func TestCurrentAndByID(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	acme, globex := dbtest.New(t).Tenant(t), dbtest.New(t).Tenant(t)
	ctx := as(t, acme, newID(t))

	own, err := p.tenants.Current(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if own.ID != acme.ID() || own.State != tenant.StateActive || own.Slug == "" || own.Domain != nil {
		t.Errorf("got %+v", own)
	}
	got, err := p.tenants.ByID(ctx, []uuid.UUID{globex.ID(), acme.ID(), newID(t), p.own.ID(), acme.ID(), uuid.Nil})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*tenant.Tenant{nil, own, nil, nil, own, nil}, got); diff != "" {
		t.Errorf("tenants of others must answer as ids that never existed:\n%s", diff)
	}
	_, err = p.tenants.Current(t.Context())
	wantFault(t, err, fault.CodeUnauthenticated, "")
	_, err = p.tenants.ByID(t.Context(), []uuid.UUID{acme.ID()})
	wantFault(t, err, fault.CodeUnauthenticated, "")
}

func TestEnsureTenantAndMember(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	slug := unique(t)
	got := make([]db.Tenant, 8)
	errs := make([]error, len(got))
	atOnce(len(got), func(i int) { got[i], errs[i] = p.tenants.EnsureTenant(t.Context(), slug, "Acme") })
	for i := range got {
		if errs[i] != nil || got[i] != got[0] {
			t.Fatalf("got %v, %v; want %v", got[i], errs[i], got[0])
		}
	}
	member := p.member(t, got[0], tenant.RoleTrader)
	again := tenant.Member{Tenant: got[0], Identity: member, Email: "other@acme.test", DisplayName: "Other", RoleKey: tenant.RoleTrader}
	if err := p.tenants.EnsureMember(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	queries := p.DB.Store(db.ServiceUser).Tenant(got[0])
	user, err := queries.GetUser(t.Context(), member)
	if err != nil || user.DisplayName != "Somebody" {
		t.Errorf("got %+v, %v; want the user as it was first", user, err)
	}
	permissions, err := queries.ListPermissions(t.Context(), member)
	if diff := cmp.Diff([]string{tenant.MarketRead, tenant.OrdersPlace, tenant.OrdersRead}, permissions); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if n := p.count(t, "SELECT count(*) FROM platform.memberships WHERE tenant_id = $1 AND identity_id = $2 AND state = 'active'", got[0].ID(), member); n != 1 {
		t.Errorf("%d memberships, want 1", n)
	}
	stranger := newID(t)
	if err := p.DB.PlatformStore(db.ServiceAuth).Platform().CreateIdentity(t.Context(), platformdb.CreateIdentityParams{ID: stranger, Email: stranger.String() + "@people.test"}); err != nil {
		t.Fatal(err)
	}
	none := tenant.Member{Tenant: got[0], Identity: stranger, Email: stranger.String() + "@people.test", RoleKey: "nobody"}
	if err := p.tenants.EnsureMember(t.Context(), none); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("%v, want that the tenant has no such role", err)
	}
	if _, err := queries.GetUser(t.Context(), stranger); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("%v: a user without a role was left", err)
	}
	if n := p.count(t, "SELECT count(*) FROM platform.memberships WHERE identity_id = $1", stranger); n != 0 {
		t.Errorf("%d memberships of somebody who did not join", n)
	}
}

func TestRefill(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	p := newPlatform(t, env)
	blanks := func() int { return p.count(t, "SELECT count(*) FROM platform.tenants WHERE state = 'blank'") }
	refillers := make([]*tenant.Refiller, 4)
	for i := range refillers {
		refillers[i] = tenant.NewRefiller(env.DB.PlatformStore(db.ServiceTenant), 5, slog.New(slog.DiscardHandler))
	}
	made := make([]int, len(refillers))
	atOnce(len(refillers), func(i int) {
		var err error
		if made[i], err = refillers[i].Refill(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if _, err := refillers[0].Refill(t.Context()); err != nil { // those who met another stopped early
		t.Fatal(err)
	}
	if n := blanks(); n != 5 || refillers[0].Blanks() != 5 {
		t.Fatalf("%d blanks, counted %d; want 5", n, refillers[0].Blanks())
	}

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- refillers[1].Run(ctx) }()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run after its end: %v", err)
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	if _, err := tenant.NewInvitationMails([]byte("short"), "https://tradesage.test"); err == nil {
		t.Error("a short secret was accepted")
	}
	if _, err := tenant.NewInvitationMails(make([]byte, 32), ""); err == nil {
		t.Error("a missing URL was accepted")
	}
	if _, err := tenant.New(tenant.Options{}); err == nil {
		t.Error("missing parts were accepted")
	}
}
