package db_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

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
