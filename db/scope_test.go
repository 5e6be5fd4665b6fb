package db_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// narrow opens a second DB with one connection a shard, so that what one use
// leaves behind meets the next.
func narrow(t *testing.T, env *dbtest.Env) *db.DB {
	t.Helper()
	d, err := db.Open(db.Config{URL: env.URL, Secret: dbtest.Secret, ConnsPerShard: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// upserter is either the queries of a tenant or those of a transaction in it.
type upserter interface {
	UpsertUser(ctx context.Context, user tenantdb.UpsertUserParams) (int64, error)
}

func upsert(ctx context.Context, q upserter, user tenantdb.UpsertUserParams) error {
	_, err := q.UpsertUser(ctx, user)
	return err
}

func canary(tenant db.Tenant) tenantdb.UpsertUserParams {
	return tenantdb.UpsertUserParams{ID: tenant.ID(), Email: "canary@" + tenant.String(), DisplayName: tenant.String()}
}

func TestABrokenUseLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	store := narrow(t, env).Store(db.ServiceUser)
	errBroken := errors.New("broken")

	uses := map[string]func(*testing.T, db.Tenant){
		"an error in a transaction": func(t *testing.T, a db.Tenant) {
			err := store.Tenant(a).Tx(t.Context(), func(q *tenantdb.Queries) error {
				if err := upsert(t.Context(), q, canary(a)); err != nil {
					return err
				}
				return errBroken
			})
			if !errors.Is(err, errBroken) {
				t.Errorf("got %v", err)
			}
		},
		"a panic in a transaction": func(t *testing.T, a db.Tenant) {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = store.Tenant(a).Tx(t.Context(), func(q *tenantdb.Queries) error {
				_ = upsert(t.Context(), q, canary(a))
				panic("broken")
			})
		},
		"a context cancelled in a transaction": func(t *testing.T, a db.Tenant) {
			ctx, cancel := context.WithCancel(t.Context())
			err := store.Tenant(a).Tx(ctx, func(q *tenantdb.Queries) error {
				if err := upsert(ctx, q, canary(a)); err != nil {
					return err
				}
				cancel()
				_, err := q.GetUser(ctx, a.ID())
				return err
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		},
		"a context cancelled before commit": func(t *testing.T, a db.Tenant) {
			ctx, cancel := context.WithCancel(t.Context())
			err := store.Tenant(a).Tx(ctx, func(q *tenantdb.Queries) error {
				defer cancel()
				return upsert(ctx, q, canary(a))
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		},
		"a context cancelled before a query": func(t *testing.T, a db.Tenant) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := upsert(ctx, store.Tenant(a), canary(a)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		},
		"a failed statement whose error was swallowed": func(t *testing.T, a db.Tenant) {
			err := store.Tenant(a).Tx(t.Context(), func(q *tenantdb.Queries) error {
				if err := upsert(t.Context(), q, canary(a)); err != nil {
					return err
				}
				_ = q.Emit(t.Context(), "NOT A KIND", []byte(`{}`))
				return nil
			})
			if err == nil {
				t.Error("a transaction that rolled back reported success")
			}
		},
		"queries kept beyond their transaction": func(t *testing.T, a db.Tenant) {
			var kept *tenantdb.Queries
			if err := store.Tenant(a).Tx(t.Context(), func(q *tenantdb.Queries) error { kept = q; return nil }); err != nil {
				t.Fatal(err)
			}
			if err := upsert(t.Context(), kept, canary(a)); !errors.Is(err, db.ErrTxDone) {
				t.Errorf("got %v, want ErrTxDone", err)
			}
		},
	}
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := env.Tenant(t), env.Tenant(t)
			use(t, a)
			for _, tenant := range []db.Tenant{a, b} {
				if _, err := store.Tenant(tenant).GetUser(t.Context(), a.ID()); !errors.Is(err, db.ErrNotFound) {
					t.Errorf("tenant %s after it: got %v, want ErrNotFound", tenant, err)
				}
				if err := upsert(t.Context(), store.Tenant(tenant), canary(tenant)); err != nil {
					t.Errorf("tenant %s cannot be used after it: %v", tenant, err)
				}
			}
		})
	}
}

// 200 tenants, few connections, 100,000 operations in random order: not one row
// of another tenant may appear.
func TestNoForeignRowUnderLoad(t *testing.T) {
	t.Parallel()
	const tenants, workers, operations = 200, 16, 100_000
	env := dbtest.NewDatabase(t)
	store := narrow(t, env).Store(db.ServiceUser)
	fleet := make([]db.Tenant, tenants)
	for i := range fleet {
		fleet[i] = env.Tenant(t)
		if err := upsert(t.Context(), store.Tenant(fleet[i]), canary(fleet[i])); err != nil {
			t.Fatal(err)
		}
	}
	ids := make([]uuid.UUID, tenants)
	for i, tenant := range fleet {
		ids[i] = tenant.ID()
	}
	var ran atomic.Int64
	group, ctx := errgroup.WithContext(t.Context())
	for worker := range workers {
		random := rand.New(rand.NewPCG(uint64(worker), 1)) // repeatable on purpose
		group.Go(func() error {
			for ran.Add(1) <= operations {
				tenant, other := fleet[random.IntN(tenants)], fleet[random.IntN(tenants)]
				if err := operate(ctx, store, tenant, other, ids, random.IntN(10)); err != nil {
					return fmt.Errorf("tenant %s: %w", tenant, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// operate does one thing in tenant and fails if anything of another shows.
func operate(ctx context.Context, store *db.Store, tenant, other db.Tenant, ids []uuid.UUID, kind int) error {
	q := store.Tenant(tenant)
	own := func(user uuid.UUID, name string) error {
		if user != tenant.ID() || name != tenant.String() {
			return fmt.Errorf("row of %s appeared", name)
		}
		return nil
	}
	switch kind {
	case 0: // everything that any tenant has
		users, err := q.GetUsersByID(ctx, ids)
		if err != nil {
			return err
		}
		if len(users) != 1 {
			return fmt.Errorf("%d rows of %d tenants", len(users), len(ids))
		}
		return own(users[0].ID, users[0].DisplayName)
	case 1: // a transaction that writes and reads
		return q.Tx(ctx, func(q *tenantdb.Queries) error {
			name := tenant.String()
			user, err := q.UpdateProfile(ctx, tenantdb.UpdateProfileParams{ID: tenant.ID(), DisplayName: &name})
			if err != nil {
				return err
			}
			return own(user.ID, user.DisplayName)
		})
	case 2: // a transaction that rolls back
		errBack := errors.New("back")
		err := q.Tx(ctx, func(q *tenantdb.Queries) error {
			name := "must never be seen"
			if _, err := q.UpdateProfile(ctx, tenantdb.UpdateProfileParams{ID: tenant.ID(), DisplayName: &name}); err != nil {
				return err
			}
			return errBack
		})
		if !errors.Is(err, errBack) {
			return fmt.Errorf("rollback: %w", err)
		}
		return nil
	case 3: // a canceled read
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := q.GetUser(ctx, tenant.ID()); !errors.Is(err, context.Canceled) {
			return fmt.Errorf("canceled read: %w", err)
		}
		return nil
	case 4: // somebody else's row
		if other.ID() == tenant.ID() {
			return nil
		}
		if _, err := q.GetUser(ctx, other.ID()); !errors.Is(err, db.ErrNotFound) {
			return fmt.Errorf("foreign row: got %w", err)
		}
		return nil
	default:
		user, err := q.GetUser(ctx, tenant.ID())
		if err != nil {
			return err
		}
		return own(user.ID, user.DisplayName)
	}
}

func TestADirtyConnectionIsNotReused(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	d := narrow(t, env)
	a := env.Tenant(t)
	store := d.Store(db.ServiceUser)
	for range 3 {
		db.DirtyConnection(t, d, a)
		for range 2 {
			b := env.Tenant(t)
			if err := upsert(t.Context(), store.Tenant(b), canary(b)); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Tenant(b).GetUser(t.Context(), a.ID()); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
		}
	}
}
