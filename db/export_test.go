package db

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Nothing outside this package can leave a connection inside a transaction;
// were something inside it to do so, the pool must not reuse the connection.
func dirtyConnection(t *testing.T, d *DB, tenant Tenant) {
	t.Helper()
	pool, err := d.shardPool(tenant.shard)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "begin"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), enterSQL, tenant.schema, tenant.id.String()); err != nil {
		t.Fatal(err)
	}
	conn.Release()
}

// DirtyConnection lets the external tests reach it.
var DirtyConnection = dirtyConnection

// StuckConnection leaves a connection in a tenant's role beyond its transaction,
// from where no switch is possible.
func StuckConnection(t *testing.T, d *DB, tenant Tenant) {
	t.Helper()
	pool, err := d.shardPool(tenant.shard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "SET ROLE "+quote(tenant.schema)); err != nil {
		t.Fatal(err)
	}
}

// ReadRow sends a statement of a test as sqlc's code sends its own.
func ReadRow(ctx context.Context, s *Store, tenant Tenant, sql string, args ...any) pgx.Row {
	return s.Tenant(tenant).scope.QueryRow(ctx, sql, args...)
}

// Waiting is how many reads wait for a connection of the tenant's login.
func Waiting(t *testing.T, d *DB, tenant Tenant) int {
	t.Helper()
	pool, err := d.shardPool(tenant.shard)
	if err != nil {
		t.Fatal(err)
	}
	pool.reads.mu.Lock()
	defer pool.reads.mu.Unlock()
	return len(pool.reads.waiting)
}
