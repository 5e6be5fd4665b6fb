package db

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// progressEvery is how often a long fleet migration says how far it is.
const progressEvery = 2 * time.Second

// behind is a tenant whose schema is older than the shape.
type behind struct {
	ID      uuid.UUID
	Schema  string
	Version int
}

// migrateFleet brings blanks and then tenants up to date, one transaction each,
// on several connections. A tenant that fails is recorded and the rest go on.
func migrateFleet(ctx context.Context, conn *pgx.Conn, o MigrateOptions) (int, []MigrateFailure, error) {
	rows, err := conn.Query(ctx, `
		SELECT id, schema_name, schema_version FROM platform.tenants
		WHERE schema_version < (SELECT max(version) FROM platform.tenant_blueprints)
		ORDER BY state <> 'blank', id`)
	if err != nil {
		return 0, nil, err
	}
	fleet, err := pgx.CollectRows(rows, pgx.RowToStructByPos[behind])
	if err != nil || len(fleet) == 0 {
		return 0, nil, err
	}
	rows, err = conn.Query(ctx, "SELECT ddl FROM platform.tenant_blueprints ORDER BY version")
	if err != nil {
		return 0, nil, err
	}
	blueprints, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, nil, err
	}

	var mu sync.Mutex
	done, failures := 0, []MigrateFailure(nil)
	said := time.Now()
	record := func(t behind, failure error) {
		mu.Lock()
		defer mu.Unlock()
		if failure != nil {
			failures = append(failures, MigrateFailure{t.ID, t.Schema, t.Version, failure.Error()})
			o.Logger.ErrorContext(ctx, "tenant not migrated", "tenant_id", t.ID, "error", failure)
		} else {
			done++
		}
		if time.Since(said) > progressEvery {
			said = time.Now()
			o.Logger.InfoContext(ctx, "migrating tenants", "done", done, "failed", len(failures), "of", len(fleet))
		}
	}
	queue := make(chan behind)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(queue)
		for _, t := range fleet {
			select {
			case queue <- t:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range min(o.Workers, len(fleet)) {
		group.Go(func() error {
			worker, err := connectOwner(ctx, o)
			if err != nil {
				return err
			}
			defer closeConn(worker)
			for t := range queue {
				failure := migrateTenant(ctx, worker, o, t, blueprints)
				if worker.IsClosed() || ctx.Err() != nil {
					return fmt.Errorf("tenant %s: %w", t.ID, failure)
				}
				record(t, failure)
			}
			return nil
		})
	}
	err = group.Wait()
	return done, failures, err
}

// migrateTenant applies what one tenant lacks. The row lock keeps two workers,
// or a claim, from meeting in the same schema; the tenant's setting comes first
// because forced row level security binds the owner too, and a wrong value
// would let a data migration see nothing and succeed.
func migrateTenant(ctx context.Context, conn *pgx.Conn, o MigrateOptions, t behind, blueprints []string) error {
	var ddl strings.Builder
	fmt.Fprintf(&ddl, "BEGIN; SELECT FROM platform.tenants WHERE id = %s FOR UPDATE;\n", literal(t.ID.String()))
	fmt.Fprintf(&ddl, "SET LOCAL app.tenant_id = %s; SET LOCAL lock_timeout = %d; SET LOCAL search_path = %s; SET LOCAL ROLE %s;\n",
		literal(t.ID.String()), o.LockTimeout.Milliseconds(), quote(t.Schema), provisionerRole)
	for _, blueprint := range blueprints[t.Version:] {
		ddl.WriteString(fill(blueprint, t.ID.String(), t.Schema))
	}
	fmt.Fprintf(&ddl, ";SET LOCAL ROLE NONE; UPDATE platform.tenants SET schema_version = %d WHERE id = %s;\n", len(blueprints), literal(t.ID.String()))
	fmt.Fprintf(&ddl, "DELETE FROM platform.migration_failures WHERE tenant_id = %s; COMMIT;", literal(t.ID.String()))

	failure := conn.PgConn().Exec(ctx, ddl.String()).Close()
	if failure == nil || conn.IsClosed() {
		return failure
	}
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, `
		INSERT INTO platform.migration_failures (tenant_id, version, message) VALUES ($1, $2, $3)
		ON CONFLICT (tenant_id) DO UPDATE SET version = excluded.version, message = excluded.message, failed_at = now()`,
		t.ID, t.Version+1, failure.Error())
	if err != nil {
		return err
	}
	return failure
}
