package session

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
)

// endings is an environment whose process has loaded its revocations.
func endings(t *testing.T) (*env, *Revocations) {
	t.Helper()
	e := newEnv(t)
	r := e.process(t, e.Redis)
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.sessions = NewSessions(SessionsOptions{Store: e.DB.Store(db.ServiceSession), Permissions: permission.New(permission.Options{Store: e.DB.Store(db.ServiceSession)}), Live: e.live, Revocations: r, Clock: e.clock.Now})
	return e, r
}

func alive(r *Revocations, user *identity.Caller, session uuid.UUID) bool {
	caller := *user
	caller.Session = session
	return r.Check(&caller, time.Now()) == nil
}

func wantFault(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

func (e *env) listed(t *testing.T, ctx context.Context) []uuid.UUID { //nolint:revive // t comes first in tests
	t.Helper()
	found, err := e.sessions.List(ctx, List{})
	if err != nil {
		t.Fatal(err)
	}
	ids := []uuid.UUID{}
	for _, edge := range found.Edges {
		ids = append(ids, edge.Node.ID)
	}
	return ids
}

func (e *env) audits(t *testing.T, action string, tenant db.Tenant) int {
	t.Helper()
	var n int
	if err := e.Connect(t, "postgres").QueryRow(t.Context(),
		"SELECT count(*) FROM platform.audit_events WHERE action = $1 AND tenant_id = $2", action, tenant.ID()).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRevokeSession(t *testing.T) {
	t.Parallel()
	e, r := endings(t)
	tenant, other := e.Tenant(t), e.Tenant(t)
	me, colleague, stranger := e.user(t, tenant), e.user(t, tenant), e.user(t, other)
	elsewhere := &identity.Caller{Subject: me.Subject, Tenant: other, AuthTime: me.AuthTime}
	if err := e.DB.PlatformStore(db.ServiceAuth).Platform().AddMembership(t.Context(), me.Subject, other.ID()); err != nil {
		t.Fatal(err)
	}
	current, second := e.start(t, me), e.start(t, me)
	theirs, foreign, mineElsewhere := e.start(t, colleague), e.start(t, stranger), e.start(t, elsewhere)
	ctx := as(t, me, current)

	var refusals []string
	for _, id := range []uuid.UUID{uuid.New(), theirs, foreign, mineElsewhere, uuid.Nil} {
		_, err := e.sessions.RevokeSession(ctx, id)
		wantFault(t, err, fault.CodeNotFound)
		f, _ := fault.As(err)
		refusals = append(refusals, f.Message)
	}
	for _, message := range refusals {
		if message != refusals[0] {
			t.Errorf("the answers differ: %q", refusals)
		}
	}
	if !alive(r, colleague, theirs) || !alive(r, stranger, foreign) || !alive(r, elsewhere, mineElsewhere) {
		t.Fatal("somebody else's session has ended")
	}
	for i, want := range []int{1, 0} { // a second time it has ended already
		ended, err := e.sessions.RevokeSession(ctx, second)
		if err != nil || ended.Count != want || ended.Pending {
			t.Fatalf("%d: got %+v, %v", i, ended, err)
		}
	}
	if alive(r, me, second) || !alive(r, me, current) {
		t.Error("want the second session ended, and the current one not")
	}
	if diff := cmp.Diff([]uuid.UUID{current}, e.listed(t, ctx)); diff != "" {
		t.Error(diff)
	}
	if n := e.audits(t, "session.revoke", tenant); n != 1 {
		t.Errorf("%d audit events", n)
	}
	if _, err := e.sessions.RevokeSession(ctx, current); err != nil || alive(r, me, current) {
		t.Errorf("the current one: %v", err)
	}
	_, err := e.sessions.RevokeSession(t.Context(), current)
	wantFault(t, err, fault.CodeUnauthenticated)
}

func TestRevokeOtherSessions(t *testing.T) {
	t.Parallel()
	e, r := endings(t)
	tenant := e.Tenant(t)
	me, colleague := e.user(t, tenant), e.user(t, tenant)
	var mine []uuid.UUID
	for range 5 {
		mine = append(mine, e.start(t, me))
	}
	theirs := e.start(t, colleague)
	ended, err := e.sessions.RevokeOtherSessions(as(t, me, mine[2]))
	if err != nil || ended.Count != 4 || ended.Pending {
		t.Fatalf("got %+v, %v", ended, err)
	}
	for i, id := range mine {
		if alive(r, me, id) != (i == 2) {
			t.Errorf("session %d: alive is %v", i, i != 2)
		}
	}
	if !alive(r, colleague, theirs) {
		t.Error("somebody else's session has ended")
	}
	if n := e.audits(t, "session.revoke_others", tenant); n != 1 {
		t.Errorf("%d audit events", n)
	}

	// All at once, each keeping its own: nobody waits for another for ever.
	var all sync.WaitGroup
	for range 8 {
		mine = append(mine, e.start(t, me))
	}
	for _, id := range mine[5:] {
		all.Go(func() {
			if _, err := e.sessions.RevokeOtherSessions(as(t, me, id)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestRevokeUserSessions(t *testing.T) {
	t.Parallel()
	e, r := endings(t)
	tenant, other := e.Tenant(t), e.Tenant(t)
	admin, user, stranger := e.user(t, tenant), e.user(t, tenant), e.user(t, other)
	first, second, foreign := e.start(t, user), e.start(t, user), e.start(t, stranger)
	ctx := as(t, admin, e.start(t, admin))

	_, err := e.sessions.RevokeUserSessions(ctx, user.Subject)
	wantFault(t, err, fault.CodeForbidden)
	e.grant(t, tenant, admin.Subject, "sessions:manage")
	e.grant(t, tenant, user.Subject, "sessions:read")
	_, err = e.sessions.RevokeUserSessions(as(t, user, first), admin.Subject)
	wantFault(t, err, fault.CodeForbidden)
	for _, id := range []uuid.UUID{uuid.New(), stranger.Subject, tenant.ID()} {
		_, err = e.sessions.RevokeUserSessions(ctx, id)
		wantFault(t, err, fault.CodeNotFound)
	}
	_, err = e.sessions.RevokeUserSessions(t.Context(), user.Subject)
	wantFault(t, err, fault.CodeUnauthenticated)
	if !alive(r, user, first) || !alive(r, stranger, foreign) {
		t.Fatal("a session has ended without a right")
	}
	ended, err := e.sessions.RevokeUserSessions(ctx, user.Subject)
	if err != nil || ended.Count != 2 || alive(r, user, first) || alive(r, user, second) {
		t.Errorf("got %+v, %v", ended, err)
	}
	if n := e.audits(t, "session.revoke_user", tenant); n != 1 {
		t.Errorf("%d audit events", n)
	}
}

// A session that is about to begin when all of a user's end is waited for.
func TestNoSessionSlipsThroughTheEndOfAll(t *testing.T) {
	t.Parallel()
	e, r := endings(t)
	tenant := e.Tenant(t)
	me := e.user(t, tenant)
	current := e.start(t, me)
	starting := e.Connect(t, "svc_auth")
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := starting.Exec(context.Background(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	late, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	exec("BEGIN")
	exec("SELECT 1 FROM platform.memberships WHERE identity_id = $1 AND tenant_id = $2 FOR SHARE", me.Subject, tenant.ID())
	done := make(chan error, 1)
	go func() { _, err := e.sessions.RevokeOtherSessions(as(t, me, current)); done <- err }()
	e.awaitLock(t)
	exec(`INSERT INTO platform.sessions (id, tenant_id, identity_id, device_id, amr, auth_time, expires_at)
		VALUES ($1, $2, $3, $1, '{pwd}', now(), $4)`, late, tenant.ID(), me.Subject, e.clock.Now().Add(time.Hour))
	exec("COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if alive(r, me, late) {
		t.Error("the session that was about to begin is alive")
	}
}

// awaitLock returns once somebody waits for the lock of a membership.
func (e *env) awaitLock(t *testing.T) {
	t.Helper()
	watch := e.Connect(t, "postgres")
	deadline, tick := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		var waiting int
		if err := watch.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE memberships%' AND pid <> pg_backend_pid()`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nobody waits")
		}
	}
}

// grant makes somebody an active user with one permission.
func (e *env) grant(t *testing.T, tenant db.Tenant, user uuid.UUID, permission string) {
	t.Helper()
	var schema string
	conn := e.Connect(t, "postgres")
	if err := conn.QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", tenant.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	role := uuid.New()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("INSERT INTO "+schema+".users (id, tenant_id, email) VALUES ($1, $2, $3)", user, tenant.ID(), user.String()+"@example.test")
	exec("INSERT INTO "+schema+".roles (id, tenant_id, key, name, permissions) VALUES ($1, $2, $3, 'Role', $4)",
		role, tenant.ID(), "r-"+role.String(), []string{permission})
	exec("INSERT INTO "+schema+".user_roles (user_id, role_id, tenant_id) VALUES ($1, $2, $3)", user, role, tenant.ID())
}
