package db_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func TestATenantSeesItsOwnRowsOnly(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.New(t), t.Context()
	a, b := env.Tenant(t), env.Tenant(t)
	store := env.DB.Store(db.ServiceUser)
	id := uuid.New()
	for tenant, name := range map[db.Tenant]string{a: "in a", b: "in b"} {
		if err := upsert(ctx, store.Tenant(tenant), tenantdb.UpsertUserParams{ID: id, Email: "x@y.test", DisplayName: name}); err != nil {
			t.Fatal(err)
		}
	}
	for tenant, name := range map[db.Tenant]string{a: "in a", b: "in b"} {
		user, err := store.Tenant(tenant).GetUser(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(name, user.DisplayName); diff != "" {
			t.Error(diff)
		}
	}
}

// A connection that cannot switch any more fails once, closed, and not for ever.
func TestAConnectionThatCannotSwitchIsNotReused(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	d := narrow(t, env)
	a := env.Tenant(t)
	store := d.Store(db.ServiceUser)
	uses := map[string]func() error{
		"query": func() error { return upsert(t.Context(), store.Tenant(a), canary(a)) },
		"transaction": func() error {
			return store.Tenant(a).Tx(t.Context(), func(q *tenantdb.Queries) error { return upsert(t.Context(), q, canary(a)) })
		},
	}
	for name, use := range uses {
		db.StuckConnection(t, d, a)
		if err := use(); err == nil {
			t.Errorf("%s: served by a connection in another role", name)
		}
		if err := use(); err != nil {
			t.Errorf("%s, the second time: %v", name, err)
		}
	}
}

// A backend may have missed a membership that was granted while it looked. The
// switch is tried on another connection then, once; a login that really is no
// member stays out.
func TestAMissedMembershipIsLookedForOnceMore(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	a := env.Tenant(t)
	at, admin := locate(t, env, a), env.Connect(t, "postgres")
	membership := " " + pgx.Identifier{at.schema}.Sanitize()
	uses := map[string]func(db.TenantQueries) error{
		"query": func(q db.TenantQueries) error { return upsert(t.Context(), q, canary(a)) },
		"transaction": func(q db.TenantQueries) error {
			return q.Tx(t.Context(), func(q *tenantdb.Queries) error { return upsert(t.Context(), q, canary(a)) })
		},
	}
	for name, use := range uses {
		tries, found := 0, false
		d := env.Observed(t, func(sql string) {
			if sql != "begin" && name == "transaction" {
				return
			}
			if tries++; tries == 2 && found {
				exec(t, admin, "GRANT"+membership+" TO "+at.login)
			}
		})
		exec(t, admin, "REVOKE"+membership+" FROM "+at.login)
		if err := use(d.Store(db.ServiceUser).Tenant(a)); err == nil || tries != 2 {
			t.Errorf("%s of no member: %v after %d tries", name, err, tries)
		}
		tries, found = 0, true
		if err := use(d.Store(db.ServiceUser).Tenant(a)); err != nil || tries != 2 {
			t.Errorf("%s of a member: %v after %d tries", name, err, tries)
		}
	}
}
