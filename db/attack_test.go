package db_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
)

const insufficientPrivilege = "42501"

// place is what an attacker who has broken into one login knows of a tenant.
type place struct {
	id            uuid.UUID
	schema, login string
}

func locate(t *testing.T, env *dbtest.Env, tenant db.Tenant) place {
	t.Helper()
	p := place{id: tenant.ID()}
	err := env.Connect(t, "postgres").QueryRow(t.Context(), `
		SELECT t.schema_name, s.login FROM platform.tenants t JOIN platform.shards s ON s.id = t.shard
		WHERE t.id = $1`, tenant.ID()).Scan(&p.schema, &p.login)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// twoTenants returns two tenants with one user each; where sameShard says so,
// one login may enter both.
func twoTenants(t *testing.T, env *dbtest.Env, sameShard bool) (a, b place) {
	t.Helper()
	seen := []place{}
	for range 2*dbtest.Shards + 1 {
		tenant := env.Tenant(t)
		if err := upsert(t.Context(), env.DB.Store(db.ServiceUser).Tenant(tenant), tenantdb.UpsertUserParams{
			ID: uuid.New(), Email: "canary@" + tenant.String(), DisplayName: tenant.String(),
		}); err != nil {
			t.Fatal(err)
		}
		p := locate(t, env, tenant)
		for _, other := range seen {
			if (other.login == p.login) == sameShard {
				return other, p
			}
		}
		seen = append(seen, p)
	}
	t.Fatal("the shards are not filled in turn")
	return a, b
}

// enter is the switch, as the product sends it, on an attacker's connection.
func enter(t *testing.T, tx pgx.Tx, role string, tenant uuid.UUID) {
	t.Helper()
	if _, err := tx.Exec(t.Context(), "SELECT set_config('role', $1, true), set_config('app.tenant_id', $2, true)", role, tenant.String()); err != nil {
		t.Fatal(err)
	}
}

func begin(t *testing.T, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// refused asserts that one statement fails with the SQLSTATE, in a savepoint so
// that the next can be tried.
func refused(t *testing.T, tx pgx.Tx, state, sql string, args ...any) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), tx, func(sp pgx.Tx) error {
		_, err := sp.Exec(t.Context(), sql, args...)
		return err
	})
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != state {
		t.Errorf("%s: got %v, want SQLSTATE %s", sql, err, state)
	}
}

func TestNoTenantNoQuery(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.New(t), t.Context()
	store := env.DB.PlatformStore(db.ServiceAuth)
	var none db.Tenant
	_, err := store.Tenant(none).GetUser(ctx, uuid.New())
	errs := []error{err, upsert(ctx, store.Tenant(none), tenantdb.UpsertUserParams{})}
	_, err = store.PlatformFor(none).GetTenant(ctx, uuid.New())
	errs = append(errs, err)
	_, err = store.Tenant(none).ListPermissions(ctx, uuid.New())
	errs = append(errs, err,
		store.Tenant(none).Tx(ctx, func(*tenantdb.Queries) error { t.Error("entered"); return nil }),
		store.PlatformFor(none).Tx(ctx, func(*platformdb.Queries) error { t.Error("entered"); return nil }))
	for i, err := range errs {
		if !errors.Is(err, db.ErrNoTenant) {
			t.Errorf("use %d: got %v, want ErrNoTenant", i, err)
		}
	}
	if _, _, err := store.Resolve(ctx, uuid.New()); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("unknown tenant: got %v, want ErrNotFound", err)
	}
}

func TestABrokenLoginStaysInItsTenant(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.New(t), t.Context()
	a, b := twoTenants(t, env, true)
	conn := env.Connect(t, a.login)

	t.Run("wrong tenant id under the right role", func(t *testing.T) {
		tx := begin(t, conn)
		enter(t, tx, a.schema, b.id)
		var n int
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM users").Scan(&n); err != nil || n != 0 {
			t.Errorf("rows seen: %d, %v; want 0", n, err)
		}
		refused(t, tx, "42501", "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'x')")
		refused(t, tx, "23514", "INSERT INTO users (id, email, tenant_id) VALUES (gen_random_uuid(), 'x', $1)", b.id)
	})
	t.Run("no tenant id", func(t *testing.T) {
		tx := begin(t, env.Connect(t, a.login))
		if _, err := tx.Exec(ctx, "SELECT set_config('role', $1, true)", a.schema); err != nil {
			t.Fatal(err)
		}
		refused(t, tx, "42704", "SELECT * FROM users")
	})
	t.Run("inside the right tenant", func(t *testing.T) {
		tx := begin(t, conn)
		enter(t, tx, a.schema, a.id)
		other := pgx.Identifier{b.schema, "users"}.Sanitize()
		refused(t, tx, insufficientPrivilege, "SELECT * FROM "+other)
		refused(t, tx, insufficientPrivilege, "DELETE FROM "+other)
		refused(t, tx, insufficientPrivilege, "SELECT * FROM tenant_shape.users")
		for _, table := range []string{"identities", "password_credentials", "tenants", "sessions", "signing_keys", "outbox", "audit_events", "shards", "tenant_blueprints"} {
			refused(t, tx, insufficientPrivilege, "SELECT * FROM platform."+table)
		}
		refused(t, tx, insufficientPrivilege, "SELECT set_config('role', $1, true)", b.schema)
		refused(t, tx, insufficientPrivilege, "SELECT set_config('app.tenant_id', $1, true)", b.id.String())
		refused(t, tx, insufficientPrivilege, "UPDATE users SET display_name = set_config('role', 'none', true)")
		refused(t, tx, insufficientPrivilege, "SELECT * FROM users ORDER BY set_config('app.tenant_id', $1, false)", b.id.String())
		refused(t, tx, insufficientPrivilege, "CREATE TEMP TABLE loot (x text)")
		refused(t, tx, insufficientPrivilege, "CREATE TABLE loot (x text)")
		refused(t, tx, insufficientPrivilege, "DO $$ BEGIN PERFORM 1; END $$")
		refused(t, tx, insufficientPrivilege, "CREATE FUNCTION platform.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
		refused(t, tx, insufficientPrivilege, "ALTER TABLE users DISABLE ROW LEVEL SECURITY")
		refused(t, tx, insufficientPrivilege, "DROP POLICY tenant_isolation ON users")
		refused(t, tx, insufficientPrivilege, "UPDATE audit_events SET action = 'nothing'")
		refused(t, tx, insufficientPrivilege, "DELETE FROM audit_events")
		refused(t, tx, insufficientPrivilege, "SELECT platform.new_blank(gen_random_uuid(), 'tenant_aaaaaaaaaaaaaaaaaaaaaaaaaa')")
		refused(t, tx, insufficientPrivilege, "SELECT platform.resolve_tenant($1)", b.id)
		refused(t, tx, insufficientPrivilege, "COPY users TO PROGRAM 'cat'")
		refused(t, tx, insufficientPrivilege, "UPDATE users SET tenant_id = gen_random_uuid()")
	})
	t.Run("a statement prepared before the switch", func(t *testing.T) {
		tx := begin(t, env.Connect(t, a.login))
		if _, err := tx.Exec(ctx, "PREPARE leave AS SELECT set_config('role', '"+b.schema+"', true)"); err != nil {
			t.Fatal(err)
		}
		enter(t, tx, a.schema, a.id)
		refused(t, tx, insufficientPrivilege, "EXECUTE leave")
	})
	t.Run("without the switch", func(t *testing.T) {
		tx := begin(t, env.Connect(t, a.login))
		refused(t, tx, "42704", "SELECT * FROM users") // the policy, evaluated while planning
		if _, err := tx.Exec(ctx, "SELECT set_config('app.tenant_id', $1, true)", a.id.String()); err != nil {
			t.Fatal(err)
		}
		refused(t, tx, insufficientPrivilege, "SELECT * FROM users") // the shape's
		refused(t, tx, insufficientPrivilege, "SELECT * FROM "+pgx.Identifier{a.schema, "users"}.Sanitize())
	})
}

// What PostgreSQL gives to everybody reaches past schemas and policies.
func TestATenantCannotReachWhatAllShare(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.New(t), t.Context()
	a, b := twoTenants(t, env, true)
	tx := begin(t, env.Connect(t, a.login))
	enter(t, tx, a.schema, a.id)
	for _, call := range []string{
		// Large objects are in no schema and keep their owner from being dropped.
		"lo_create(0)", "lo_creat(-1)", "lo_from_bytea(0, 'x')", "lo_get(1)", "lo_put(1, 0, 'x')", "lo_open(1, 131072)", "lo_unlink(1)",
		"lo_import('/etc/passwd')", "lo_export(1, '/tmp/loot')",
		// A session's lock outlives the transaction; these numbers are the product's.
		"pg_advisory_lock(7203001)", "pg_try_advisory_lock(7203010)", "pg_advisory_xact_lock(7203002)", "pg_try_advisory_lock_shared(1, 2)", "pg_advisory_unlock_all()",
		"pg_notify('x', 'y')", "pg_logical_emit_message(false, 'x', 'y')",
		"pg_terminate_backend(pg_backend_pid())", "pg_cancel_backend(pg_backend_pid())",
		"pg_read_file('PG_VERSION')", "pg_read_binary_file('PG_VERSION')", "pg_ls_dir('.')", "pg_stat_file('PG_VERSION')", "pg_read_file_old('PG_VERSION', 0, 1)",
		"pg_create_physical_replication_slot('x')", "pg_reload_conf()", "pg_stat_reset()",
		// Functions that run a text as a query run it as this role.
		"query_to_xml('SELECT set_config(''role'', ''none'', true)', true, true, '')",
		"query_to_xml('SELECT * FROM platform.tenants', true, true, '')",
		"query_to_xml('SELECT * FROM " + b.schema + ".users', true, true, '')",
		"table_to_xml('" + b.schema + ".users', true, true, '')",
		"ts_rewrite('a', 'SELECT set_config(''role'', ''none'', true)::tsquery, ''a''::tsquery')",
	} {
		refused(t, tx, insufficientPrivilege, "SELECT "+call)
	}
	refused(t, tx, "0A000", "SELECT query_to_xml('RESET ROLE', true, true, '')")
	refused(t, tx, "42P11", "SELECT ts_stat('RESET ROLE')")
	refused(t, tx, insufficientPrivilege, "UPDATE pg_settings SET setting = $1 WHERE name = 'role'", b.schema)
	refused(t, tx, insufficientPrivilege, "UPDATE pg_settings SET setting = $1 WHERE name = 'app.tenant_id'", b.id.String())
	refused(t, tx, insufficientPrivilege, "ALTER ROLE "+a.login+" SET search_path = platform")
	refused(t, tx, insufficientPrivilege, "ALTER ROLE "+b.schema+" SET search_path = platform")
	for _, ddl := range []string{
		"VIEW v AS SELECT 1", "DOMAIN d AS int", "TYPE y AS (x int)", "SEQUENCE s", "SCHEMA mine", "EXTENSION dblink",
		"FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "OPERATOR !! (FUNCTION = int4pl, LEFTARG = int4, RIGHTARG = int4)",
		"STATISTICS x ON id, email FROM users", "INDEX ON users (email)", "POLICY p ON users USING (true)",
		"TRIGGER x BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "PUBLICATION p",
	} {
		refused(t, tx, insufficientPrivilege, "CREATE "+ddl)
	}
	// Other sessions' statements, of which one may hold a value, do not show.
	var shown int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE pid <> pg_backend_pid() AND query NOT IN ('', '<insufficient privilege>')`).Scan(&shown); err != nil || shown != 0 {
		t.Errorf("statements of other sessions seen: %d, %v; want 0", shown, err)
	}
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM pg_stats WHERE schemaname = $1 OR schemaname = 'platform'", b.schema).Scan(&shown); err != nil || shown != 0 {
		t.Errorf("statistics of other tables seen: %d, %v; want 0", shown, err)
	}
}

func TestRolesOutsideTheShardAreClosed(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	a, b := twoTenants(t, env, false)
	tx := begin(t, env.Connect(t, a.login))
	for _, role := range []string{b.schema, b.login, "svc_auth", "svc_tenant", "platform_scoped", "tradesage_owner", "tradesage_provisioner", "tenant_shape", "postgres", "pg_execute_server_program"} {
		refused(t, tx, insufficientPrivilege, "SET LOCAL ROLE "+role)
		refused(t, tx, insufficientPrivilege, "SELECT set_config('role', $1, true)", role)
		if role != a.login {
			refused(t, tx, insufficientPrivilege, "SET SESSION AUTHORIZATION "+role)
		}
	}
}

func TestTheRefillerCanOnlyRefill(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	a, _ := twoTenants(t, env, true)
	tx := begin(t, env.Connect(t, "svc_tenant"))
	refused(t, tx, insufficientPrivilege, "GRANT "+a.schema+" TO svc_tenant")
	refused(t, tx, insufficientPrivilege, "GRANT pg_execute_server_program TO svc_tenant")
	refused(t, tx, insufficientPrivilege, "CREATE ROLE helper")
	refused(t, tx, insufficientPrivilege, "ALTER ROLE svc_tenant CREATEROLE")
	refused(t, tx, insufficientPrivilege, "SET LOCAL ROLE tradesage_provisioner")
	refused(t, tx, insufficientPrivilege, "CREATE SCHEMA mine")
	refused(t, tx, insufficientPrivilege, "CREATE TEMP TABLE loot (x text)")
	refused(t, tx, insufficientPrivilege, "COPY platform.shards FROM PROGRAM 'id'")
	refused(t, tx, insufficientPrivilege, "COPY platform.shards TO '/tmp/loot'")
	refused(t, tx, insufficientPrivilege, "INSERT INTO platform.tenant_blueprints (version, name, checksum, ddl) VALUES (99, 'x', 'x', 'ALTER ROLE svc_tenant SUPERUSER')")
	refused(t, tx, insufficientPrivilege, "UPDATE platform.tenant_blueprints SET ddl = 'ALTER ROLE svc_tenant SUPERUSER'")
	refused(t, tx, insufficientPrivilege, "UPDATE platform.tenants SET schema_name = schema_name")
	refused(t, tx, insufficientPrivilege, "UPDATE platform.tenants SET shard = 0")
	refused(t, tx, insufficientPrivilege, "SELECT hash FROM platform.password_credentials")
	refused(t, tx, insufficientPrivilege, "SELECT * FROM platform.signing_keys")
	refused(t, tx, insufficientPrivilege, "CREATE OR REPLACE FUNCTION platform.new_blank(uuid, text) RETURNS void LANGUAGE sql AS ''")
	for _, name := range []string{
		"", "postgres", "tenant_shape", "platform", "tenant_AAAAAAAAAAAAAAAAAAAAAAAAAA",
		`tenant_aaaaaaaaaaaaaaaaaaaaaaaaaa"; ALTER ROLE svc_tenant SUPERUSER; --`,
		"tenant_aaaaaaaaaaaaaaaaaaaaaaaaaa\nx", "tenant_aaaaaaaaaaaaaaaaaaaaaaaaa",
	} {
		refused(t, tx, "42602", "SELECT platform.new_blank(gen_random_uuid(), $1)", name)
	}
	refused(t, tx, "42710", "SELECT platform.new_blank(gen_random_uuid(), $1)", a.schema)
}

func TestServicesCannotReadWhatIsNotTheirs(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	secrets := map[string]string{
		"credentials":  "SELECT hash FROM platform.password_credentials",
		"refresh":      "SELECT * FROM platform.refresh_tokens",
		"private keys": "SELECT private_sealed FROM platform.signing_keys",
		"claim keys":   "SELECT key_sealed FROM platform.claim_keys",
		"directory":    "SELECT * FROM platform.tenants",
		"sessions":     "SELECT * FROM platform.sessions",
		"memberships":  "SELECT * FROM platform.memberships",
		"outbox":       "SELECT * FROM platform.outbox",
		"jobs":         "SELECT args FROM river.river_job",
	}
	allowed := map[string][]string{
		"svc_auth":    {"credentials", "refresh", "private keys", "claim keys", "directory", "sessions", "memberships"},
		"svc_tenant":  {"directory", "memberships"},
		"svc_router":  {"claim keys", "sessions"},
		"svc_relay":   {"outbox", "jobs"},
		"svc_user":    {},
		"svc_session": {},
		"svc_verify":  {"claim keys"},
	}
	for login, may := range allowed {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			tx := begin(t, env.Connect(t, login))
			for name, sql := range secrets {
				if !strings.Contains(" "+strings.Join(may, " , ")+" ", " "+name+" ") {
					refused(t, tx, insufficientPrivilege, sql)
				} else if _, err := tx.Exec(t.Context(), sql); err != nil {
					t.Errorf("%s must read %s: %v", login, name, err)
				}
			}
		})
	}
}

func TestPlatformForShowsOneTenant(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.New(t), t.Context()
	a, b := env.Tenant(t), env.Tenant(t)
	store := env.DB.Store(db.ServiceUser)
	if own, err := store.PlatformFor(a).GetTenant(ctx, a.ID()); err != nil || own.ID != a.ID() {
		t.Errorf("own row: %v, %v", own, err)
	}
	if _, err := store.PlatformFor(a).GetTenant(ctx, b.ID()); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("foreign row: got %v, want ErrNotFound", err)
	}
	all, err := store.PlatformFor(a).GetTenantsByID(ctx, []uuid.UUID{a.ID(), b.ID()})
	if err != nil || len(all) != 1 {
		t.Errorf("by ids: %d rows, %v; want 1", len(all), err)
	}
}

func TestEmitTakesTheTenantFromTheSession(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.New(t), t.Context()
	a, b := twoTenants(t, env, true)
	tx := begin(t, env.Connect(t, a.login))
	enter(t, tx, a.schema, b.id)
	refused(t, tx, insufficientPrivilege, "SELECT platform.emit('x', '{}')")
	service := begin(t, env.Connect(t, "svc_user"))
	refused(t, service, "42704", "SELECT platform.emit('x', '{}')")
	enter(t, service, "platform_scoped", uuid.New())
	refused(t, service, insufficientPrivilege, "SELECT platform.emit('x', '{}')")

	tenant, _, err := env.DB.Store(db.ServiceUser).Resolve(ctx, a.id)
	if err != nil {
		t.Fatal(err)
	}
	kind := "test.emit_" + strings.Map(letters, a.schema[7:])
	if err := env.DB.Store(db.ServiceUser).Tenant(tenant).Emit(ctx, kind, []byte(`{"tenant_id":"`+b.id.String()+`"}`)); err != nil {
		t.Fatal(err)
	}
	var got uuid.UUID
	if err := env.Connect(t, "postgres").QueryRow(ctx, "SELECT tenant_id FROM platform.outbox WHERE kind = $1", kind).Scan(&got); err != nil || got != a.id {
		t.Errorf("emitted for %s, %v; want %s", got, err, a.id)
	}
}

// letters drops what an outbox kind may not hold.
func letters(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}

func TestViolatesNamesTheConstraint(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.New(t), t.Context()
	q := env.DB.Store(db.ServiceUser).Tenant(env.Tenant(t))
	first := tenantdb.UpsertUserParams{ID: uuid.New(), Email: "a@b.test"}
	if err := upsert(ctx, q, first); err != nil {
		t.Fatal(err)
	}
	err := upsert(ctx, q, tenantdb.UpsertUserParams{ID: uuid.New(), Email: "a@b.test"})
	if !db.Violates(err, "users_email_key") || db.Violates(err, "users_pkey") || db.Violates(fmt.Errorf("x"), "users_email_key") {
		t.Errorf("got %v", err)
	}
}

// Whoever holds the secret of the serving processes cannot become the owner, who
// could make roles.
func TestTheServingSecretDoesNotOpenTheOwner(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	if _, err := env.ConnectWith(t, "tradesage_owner", db.Password(dbtest.Secret, "tradesage_owner")); err == nil {
		t.Error("the owner's password derives from the serving processes' secret")
	}
	_, err := db.Migrate(t.Context(), db.MigrateOptions{URL: env.URL, Secret: dbtest.Secret, OwnerSecret: dbtest.Secret, Shards: dbtest.Shards})
	if err == nil || !strings.Contains(err.Error(), "owner secret") {
		t.Errorf("the same secret twice: got %v", err)
	}
}
