package tenant_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/tenant"
)

// Plans are the platform's to give.
func TestPlans(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	store := p.DB.PlatformStore(db.ServiceTenant)
	slug := unique(t)
	of, err := p.tenants.EnsureTenant(t.Context(), slug, "Acme")
	if err != nil {
		t.Fatal(err)
	}
	var formers []string
	for _, plan := range []string{"gold", "free_2-x", "free_2-x"} {
		former, err := tenant.SetPlan(t.Context(), store, slug, plan)
		if err != nil {
			t.Fatal(err)
		}
		formers = append(formers, former)
	}
	if diff := cmp.Diff([]string{"standard", "gold", "free_2-x"}, formers); diff != "" {
		t.Error(diff)
	}
	if place, err := store.Locate(t.Context(), of.ID()); err != nil || place.Plan != "free_2-x" || place.Tenant != of || place.State != db.TenantActive {
		t.Errorf("%+v, %v", place, err)
	}
	if n := p.count(t, `SELECT count(*) FROM platform.audit_events WHERE action = 'tenant.plan' AND tenant_id = $1
		AND details = '{"plan": "gold", "former": "standard", "by": "operator"}'`, of.ID()); n != 1 {
		t.Errorf("%d events", n)
	}

	for _, plan := range []string{"", "Gold", "1st", "a b", "-", strings.Repeat("a", 33), "gold\n"} {
		_, err := tenant.SetPlan(t.Context(), store, slug, plan)
		wantFault(t, err, fault.CodeInvalidInput, "plan")
	}
	_, err = tenant.SetPlan(t.Context(), store, unique(t), "gold")
	wantFault(t, err, fault.CodeNotFound, "")
	// Whoever acts as a tenant cannot give it one, and no other service can at all.
	if _, err := store.PlatformFor(of).SetTenantPlan(t.Context(), "gold", &slug); err == nil {
		t.Error("a tenant gives itself a plan")
	}
	for _, service := range []db.Service{db.ServiceAuth, db.ServiceUser, db.ServiceSession, db.ServiceRouter, db.ServiceRelay, db.ServiceVerify} {
		if _, err := p.DB.PlatformStore(service).Platform().SetTenantPlan(t.Context(), "gold", &slug); err == nil {
			t.Errorf("%s gives plans", service)
		}
	}
}
