// Package dbtest gives tests a real PostgreSQL and Redis: one child cluster a
// test package, migrated once, and a fresh tenant wherever a test wants one.
//
// A package that uses it hands its TestMain to Main, which stops the cluster.
package dbtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/backing"
)

// Shards is how many tenant logins a test database has.
const Shards = 4

// Secret derives the logins' passwords in test databases.
var Secret = []byte("a secret for tests, and only there")

// OwnerSecret derives the password of the schemas' owner in test databases.
var OwnerSecret = []byte("another one, that no service holds")

// Env is one migrated database with its Redis.
type Env struct {
	DB *db.DB
	// Redis is shared by the package's tests: use keys that start with Prefix.
	Redis  *redis.Client
	Prefix string
	// URL and AdminURL name the database for db.Config and db.MigrateOptions.
	URL, AdminURL string

	services *backing.Services
	database string
	admin    *adminConn
}

// adminConn is the superuser's one connection, for what tests set up.
type adminConn struct {
	mu   sync.Mutex
	conn *pgx.Conn
}

func (a *adminConn) tx(ctx context.Context, fn func(pgx.Tx) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return pgx.BeginFunc(ctx, a.conn, fn)
}

func (e *Env) close() {
	e.DB.Close()
	_ = e.Redis.Close()
	_ = e.admin.conn.Close(context.Background())
}

var shared struct {
	once     sync.Once
	services *backing.Services
	env      *Env
	err      error
}

// Main runs a package's tests and stops the cluster they started.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.env != nil {
		shared.env.close()
	}
	if shared.services != nil {
		if err := shared.services.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "dbtest:", err)
			code = max(code, 1)
		}
	}
	return code
}

// New returns the package's shared database. Tests that count or exhaust what
// is shared between tenants take NewDatabase instead.
func New(t testing.TB) *Env {
	t.Helper()
	shared.once.Do(func() {
		shared.services, shared.err = backing.Start(context.Background(), backing.Options{
			Temporary: true, Postgres: true, Redis: true,
		})
		if shared.err == nil {
			shared.env, shared.err = open(shared.services, "tradesage")
		}
	})
	if shared.err != nil {
		t.Fatalf("start the test databases: %v", shared.err)
	}
	e := *shared.env
	e.Prefix = "test:" + uuid.NewString() + ":"
	return &e
}

// NewDatabase returns a migrated database of its own in the package's cluster.
func NewDatabase(t testing.TB) *Env {
	t.Helper()
	New(t)
	e, err := open(shared.services, "test_"+strings.ToLower(suffix()[:12]))
	if err != nil {
		t.Fatalf("make a test database: %v", err)
	}
	t.Cleanup(e.close)
	return e
}

func open(services *backing.Services, database string) (*Env, error) {
	e := &Env{services: services, database: database, Prefix: "test:" + uuid.NewString() + ":"}
	e.URL = services.PostgresURL("nobody", "", database)
	e.AdminURL = services.PostgresURL("postgres", services.SuperuserPassword(), database)
	var log bytes.Buffer
	report, err := db.Migrate(context.Background(), db.MigrateOptions{
		AdminURL: e.AdminURL, URL: e.URL, Secret: Secret, OwnerSecret: OwnerSecret, Shards: Shards,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err == nil && len(report.Failures) > 0 {
		err = fmt.Errorf("%v", report.Failures)
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, log.String())
	}
	if e.DB, err = db.Open(db.Config{URL: e.URL, Secret: Secret}); err != nil {
		return nil, err
	}
	options, err := redis.ParseURL(services.RedisURL())
	if err != nil {
		return nil, err
	}
	e.Redis = redis.NewClient(options)
	conn, err := pgx.Connect(context.Background(), e.AdminURL)
	if err != nil {
		return nil, err
	}
	e.admin = &adminConn{conn: conn}
	return e, nil
}

// Tenant makes a fresh, active tenant and returns its proof. Its slug is "t-"
// and its schema's name.
func (e *Env) Tenant(t testing.TB) db.Tenant {
	t.Helper()
	ctx := t.Context()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	schema := "tenant_" + suffix()
	// In one transaction: a test beside this one would claim a blank that it sees.
	err = e.admin.tx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT platform.new_blank($1, $2)", id, schema); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE platform.tenants
			SET state = 'active', slug = $2, name = $3, claimed_at = now() WHERE id = $1`,
			id, "t-"+schema[len("tenant_"):], "Test "+id.String())
		return err
	})
	if err != nil {
		t.Fatalf("new tenant: %v", err)
	}
	tenant, _, err := e.DB.PlatformStore(db.ServiceTenant).Resolve(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// Observed opens the database once more, with an observer of each statement.
func (e *Env) Observed(t testing.TB, observe func(sql string)) *db.DB {
	t.Helper()
	observed, err := db.Open(db.Config{URL: e.URL, Secret: Secret, Observe: observe})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(observed.Close)
	return observed
}

// Connect opens a raw connection as any login: the attacker's, or with
// "postgres" the superuser's, to look behind the scenes.
func (e *Env) Connect(t testing.TB, login string) *pgx.Conn {
	t.Helper()
	password := db.Password(Secret, login)
	switch login {
	case "postgres":
		password = e.services.SuperuserPassword()
	case "tradesage_owner":
		password = db.Password(OwnerSecret, login)
	}
	conn, err := e.ConnectWith(t, login, password)
	if err != nil {
		t.Fatalf("connect as %s: %v", login, err)
	}
	return conn
}

// ConnectWith is Connect with a password of the caller's, which may be wrong.
func (e *Env) ConnectWith(t testing.TB, login, password string) (*pgx.Conn, error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), e.services.PostgresURL(login, password, e.database))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, nil
}

// suffix is 26 characters of [a-z2-7], as a tenant's schema name has.
func suffix() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}
