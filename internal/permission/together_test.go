package permission_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
)

// crowd is a tenant whose users each hold a permission of their own.
type crowd struct {
	*dbtest.Env
	tenant db.Tenant
	schema string
	users  []uuid.UUID
	// do runs a statement as the superuser, always on the same connection.
	do func(statement string, args ...any) error
}

// newCrowd makes users who each hold the permission named by own, and those of
// people likewise.
func newCrowd(t *testing.T, env *dbtest.Env, n int, people ...uuid.UUID) *crowd {
	t.Helper()
	conn := env.Connect(t, "postgres")
	c := &crowd{Env: env, tenant: env.Tenant(t), users: people}
	c.do = func(statement string, args ...any) error {
		_, err := conn.Exec(t.Context(), statement, args...)
		return err
	}
	for range n {
		c.users = append(c.users, uuid.Must(uuid.NewV7()))
	}
	if err := conn.QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", c.tenant.ID()).Scan(&c.schema); err != nil {
		t.Fatal(err)
	}
	var own []string
	for _, user := range c.users {
		own = append(own, c.own(user))
	}
	for _, statement := range []string{
		"INSERT INTO {schema}.users (id, email) SELECT id, id || '@people.test' FROM unnest($1::uuid[], $2::text[]) AS u(id, own)",
		"INSERT INTO {schema}.roles (id, key, name, permissions) SELECT id, 'r' || id, 'Role', ARRAY[own, 'all:read'] FROM unnest($1::uuid[], $2::text[]) AS u(id, own)",
		"INSERT INTO {schema}.user_roles (user_id, role_id) SELECT id, id FROM unnest($1::uuid[], $2::text[]) AS u(id, own)",
	} {
		c.exec(t, statement, c.users, own)
	}
	return c
}

func (c *crowd) own(user uuid.UUID) string { return user.String() + "@" + c.tenant.ID().String() }

func (c *crowd) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if err := c.do(strings.ReplaceAll(statement, "{schema}", c.schema), args...); err != nil {
		t.Fatal(err)
	}
}

func (c *crowd) hold(t *testing.T) {
	c.exec(t, "BEGIN")
	c.exec(t, "LOCK {schema}.user_roles IN ACCESS EXCLUSIVE MODE")
}

func (c *crowd) release(t *testing.T) { c.exec(t, "ROLLBACK") }

// readers are both ways to the tenants' permissions, over connections that tell of
// each statement.
func readers(t *testing.T, env *dbtest.Env, count *atomic.Int64) map[string]permission.Options {
	observed := env.Observed(t, func(sql string) {
		if strings.Contains(sql, "ListPermissionsOf") {
			count.Add(1)
		}
	})
	following := func() bool { return true }
	return map[string]permission.Options{
		"in tenants": {Store: observed.Store(db.ServiceUser), Following: following},
		"platform":   {Platform: observed.PlatformStore(db.ServiceRouter), Following: following},
	}
}

// answer is what somebody was told.
type answer struct {
	crowd *crowd
	user  uuid.UUID
	set   permission.Set
	err   error
}

// askAll asks for each user of the crowds, times times, all at once; what it returns
// waits for the answers.
func askAll(ctx context.Context, p *permission.Permissions, times int, crowds ...*crowd) func() []answer {
	var (
		mu   sync.Mutex
		out  []answer
		work sync.WaitGroup
	)
	for _, c := range crowds {
		for _, user := range c.users {
			for range times {
				work.Go(func() {
					caller := &identity.Caller{Subject: user, Session: uuid.New(), Tenant: c.tenant}
					set, err := p.Of(identity.NewContext(ctx, caller))
					mu.Lock()
					defer mu.Unlock()
					out = append(out, answer{c, user, set, err})
				})
			}
		}
	}
	return func() []answer { work.Wait(); return out }
}

// Nobody gets what somebody else may do, however many ask in the same moment: of two
// tenants, with a user who is in both, one who is deactivated, one whose roles cannot
// be read, one of whom nothing is known, and a tenant of which nothing can be read.
func TestNobodyGetsAnothersPermissions(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	for name, options := range readers(t, env, new(atomic.Int64)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both, stranger := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
			a, b, broken := newCrowd(t, env, 40, both), newCrowd(t, env, 40, both), newCrowd(t, env, 5)
			deactivated, unreadable := a.users[3], b.users[7]
			a.exec(t, "UPDATE {schema}.users SET state = 'deactivated' WHERE id = $1", deactivated)
			b.exec(t, "UPDATE {schema}.roles SET permissions = ARRAY['all:read', NULL] WHERE id = $1", unreadable)
			a.users = append(a.users, stranger, b.users[5])
			broken.exec(t, "ALTER TABLE {schema}.roles RENAME TO gone")

			p := permission.New(options)
			a.hold(t)
			b.hold(t)
			answers := askAll(t.Context(), p, 3, a, b, broken)
			for _, c := range []*crowd{a, b} {
				for p.Asking(c.tenant) < len(c.users) {
					runtime.Gosched()
				}
			}
			a.release(t)
			b.release(t)
			for _, got := range answers() {
				want := []string{got.crowd.own(got.user)}
				switch {
				case got.crowd == broken, got.crowd == b && got.user == unreadable:
					if got.err == nil {
						t.Errorf("%s, of whom nothing can be read, got %v", got.user, got.set)
					}
					continue
				case got.crowd == a && (got.user == deactivated || got.user == stranger || got.user == b.users[5]):
					want = nil
				}
				var held []string
				for _, c := range []*crowd{a, b, broken} {
					for _, user := range append(c.users, stranger) {
						if name := c.own(user); got.set.Holds(name) {
							held = append(held, name)
						}
					}
				}
				if diff := cmp.Diff(want, held); diff != "" || got.err != nil || got.set.Holds("all:read") != (want != nil) {
					t.Errorf("%s of %s: %v\n%s", got.user, got.crowd.tenant.ID(), got.err, diff)
				}
			}
		})
	}
}

// However many users ask while two readings are under way, they are few statements;
// and what they read is kept.
func TestManyUsersAreFewStatements(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	var count atomic.Int64
	p := permission.New(readers(t, env, &count)["in tenants"])
	c := newCrowd(t, env, 600)
	c.hold(t)
	answers := askAll(t.Context(), p, 1, c)
	for p.Asking(c.tenant) < len(c.users) {
		runtime.Gosched()
	}
	c.release(t)
	for _, got := range answers() {
		if got.err != nil || !got.set.Holds(c.own(got.user)) {
			t.Errorf("%s: %v", got.user, got.err)
		}
	}
	// Two that began at once, and 256 users in each of the others.
	if n := count.Load(); n > 5 {
		t.Errorf("%d statements for %d users", n, len(c.users))
	}
	before := count.Load()
	again := askAll(t.Context(), p, 1, c)
	for _, got := range again() {
		if got.err != nil || !got.set.Holds(c.own(got.user)) {
			t.Errorf("%s, the second time: %v", got.user, got.err)
		}
	}
	if n := count.Load(); n != before {
		t.Errorf("%d more statements for what is known", n-before)
	}
}

// A change while a reading is under way: who asks after it is not answered with what
// was read before it.
func TestAReadingThatBeganBeforeAChangeIsNotShared(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	var count atomic.Int64
	p := permission.New(readers(t, env, &count)["in tenants"])
	c := newCrowd(t, env, 1)
	user := c.users[0]
	ctx := identity.NewContext(t.Context(), &identity.Caller{Subject: user, Session: uuid.New(), Tenant: c.tenant})
	c.hold(t)
	first := make(chan error, 1)
	go func() { _, err := p.Of(ctx); first <- err }()
	for count.Load() < 1 {
		runtime.Gosched()
	}
	p.Drop(c.tenant.ID(), user)
	second := make(chan answer, 1)
	go func() { set, err := p.Of(ctx); second <- answer{set: set, err: err} }()
	for count.Load() < 2 { // it begins a reading of its own
		runtime.Gosched()
	}
	c.exec(t, "DELETE FROM {schema}.user_roles")
	c.exec(t, "COMMIT")
	if err := <-first; err != nil {
		t.Error(err)
	}
	if got := <-second; got.err != nil || got.set.Holds(c.own(user)) {
		t.Errorf("after the change: %v %v", got.set, got.err)
	}
}

// Who goes away takes nobody along.
func TestWhoLeavesTakesNobodyAlong(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	var count atomic.Int64
	p := permission.New(readers(t, env, &count)["in tenants"])
	c := newCrowd(t, env, 30)
	c.hold(t)
	leaving, leave := context.WithCancel(t.Context())
	gone := askAll(leaving, p, 1, c)
	for count.Load() < 2 {
		runtime.Gosched()
	}
	staying := askAll(t.Context(), p, 1, c)
	for p.Asking(c.tenant) < len(c.users) {
		runtime.Gosched()
	}
	leave()
	for _, got := range gone() {
		if got.err == nil {
			t.Error("who has left was answered")
		}
	}
	c.release(t)
	for _, got := range staying() {
		if got.err != nil || !got.set.Holds(c.own(got.user)) {
			t.Errorf("%s: %v", got.user, got.err)
		}
	}
}

// One who asks alone waits for nothing but the statement.
func BenchmarkAlone(b *testing.B) {
	env := dbtest.New(b)
	p := permission.New(permission.Options{Store: env.DB.Store(db.ServiceUser)})
	ctx := identity.NewContext(b.Context(), &identity.Caller{Subject: uuid.New(), Session: uuid.New(), Tenant: env.Tenant(b)})
	for b.Loop() {
		if _, err := p.Of(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
