package db_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/tradesage/tradesage/db"
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
