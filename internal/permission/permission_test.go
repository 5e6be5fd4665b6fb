package permission_test

import (
	"context"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

type fixture struct {
	*dbtest.Env
	permissions *permission.Permissions
	following   atomic.Bool
	now         atomic.Int64
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Env: dbtest.New(t)}
	f.following.Store(true)
	f.permissions = permission.New(permission.Options{
		Store: f.DB.Store(db.ServiceUser), Following: f.following.Load,
		Clock: func() time.Time { return time.Unix(f.now.Load(), 0) },
	})
	return f
}

// user makes a user whose one role, also its key, may read users.
func (f *fixture) user(t *testing.T, in db.Tenant) (context.Context, uuid.UUID) {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	err := f.DB.Store(db.ServiceUser).Tenant(in).Tx(t.Context(), func(q *tenantdb.Queries) error {
		if _, err := q.UpsertUser(t.Context(), tenantdb.UpsertUserParams{ID: id, Email: id.String() + "@people.test"}); err != nil {
			return err
		}
		if _, err := q.UpsertBuiltInRoles(t.Context(), tenantdb.UpsertBuiltInRolesParams{
			Ids: []uuid.UUID{id}, Keys: []string{"r" + id.String()}, Names: []string{"Role"}, Permissions: []string{"users:read,roles:read"},
		}); err != nil {
			return err
		}
		_, err := q.AssignRole(t.Context(), id, "r"+id.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return as(t, in, id), id
}

func as(t *testing.T, in db.Tenant, id uuid.UUID) context.Context {
	return identity.NewContext(t.Context(), &identity.Caller{Subject: id, Session: uuid.New(), Tenant: in})
}

// take removes every role of a user behind the scenes.
func (f *fixture) take(t *testing.T, in db.Tenant, user uuid.UUID) {
	t.Helper()
	conn := f.Connect(t, "postgres")
	var schema string
	if err := conn.QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", in.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "DELETE FROM "+schema+".user_roles WHERE user_id = $1", user); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) want(ctx context.Context, t *testing.T, what string, code fault.Code) {
	t.Helper()
	_, err := f.permissions.Require(ctx, "users:read")
	if code == "" && err != nil || code != "" && !fault.Is(err, code) {
		t.Errorf("%s: %v, want %q", what, err, code)
	}
}

func TestASetIsKeptUntilItIsDropped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	in := f.Tenant(t)
	for what, subject := range map[string]func(user uuid.UUID) uuid.UUID{
		"of the user": func(user uuid.UUID) uuid.UUID { return user },
		"of all":      func(uuid.UUID) uuid.UUID { return in.ID() },
	} {
		ctx, user := f.user(t, in)
		f.want(ctx, t, "at first", "")
		f.take(t, in, user)
		f.want(ctx, t, "without news", "")
		f.permissions.Drop(uuid.New(), user)
		f.permissions.Drop(in.ID(), uuid.New())
		f.want(ctx, t, "after news of others", "")
		f.permissions.Drop(in.ID(), subject(user))
		f.want(ctx, t, "after news "+what, fault.CodeForbidden)
	}
}

func TestASetGrowsOld(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	in := f.Tenant(t)
	ctx, user := f.user(t, in)
	f.want(ctx, t, "at first", "")
	f.take(t, in, user)
	f.now.Add(29)
	f.want(ctx, t, "after 29 s", "")
	f.now.Add(1)
	f.want(ctx, t, "after 30 s", fault.CodeForbidden)
}

// Who hears of no changes asks each time.
func TestWithoutTheFeedNothingIsKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	in := f.Tenant(t)
	ctx, user := f.user(t, in)
	f.want(ctx, t, "at first", "")
	f.take(t, in, user)
	f.following.Store(false)
	f.want(ctx, t, "without the feed", fault.CodeForbidden)
}

// A set that was read before a change and arrives after its news is not kept.
func TestAReadingThatAChangeOvertook(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	in := f.Tenant(t)
	ctx, user := f.user(t, in)
	overtaken := permission.New(permission.Options{
		Store: f.DB.Store(db.ServiceUser), Following: f.following.Load, Clock: func() time.Time { return time.Unix(0, 0) },
	})
	conn := f.Connect(t, "postgres")
	var schema string
	if err := conn.QueryRow(ctx, "SELECT schema_name FROM platform.tenants WHERE id = $1", in.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "BEGIN; LOCK "+schema+".user_roles IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { _, err := overtaken.Of(ctx); done <- err }()
	watch := f.Connect(t, "postgres")
	for waiting := 0; waiting == 0; { // the reading waits for the lock
		if err := watch.QueryRow(ctx, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass", schema+".user_roles").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	overtaken.Drop(in.ID(), user)
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.take(t, in, user)
	if set, err := overtaken.Of(ctx); err != nil || set.Holds("users:read") {
		t.Errorf("%v, %v: an overtaken reading was kept", set, err)
	}
}

// Many who ask at once are one reading, which those who are still there get also
// where the first one goes away.
func TestOneReadingForAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	in := f.Tenant(t)
	ctx, _ := f.user(t, in)
	conn := f.Connect(t, "postgres")
	var schema string
	if err := conn.QueryRow(ctx, "SELECT schema_name FROM platform.tenants WHERE id = $1", in.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "BEGIN; LOCK "+schema+".user_roles IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	watch := f.Connect(t, "postgres")
	readings := func() (n int) {
		if err := watch.QueryRow(ctx, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass", schema+".user_roles").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	leaving, leave := context.WithCancel(ctx)
	defer leave()
	first := make(chan error, 1)
	go func() { _, err := f.permissions.Of(leaving); first <- err }()
	for readings() == 0 {
	}
	const many = 20
	done := make(chan error, many)
	var asking atomic.Int64
	for range many {
		go func() {
			asking.Add(1)
			_, err := f.permissions.Require(ctx, "users:read")
			done <- err
		}()
	}
	for asking.Load() < many {
		runtime.Gosched()
	}
	for range 20 {
		if n := readings(); n != 1 {
			t.Fatalf("%d readings at once", n)
		}
	}
	leave()
	if err := <-first; err == nil {
		t.Error("who has left was answered")
	}
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	for range many {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	in, other := f.Tenant(t), f.Tenant(t)
	ctx, user := f.user(t, in)
	f.want(ctx, t, "at home", "")
	f.want(as(t, other, user), t, "in another tenant", fault.CodeForbidden)
	f.want(ctx, t, "at home again", "")
	f.want(t.Context(), t, "nobody", fault.CodeUnauthenticated)
}

func TestSets(t *testing.T) {
	t.Parallel()
	set := permission.NewSet("b:read", "a:read", "b:read")
	if !set.Holds("a:read") || set.Holds("a") || set.Holds("") || permission.NewSet().Holds("a:read") {
		t.Errorf("%+v holds what it should not, or not what it should", set)
	}
	if got := set.Missing("a:read", "c:read", "d:read"); got != "c:read" {
		t.Errorf("missing %q, want c:read", got)
	}
	if got := set.Missing("b:read", "a:read"); got != "" {
		t.Errorf("missing %q of what is held", got)
	}
}

func TestRememberWithinAnOperation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.following.Store(false)
	in := f.Tenant(t)
	ctx, id := f.user(t, in)
	operation := permission.Remember(ctx)
	f.want(operation, t, "before", "")
	f.take(t, in, id)
	f.want(operation, t, "later in the operation", "")
	f.want(ctx, t, "outside of it", fault.CodeForbidden)
	f.want(permission.Remember(ctx), t, "in the next operation", fault.CodeForbidden)
	other, _ := f.user(t, in)
	caller, err := identity.FromContext(other)
	if err != nil {
		t.Fatal(err)
	}
	f.want(identity.NewContext(operation, caller), t, "somebody else", "")
}

// A process without logins into tenants' schemas asks the platform, and hears the
// same.
func TestThePlatformKnowsPermissions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.permissions = permission.New(permission.Options{Platform: f.DB.PlatformStore(db.ServiceRouter)})
	in, other := f.Tenant(t), f.Tenant(t)
	ctx, user := f.user(t, in)
	for want, lists := range map[string][][]string{
		"":             {{"users:manage"}, {"users:read", "roles:read"}},
		"users:manage": {{"users:read", "users:manage"}, {"audit:read"}},
	} {
		if missing, err := f.permissions.Lacks(ctx, lists); err != nil || missing != want {
			t.Errorf("%v: %q %v, want %q", lists, missing, err, want)
		}
	}
	f.want(as(t, other, user), t, "in another tenant", fault.CodeForbidden)
	f.want(as(t, in, uuid.New()), t, "another user", fault.CodeForbidden)
	f.take(t, in, user)
	f.want(ctx, t, "without roles", fault.CodeForbidden)
	if _, err := f.permissions.Lacks(t.Context(), [][]string{{"users:read"}}); !fault.Is(err, fault.CodeUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}
}

// The router learns names of permissions, and nothing else of a tenant; others do
// not even learn those.
func TestOnlyTheRouterAsksThePlatform(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	in := f.Tenant(t)
	_, user := f.user(t, in)
	for _, login := range []string{"svc_auth", "svc_tenant", "svc_user", "svc_session", "svc_relay", "svc_verify"} {
		_, err := f.Connect(t, login).Exec(t.Context(), "SELECT platform.permissions_of($1, ARRAY[$2::uuid])", in.ID(), user)
		if err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", login, err)
		}
	}
	conn := f.Connect(t, "svc_router")
	var setting *string
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('app.tenant_id', true) FROM platform.permissions_of($1, ARRAY[$2::uuid]) LIMIT 1", in.ID(), user).Scan(&setting); err != nil {
		t.Fatal(err)
	}
	if setting != nil && *setting != "" {
		t.Errorf("app.tenant_id is %q after the call", *setting)
	}
}
