package session

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/fault"
)

func (e *env) epoch(t *testing.T, tenant db.Tenant, user uuid.UUID) (epoch int64, state string) {
	t.Helper()
	if err := e.Connect(t, "postgres").QueryRow(t.Context(),
		"SELECT epoch, state FROM platform.memberships WHERE tenant_id = $1 AND identity_id = $2", tenant.ID(), user).Scan(&epoch, &state); err != nil {
		t.Fatal(err)
	}
	return epoch, state
}

// news collects what a process hears.
func news(r *Revocations) func() []Revocation {
	var mu sync.Mutex
	var heard []Revocation
	r.OnRevoked(func(n Revocation) { mu.Lock(); defer mu.Unlock(); heard = append(heard, n) })
	return func() []Revocation { mu.Lock(); defer mu.Unlock(); return slices.Clone(heard) }
}

func TestEveryProcessHearsOfChangedPermissions(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	here, there, elsewhere := e.process(t, e.Redis), e.process(t, e.Redis), e.Tenant(t)
	heard, tenant := news(there), e.Tenant(t)
	follow(t, load(t, here))
	follow(t, load(t, there))
	ada, bob := e.user(t, tenant), e.user(t, tenant)
	if err := e.DB.PlatformStore(db.ServiceAuth).Platform().AddMembership(t.Context(), ada.Subject, elsewhere.ID()); err != nil {
		t.Fatal(err)
	}
	session := e.start(t, ada)
	for range 2 { // at the same time by the clock: both count
		if pending, err := here.PermissionsChanged(t.Context(), tenant, ada.Subject); pending || err != nil {
			t.Fatal(pending, err)
		}
	}
	n := 0
	for _, r := range heard() {
		if r.Kind == KindPermissions && r.Subject == ada.Subject && r.Tenant == tenant.ID() {
			n++
		}
	}
	if n < 2 {
		t.Errorf("heard %d times of two changes", n)
	}
	wantCheck(t, there, ada, session, "")
	if epoch, _ := e.epoch(t, tenant, ada.Subject); epoch != 3 {
		t.Errorf("epoch %d after two changes, want 3", epoch)
	}
	if _, err := here.PermissionsChanged(t.Context(), tenant, tenant.ID()); err != nil {
		t.Fatal(err)
	}
	if epoch, _ := e.epoch(t, tenant, bob.Subject); epoch != 2 {
		t.Errorf("epoch %d after a change for all, want 2", epoch)
	}
	if epoch, _ := e.epoch(t, elsewhere, ada.Subject); epoch != 1 {
		t.Errorf("epoch %d in a tenant in which nothing changed", epoch)
	}
}

func TestAMemberEnds(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r, there := e.process(t, e.Redis), e.process(t, e.Redis)
	follow(t, load(t, r))
	follow(t, load(t, there))
	tenant, elsewhere := e.Tenant(t), e.Tenant(t)
	ada, bob := e.user(t, tenant), e.user(t, tenant)
	abroad := *ada
	abroad.Tenant = elsewhere
	if err := e.DB.PlatformStore(db.ServiceAuth).Platform().AddMembership(t.Context(), ada.Subject, elsewhere.ID()); err != nil {
		t.Fatal(err)
	}
	first, second, bobs, away := e.start(t, ada), e.start(t, ada), e.start(t, bob), e.start(t, &abroad)
	e.clock.Advance(time.Second)
	for range 2 { // a second run changes nothing
		if pending, err := r.MemberEnded(t.Context(), tenant, ada.Subject, "deactivated"); pending || err != nil {
			t.Fatal(pending, err)
		}
	}
	for _, session := range []uuid.UUID{first, second} {
		wantCheck(t, there, ada, session, fault.CodeUnauthenticated)
	}
	wantCheck(t, there, bob, bobs, "")
	wantCheck(t, there, &abroad, away, "")
	if epoch, state := e.epoch(t, tenant, ada.Subject); epoch != 2 || state != "disabled" {
		t.Errorf("membership %s of epoch %d, want disabled of 2", state, epoch)
	}
	if _, state := e.epoch(t, elsewhere, ada.Subject); state != "active" {
		t.Errorf("membership in another tenant is %s", state)
	}
	if found, err := e.sessions.SessionsByID(as(t, ada, first), []uuid.UUID{first, second}); err != nil || found[0] != nil || found[1] != nil {
		t.Errorf("%v, %v: sessions of who is gone", found, err)
	}
}
