package db_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// Reads of one row, as sqlc writes them.
const (
	readWho = "-- name: Who :one\nSELECT current_user::text, current_setting('app.tenant_id'), display_name FROM users WHERE id = $1\n"
	readOwn = "-- name: Own :one\nSELECT pg_backend_pid()\n"
	// readAndLock is written so that nobody takes it for what it is.
	readAndLock = "-- name: Lock :one\nSELECT display_name FROM users WHERE id = $1\n\tFOR\tUPDATE\n"
	readDivide  = "-- name: Divide :one\nSELECT 1 / $1::int\n"
	readSlowly  = "-- name: Slowly :one\nSELECT pg_backend_pid(), display_name, pg_sleep(0.1)::text FROM users WHERE id = $1\n"
	readSleep   = "-- name: Sleep :one\nSELECT pg_sleep($1)::text\n"
	readText    = "-- name: Text :one\nSELECT $1::text, NULL::text, ''::text, repeat($1::text, 1000)\n"
	readMany    = "-- name: Many :one\nSELECT n FROM generate_series(1, $1::int) n\n"
)

func whoIs(ctx context.Context, store *db.Store, tenant db.Tenant) error {
	var role, id, name string
	if err := db.ReadRow(ctx, store, tenant, readWho, tenant.ID()).Scan(&role, &id, &name); err != nil {
		return err
	}
	if id != tenant.ID().String() || name != tenant.String() {
		return fmt.Errorf("tenant %s was answered as %s in %s: %s", tenant, id, role, name)
	}
	return nil
}

func refusedWith(err error, code string) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == code
}

// Reads of many tenants share pipelines with ones that fail, find nothing, answer
// much, cannot be encoded or lose their callers: each gets its own answer.
func TestReadsThatTravelTogether(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	store := narrow(t, env).Store(db.ServiceUser)
	fleet := make([]db.Tenant, 12)
	for i := range fleet {
		fleet[i] = env.Tenant(t)
		if err := upsert(t.Context(), store.Tenant(fleet[i]), canary(fleet[i])); err != nil {
			t.Fatal(err)
		}
	}
	group, ctx := errgroup.WithContext(t.Context())
	for worker := range 48 {
		random := rand.New(rand.NewPCG(uint64(worker), 2)) // repeatable on purpose
		group.Go(func() error {
			for range 200 {
				if err := travel(ctx, store, fleet, random); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// travel sends one read of some kind and checks its answer.
func travel(ctx context.Context, store *db.Store, fleet []db.Tenant, random *rand.Rand) error {
	i := random.IntN(len(fleet))
	tenant, other := fleet[i], fleet[(i+1)%len(fleet)]
	switch random.IntN(10) {
	case 0:
		var quotient int
		if err := db.ReadRow(ctx, store, tenant, readDivide, 0).Scan(&quotient); !refusedWith(err, "22012") {
			return fmt.Errorf("a division by zero: %w", err)
		}
	case 1:
		if _, err := store.Tenant(tenant).GetUser(ctx, other.ID()); !errors.Is(err, db.ErrNotFound) {
			return fmt.Errorf("a foreign row: %w", err)
		}
	case 2:
		text := tenant.String()
		var got, empty, long string
		var null *string
		if err := db.ReadRow(ctx, store, tenant, readText, text).Scan(&got, &null, &empty, &long); err != nil {
			return err
		}
		if got != text || null != nil || empty != "" || len(long) != 1000*len(text) {
			return fmt.Errorf("got %q, %v, %q and %d bytes", got, null, empty, len(long))
		}
	case 3:
		var first int
		if err := db.ReadRow(ctx, store, tenant, readMany, 1+random.IntN(500)).Scan(&first); err != nil || first != 1 {
			return fmt.Errorf("the first of many rows: %d, %w", first, err)
		}
	case 4:
		var quotient int
		if err := db.ReadRow(ctx, store, tenant, readDivide, "no number").Scan(&quotient); err == nil || refusedWith(err, "22012") {
			return fmt.Errorf("an argument that cannot be encoded: %w", err)
		}
	case 5:
		leaving, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(3000))*time.Microsecond)
		defer cancel()
		if err := whoIs(leaving, store, tenant); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("a caller that may leave: %w", err)
		}
	case 6:
		var quotient int
		if err := db.ReadRow(ctx, store, tenant, readDivide, panicking{}).Scan(&quotient); err == nil || !strings.Contains(err.Error(), "panic in an argument") {
			return fmt.Errorf("an argument that panics: %w", err)
		}
	default:
		return whoIs(ctx, store, tenant)
	}
	return nil
}

// panicking is an argument whose encoding panics.
type panicking struct{}

func (panicking) Value() (driver.Value, error) { panic("broken") }

// What looks like a read and locks or writes is refused by PostgreSQL.
func TestATravellingReadChangesNothing(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	store := narrow(t, env).Store(db.ServiceUser)
	tenant := env.Tenant(t)
	if err := upsert(t.Context(), store.Tenant(tenant), canary(tenant)); err != nil {
		t.Fatal(err)
	}
	var name string
	if err := db.ReadRow(t.Context(), store, tenant, readAndLock, tenant.ID()).Scan(&name); !refusedWith(err, "25006") {
		t.Errorf("got %v, want that the transaction is read-only", err)
	}
}

// A caller that leaves gets its answer at once, and what it left behind does not keep
// the connection from the next.
func TestACallerLeavesItsRead(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	store := narrow(t, env).Store(db.ServiceUser)
	tenant := env.Tenant(t)
	if err := upsert(t.Context(), store.Tenant(tenant), canary(tenant)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var slept string
	if err := db.ReadRow(ctx, store, tenant, readSleep, 600).Scan(&slept); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of its context", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := whoIs(ctx, store, tenant); err != nil {
		t.Errorf("the next read: %v", err)
	}
}

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
