package db

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tradesage/tradesage/db/jobs"
)

// Jobs returns the client that hands over and runs what follows from the outbox.
// It has connections of its own beside the relay's: one listens, the others
// fetch jobs and note how they ended. It opens none before it is used.
func (d *DB) Jobs(o jobs.Options) (*jobs.Client, error) {
	pool, err := d.pool(string(ServiceRelay)+" jobs", string(ServiceRelay), d.config.ConnsPerService+2)
	if err != nil {
		return nil, err
	}
	o.PollOnly = o.PollOnly || d.config.Pooler == PoolerTransaction
	if o.Logger == nil {
		o.Logger = d.config.Logger
	}
	return jobs.New(pool.Pool, o)
}

// migrateQueue brings River's tables up to date as the superuser, who owns them,
// and grants them to the relay alone: jobs carry mails, and mails carry codes.
func migrateQueue(ctx context.Context, o MigrateOptions, target *pgx.ConnConfig) error {
	config, err := pgxpool.ParseConfig(o.AdminURL)
	if err != nil {
		return fmt.Errorf("admin database URL: %w", err)
	}
	config.ConnConfig, config.MaxConns = target.Copy(), 2
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	applied, err := jobs.Migrate(ctx, pool, o.Logger)
	if err != nil {
		return err
	}
	if applied > 0 {
		o.Logger.InfoContext(ctx, "migrated the job queue", "steps", applied)
	}
	if _, err := pool.Exec(ctx, queueGrants); err != nil {
		return fmt.Errorf("grant the job queue: %w", err)
	}
	return nil
}

// queueGrants gives the relay what River's client needs and no more: it cannot
// change the tables themselves.
const queueGrants = `
GRANT USAGE ON SCHEMA river TO svc_relay;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA river TO svc_relay;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA river TO svc_relay;
REVOKE INSERT, UPDATE, DELETE ON river.river_migration FROM svc_relay;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA river FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA river TO svc_relay`
