package db

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tradesage/tradesage/migrations"
)

// MigrateOptions says which database to bring up to date, and how.
type MigrateOptions struct {
	// AdminURL is a superuser's URL. With it the database, the roles and the
	// hardening are created or renewed first; without it they must be there.
	AdminURL string
	// URL names host, port and database, as in Config.
	URL string
	// Secret derives the logins' passwords, as in Config.
	Secret []byte
	// OwnerSecret derives the owner's password, at least 16 bytes. It is not
	// Secret: the owner can make roles, and no serving process may become it.
	OwnerSecret []byte
	// Shards is how many tenant logins there are, 1 to 1000; it can only grow.
	Shards int
	// Workers is how many tenants are migrated at the same time; 4 by default.
	Workers int
	// LockTimeout bounds each wait for a table of a tenant; 5 s by default. A
	// tenant that runs into it is recorded as failed and the rest go on.
	LockTimeout time.Duration
	// PlatformSet and TenantSet replace the embedded migrations, in tests.
	PlatformSet, TenantSet fs.FS
	// Logger reports progress; slog.Default() if nil.
	Logger *slog.Logger
}

// MigrateReport says what a run did.
type MigrateReport struct {
	// Platform and Blueprints count the newly applied files of each set.
	Platform, Blueprints int
	// Tenants counts the schemas that were brought up to date, blanks included.
	Tenants int
	// Failures lists the tenants that were not, and why. They are tried again by
	// the next run.
	Failures []MigrateFailure
}

// MigrateFailure is one tenant that could not be migrated.
type MigrateFailure struct {
	Tenant  uuid.UUID
	Schema  string
	Version int
	Message string
}

// migrateLock lets one Migrate run at a time in a database. The numbers of the
// locks that queries take are in queries/platform.
const migrateLock = 7203010

// Migrate brings the platform schema, the shape and every tenant's schema up to
// date. It can be stopped at any point and run again: each file and each tenant
// is one transaction. Tenants that fail are in the report, not in the error.
func Migrate(ctx context.Context, o MigrateOptions) (MigrateReport, error) {
	var report MigrateReport
	if o.Shards < 1 || o.Shards > 1000 {
		return report, errShards
	}
	if len(o.OwnerSecret) < 16 || bytes.Equal(o.OwnerSecret, o.Secret) {
		return report, errOwnerSecret
	}
	if o.Workers <= 0 {
		o.Workers = 4
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = 5 * time.Second
	}
	if o.PlatformSet == nil {
		o.PlatformSet = migrations.Platform
	}
	if o.TenantSet == nil {
		o.TenantSet = migrations.Tenant
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	platform, err := readSet(o.PlatformSet, "platform")
	if err != nil {
		return report, err
	}
	tenant, err := readSet(o.TenantSet, "tenant")
	if err != nil {
		return report, err
	}
	if o.AdminURL != "" {
		if err := bootstrap(ctx, o); err != nil {
			return report, err
		}
	}
	conn, err := connectOwner(ctx, o)
	if err != nil {
		return report, err
	}
	defer closeConn(conn)
	if done, err := upToDate(ctx, conn, platform, tenant, o.Shards); err != nil || done {
		return report, err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrateLock); err != nil {
		return report, err
	}
	if report.Platform, err = migratePlatform(ctx, conn, o, platform); err != nil {
		return report, err
	}
	if err := addShards(ctx, conn, o.Shards); err != nil {
		return report, err
	}
	if report.Blueprints, err = migrateShape(ctx, conn, o, tenant); err != nil {
		return report, err
	}
	report.Tenants, report.Failures, err = migrateFleet(ctx, conn, o)
	return report, err
}

func connectOwner(ctx context.Context, o MigrateOptions) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	config.User, config.Password = ownerLogin, Password(o.OwnerSecret, ownerLogin)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, explainConnect(err)
	}
	return conn, nil
}

// migration is one file of a set.
type migration struct {
	version  int
	name     string
	sql      string
	checksum string
}

var fileName = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+\.sql$`)

// readSet reads a folder of migrations, numbered from 1 without a gap.
func readSet(fsys fs.FS, dir string) ([]migration, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	var set []migration
	for _, e := range entries {
		match := fileName.FindStringSubmatch(e.Name())
		if match == nil {
			return nil, fmt.Errorf("migration %s/%s: name must be NNNN_words.sql", dir, e.Name())
		}
		version, _ := strconv.Atoi(match[1]) // four digits, by the pattern
		if version != len(set)+1 {
			return nil, fmt.Errorf("migration %s/%s: number %d expected", dir, e.Name(), len(set)+1)
		}
		text, err := fs.ReadFile(fsys, dir+"/"+e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		set = append(set, migration{version, e.Name(), string(text), hex.EncodeToString(sum[:])})
	}
	return set, nil
}

func checksums(set []migration) []string {
	sums := []string{}
	for _, m := range set {
		sums = append(sums, m.checksum)
	}
	return sums
}

// upToDate asks in one query whether there is anything to do.
func upToDate(ctx context.Context, conn *pgx.Conn, platform, tenant []migration, shards int) (bool, error) {
	var havePlatform, haveTenant []string
	var haveShards, behind int
	err := conn.QueryRow(ctx, `
		SELECT ARRAY(SELECT checksum FROM platform.schema_migrations ORDER BY version),
		       ARRAY(SELECT checksum FROM platform.tenant_blueprints ORDER BY version),
		       (SELECT count(*) FROM platform.shards),
		       (SELECT count(*) FROM platform.tenants WHERE schema_version < $1)`, len(tenant)).
		Scan(&havePlatform, &haveTenant, &haveShards, &behind)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" { // nothing is there yet
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.Equal(havePlatform, checksums(platform)) && slices.Equal(haveTenant, checksums(tenant)) &&
		haveShards >= shards && behind == 0, nil
}

// pending returns the files after those that were applied, whose checksums the query
// finds in their order. It refuses a set in which an applied file has changed or is
// gone.
func pending(ctx context.Context, conn *pgx.Conn, query string, set []migration) ([]migration, error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	applied, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	if len(applied) > len(set) {
		return nil, fmt.Errorf("the database has %d migrations of a set of %d: it was migrated by a newer version", len(applied), len(set))
	}
	for i, sum := range applied {
		if set[i].checksum != sum {
			return nil, fmt.Errorf("migration %s was changed after it had been applied", set[i].name)
		}
	}
	return set[len(applied):], nil
}

func migratePlatform(ctx context.Context, conn *pgx.Conn, o MigrateOptions, set []migration) (int, error) {
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS platform.schema_migrations (
		version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return 0, err
	}
	todo, err := pending(ctx, conn, "SELECT checksum FROM platform.schema_migrations ORDER BY version", set)
	if err != nil {
		return 0, err
	}
	for i, m := range todo {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, m.sql); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "INSERT INTO platform.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)", m.version, m.name, m.checksum)
			return err
		})
		if err != nil {
			return i, fmt.Errorf("platform migration %s: %w", m.name, err)
		}
		o.Logger.InfoContext(ctx, "migrated platform", "file", m.name)
	}
	return len(todo), nil
}

func addShards(ctx context.Context, conn *pgx.Conn, shards int) error {
	_, err := conn.Exec(ctx, `
		INSERT INTO platform.shards (id, login)
		SELECT n, 'app_s' || lpad(n::text, greatest(2, length(n::text)), '0') FROM generate_series(0, $1::int - 1) n
		ON CONFLICT (id) DO NOTHING`, shards)
	return err
}

// migrateShape applies new tenant files to the shape, seals what they made, and
// keeps both as the blueprint for blanks and tenants.
func migrateShape(ctx context.Context, conn *pgx.Conn, o MigrateOptions, set []migration) (int, error) {
	todo, err := pending(ctx, conn, "SELECT checksum FROM platform.tenant_blueprints ORDER BY version", set)
	if err != nil {
		return 0, err
	}
	for i, m := range todo {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL ROLE "+provisionerRole+"; SET LOCAL search_path = "+shapeSchema+"; SET LOCAL app.tenant_id = '"+uuid.Nil.String()+"'"); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, m.sql); err != nil {
				return err
			}
			seal, err := sealNew(ctx, tx)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, fill(seal, uuid.Nil.String(), shapeSchema)); err != nil {
				return fmt.Errorf("seal: %w", err)
			}
			if _, err := tx.Exec(ctx, "SET LOCAL ROLE NONE"); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "INSERT INTO platform.tenant_blueprints (version, name, checksum, ddl) VALUES ($1, $2, $3, $4)",
				m.version, m.name, m.checksum, m.sql+seal)
			return err
		})
		if err != nil {
			return i, fmt.Errorf("tenant migration %s: %w", m.name, err)
		}
		o.Logger.InfoContext(ctx, "migrated the tenants' shape", "file", m.name)
	}
	return len(todo), nil
}
