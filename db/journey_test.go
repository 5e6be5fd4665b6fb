package db_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// A connection that died while nobody used it costs no read.
func TestReadsSurviveTheirConnection(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	store := narrow(t, env).Store(db.ServiceUser)
	tenant := env.Tenant(t)
	if err := upsert(t.Context(), store.Tenant(tenant), canary(tenant)); err != nil {
		t.Fatal(err)
	}
	admin := env.Connect(t, "postgres")
	for range 3 {
		var pid int
		if err := db.ReadRow(t.Context(), store, tenant, readOwn).Scan(&pid); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Exec(t.Context(), "SELECT pg_terminate_backend($1, 30000)", pid); err != nil {
			t.Fatal(err)
		}
		if err := whoIs(t.Context(), store, tenant); err != nil {
			t.Errorf("after the end of its connection: %v", err)
		}
	}
}

// PostgreSQL says so when it ends a connection; a read that was under way then is sent
// again.
func TestReadsSurviveTheEndOfTheirConnection(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	store := narrow(t, env).Store(db.ServiceUser)
	tenant := env.Tenant(t)
	var pid int
	if err := db.ReadRow(t.Context(), store, tenant, readOwn).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	group, ctx := errgroup.WithContext(t.Context())
	group.Go(func() error {
		var slept string
		return db.ReadRow(ctx, store, tenant, readSleep, 1).Scan(&slept)
	})
	admin, ended := env.Connect(t, "postgres"), false
	until(t, func() bool {
		err := admin.QueryRow(t.Context(), "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", pid).Scan(&ended)
		if err != nil {
			t.Fatal(err)
		}
		return ended
	})
	if err := group.Wait(); err != nil {
		t.Errorf("after the end of its connection: %v", err)
	}
}

// until waits for something that comes soon.
func until(t *testing.T, it func() bool) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !it() {
		select {
		case <-deadline:
			t.Fatal("it does not come")
		case <-tick.C:
		}
	}
}

// Reads whose callers have left keep their connection no longer than somebody waits
// for another read of the journey, however many follow the one that runs.
func TestWhoWaitsNoMoreKeepsNoConnection(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	for name, stays := range map[string]bool{"one stays": true, "all leave": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := narrow(t, env)
			store, tenant := d.Store(db.ServiceUser), env.Tenant(t)
			if err := upsert(t.Context(), store.Tenant(tenant), canary(tenant)); err != nil {
				t.Fatal(err)
			}
			leaving, leave := context.WithCancel(t.Context())
			defer leave()
			first := leaving
			if stays {
				first = t.Context()
			}
			var group errgroup.Group
			waiting := func(want int) { until(t, func() bool { return db.Waiting(t, d, tenant) == want }) }
			err := store.Tenant(tenant).Tx(t.Context(), func(*tenantdb.Queries) error { // it has the only connection
				group.Go(func() error { return sleep(first, store, tenant, 1, stays) })
				waiting(1)
				group.Go(func() error { return sleep(leaving, store, tenant, 600, false) })
				waiting(2)
				group.Go(func() error { return sleep(leaving, store, tenant, 600, false) })
				waiting(3)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			waiting(0)
			leave()
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
			next, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := whoIs(next, store, tenant); err != nil {
				t.Errorf("the next read: %v", err)
			}
		})
	}
}

// sleep reads slowly, and fails unless its caller stays or leaves as wanted.
func sleep(ctx context.Context, store *db.Store, tenant db.Tenant, seconds int, stays bool) error {
	var slept string
	err := db.ReadRow(ctx, store, tenant, readSleep, seconds).Scan(&slept)
	if !stays && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// A statement that was prepared for columns of another type is prepared anew, on each
// connection.
func TestReadsSurviveAChangeOfTheirTable(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	const conns = 3
	d, err := db.Open(db.Config{URL: env.URL, Secret: dbtest.Secret, ConnsPerShard: conns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	store, tenant := d.Store(db.ServiceUser), env.Tenant(t)
	if err := upsert(t.Context(), store.Tenant(tenant), canary(tenant)); err != nil {
		t.Fatal(err)
	}
	before := map[int]bool{}
	until(t, func() bool {
		connections(t, store, tenant, conns, before)
		return len(before) == conns
	})
	for _, schema := range []string{"tenant_shape", locate(t, env, tenant).schema} {
		if _, err := env.Connect(t, "postgres").Exec(t.Context(), "ALTER TABLE "+schema+".users ALTER COLUMN display_name TYPE varchar(200)"); err != nil {
			t.Fatal(err)
		}
	}
	after := map[int]bool{}
	connections(t, store, tenant, 1, after)
	until(t, func() bool {
		connections(t, store, tenant, conns, after)
		return len(after) == conns
	})
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the change cost connections: %s", diff)
	}
}

// connections notes who answers so many slow reads at once.
func connections(t *testing.T, store *db.Store, tenant db.Tenant, reads int, seen map[int]bool) {
	t.Helper()
	var group errgroup.Group
	pids := make([]int, reads)
	for i := range pids {
		group.Go(func() error {
			var name, slept string
			return db.ReadRow(t.Context(), store, tenant, readSlowly, tenant.ID()).Scan(&pids[i], &name, &slept)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		seen[pid] = true
	}
}

func TestReadsFailWithoutADatabase(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	env := dbtest.New(t)
	d, err := db.Open(db.Config{URL: "postgres://" + address + "/nothing", Secret: dbtest.Secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	tenant := env.Tenant(t)
	group, ctx := errgroup.WithContext(t.Context())
	for range 20 {
		group.Go(func() error {
			var unavailable interface{ Unavailable() bool }
			if err := whoIs(ctx, d.Store(db.ServiceUser), tenant); !errors.As(err, &unavailable) {
				return fmt.Errorf("got %w, want that it is unavailable", err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// Where no second connection is to be had, the first serves all.
func TestReadsLeaveTheirTurnToAConnection(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	target, err := pgx.ParseConfig(env.URL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := db.Open(db.Config{URL: "postgres://" + one(t, target) + "/" + target.Database + "?sslmode=disable", Secret: dbtest.Secret, ConnsPerShard: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	store, tenant := d.Store(db.ServiceUser), env.Tenant(t)
	if err := upsert(t.Context(), store.Tenant(tenant), canary(tenant)); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	connections(t, store, tenant, 1, seen)
	connections(t, store, tenant, 20, seen)
	if len(seen) != 1 {
		t.Errorf("%d connections", len(seen))
	}
}

// one returns an address that leads the first connection to PostgreSQL, and no other.
func one(t *testing.T, target *pgx.ConnConfig) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for first := true; ; first = false {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			if !first {
				_ = client.Close()
				continue
			}
			network, address := pgconn.NetworkAddress(target.Host, target.Port)
			server, err := net.Dial(network, address)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		}
	}()
	return listener.Addr().String()
}
