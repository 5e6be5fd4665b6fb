package db_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/migrations"
)

// withFile returns the tenant set with one more file.
func withFile(t *testing.T, name, sql string) fs.FS {
	t.Helper()
	set := fstest.MapFS{"tenant/" + name: {Data: []byte(sql)}}
	entries, err := fs.ReadDir(migrations.Tenant, "tenant")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := fs.ReadFile(migrations.Tenant, "tenant/"+e.Name())
		if err != nil {
			t.Fatal(err)
		}
		set["tenant/"+e.Name()] = &fstest.MapFile{Data: text}
	}
	return set
}

func next(t *testing.T) string {
	t.Helper()
	entries, err := fs.ReadDir(migrations.Tenant, "tenant")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%04d_next.sql", len(entries)+1)
}

func migrate(t *testing.T, env *dbtest.Env, tenantSet fs.FS) (db.MigrateReport, error) {
	t.Helper()
	return db.Migrate(t.Context(), db.MigrateOptions{URL: env.URL, Secret: dbtest.Secret, OwnerSecret: dbtest.OwnerSecret, Shards: dbtest.Shards, TenantSet: tenantSet})
}

func TestMigrateDoesNothingTwice(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	report, err := migrate(t, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(db.MigrateReport{}, report); diff != "" {
		t.Error(diff)
	}
	// Bootstrap may run again too.
	if _, err := db.Migrate(t.Context(), db.MigrateOptions{AdminURL: env.AdminURL, URL: env.URL, Secret: dbtest.Secret, OwnerSecret: dbtest.OwnerSecret, Shards: dbtest.Shards}); err != nil {
		t.Error(err)
	}
}

func TestMigrateReachesShapeBlanksAndTenants(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	tenant := locate(t, env, env.Tenant(t))
	blank := uuid.New()
	if err := env.DB.PlatformStore(db.ServiceTenant).Platform().NewBlank(t.Context(), blank, "tenant_"+strings.Repeat("a", 26)); err != nil {
		t.Fatal(err)
	}
	set := withFile(t, next(t), `
		ALTER TABLE users ADD COLUMN nickname text NOT NULL DEFAULT '';
		CREATE TABLE notes (id uuid PRIMARY KEY, tenant_id uuid NOT NULL, body text NOT NULL);
		INSERT INTO notes (id, tenant_id, body) SELECT gen_random_uuid(), tenant_id, email FROM users;`)
	if err := upsert(t.Context(), env.DB.Store(db.ServiceUser).Tenant(proof(t, env, tenant.id)), canary(proof(t, env, tenant.id))); err != nil {
		t.Fatal(err)
	}
	report, err := migrate(t, env, set)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(db.MigrateReport{Blueprints: 1, Tenants: 2}, report); diff != "" {
		t.Fatal(diff)
	}
	admin := env.Connect(t, "postgres")
	if diff := cmp.Diff(describe(t, admin, "tenant_shape", uuid.Nil), describe(t, admin, tenant.schema, tenant.id)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(describe(t, admin, "tenant_"+strings.Repeat("a", 26), blank), describe(t, admin, tenant.schema, tenant.id)); diff != "" {
		t.Error(diff)
	}
	tx := begin(t, env.Connect(t, tenant.login))
	enter(t, tx, tenant.schema, tenant.id)
	var notes int
	if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM notes").Scan(&notes); err != nil || notes != 1 {
		t.Errorf("rows that the migration wrote: %d, %v; want 1", notes, err)
	}
	missing, err := env.DB.Hardening(t.Context(), db.ServiceRouter)
	if err != nil || len(missing) != 0 {
		t.Errorf("hardening after a migration: %v, %v", missing, err)
	}
}

// Tenants from before administrators traded are brought up to date; what they
// have made themselves stays, and so does what is right already.
func TestAdministratorsOfOlderTenantsMayTrade(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	older, newer := env.Tenant(t), env.Tenant(t)
	roles := func(of db.Tenant, permissions ...string) {
		t.Helper()
		if _, err := env.DB.Store(db.ServiceTenant).Tenant(of).UpsertBuiltInRoles(t.Context(), tenantdb.UpsertBuiltInRolesParams{
			Ids: []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}, Keys: []string{"admin", "platform-admin", "viewer"},
			Names: []string{"A", "P", "V"}, Permissions: permissions,
		}); err != nil {
			t.Fatal(err)
		}
		if err := env.DB.Store(db.ServiceUser).Tenant(of).CreateRole(t.Context(), tenantdb.CreateRoleParams{
			ID: uuid.New(), Key: "desk", Name: "Desk", Permissions: []string{"orders:read"},
		}); err != nil {
			t.Fatal(err)
		}
	}
	roles(older, "orders:read,users:read", "tenants:create", "orders:read")
	roles(newer, "orders:place,users:read", "orders:place", "orders:read")
	text, err := migrations.Tenant.ReadFile("tenant/0003_administrators_trade.sql")
	if err != nil {
		t.Fatal(err)
	}
	if report, err := migrate(t, env, withFile(t, next(t), string(text))); err != nil || report.Tenants != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	for want, of := range map[string]db.Tenant{
		"admin=orders:read,users:read,orders:place desk=orders:read platform-admin=tenants:create,orders:place viewer=orders:read": older,
		"admin=orders:place,users:read desk=orders:read platform-admin=orders:place viewer=orders:read":                            newer,
	} {
		rows, err := env.DB.Store(db.ServiceUser).Tenant(of).ListRoles(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, row := range rows {
			got = append(got, row.Key+"="+strings.Join(row.Permissions, ","))
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Error(diff)
		}
	}
}

func proof(t *testing.T, env *dbtest.Env, id uuid.UUID) db.Tenant {
	t.Helper()
	tenant, _, err := env.DB.Store(db.ServiceUser).Resolve(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func TestAFailedTenantIsListedAndTheRestGoOn(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	tenants := []db.Tenant{env.Tenant(t), env.Tenant(t), env.Tenant(t), env.Tenant(t), env.Tenant(t)}
	odd := locate(t, env, tenants[2])
	admin := env.Connect(t, "postgres")
	exec(t, admin, "ALTER TABLE "+odd.schema+".users ADD COLUMN nickname integer")

	set := withFile(t, next(t), `ALTER TABLE users ADD COLUMN nickname text NOT NULL DEFAULT '';`)
	report, err := migrate(t, env, set)
	if err != nil {
		t.Fatal(err)
	}
	if report.Tenants != 4 || len(report.Failures) != 1 || report.Failures[0].Tenant != odd.id {
		t.Fatalf("got %+v, want 4 tenants migrated and %s failed", report, odd.id)
	}
	var message string
	if err := admin.QueryRow(t.Context(), "SELECT message FROM platform.migration_failures WHERE tenant_id = $1", odd.id).Scan(&message); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(message, "nickname") {
		t.Errorf("recorded %q", message)
	}
	// Put right, the next run takes up just the one that is left.
	exec(t, admin, "ALTER TABLE "+odd.schema+".users DROP COLUMN nickname")
	report, err = migrate(t, env, set)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(db.MigrateReport{Tenants: 1}, report); diff != "" {
		t.Error(diff)
	}
	var left int
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM platform.migration_failures").Scan(&left); err != nil || left != 0 {
		t.Errorf("failures left: %d, %v", left, err)
	}
}

func TestMigrateRefusesAChangedFile(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	first, second := withFile(t, next(t), "CREATE TABLE a (id uuid, tenant_id uuid NOT NULL);"), withFile(t, next(t), "CREATE TABLE b (id uuid, tenant_id uuid NOT NULL);")
	if _, err := migrate(t, env, first); err != nil {
		t.Fatal(err)
	}
	if _, err := migrate(t, env, second); err == nil || !strings.Contains(err.Error(), "was changed after") {
		t.Errorf("got %v", err)
	}
	if _, err := migrate(t, env, nil); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("got %v", err)
	}
	if _, err := migrate(t, env, withFile(t, "0009_gap.sql", "")); err == nil || !strings.Contains(err.Error(), "expected") {
		t.Errorf("got %v", err)
	}
}

func TestAFailedFileChangesNothing(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	before := describe(t, env.Connect(t, "postgres"), "tenant_shape", uuid.Nil)
	_, err := migrate(t, env, withFile(t, next(t), "CREATE TABLE a (id uuid, tenant_id uuid NOT NULL); SELECT 1/0;"))
	if err == nil || !strings.Contains(err.Error(), "next.sql") {
		t.Fatalf("got %v", err)
	}
	// A table that cannot be sealed is refused as well.
	if _, err := migrate(t, env, withFile(t, next(t), "CREATE TABLE a (id uuid);")); err == nil || !strings.Contains(err.Error(), "seal") {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(before, describe(t, env.Connect(t, "postgres"), "tenant_shape", uuid.Nil)); diff != "" {
		t.Error(diff)
	}
}

// Who starts against the wrong server reads one line that says what to do.
func TestAFailedConnectionIsToldInOneLine(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.New(t), t.Context()
	secret := bytes.Repeat([]byte("x"), 32)
	noDatabase := strings.Replace(env.URL, "/tradesage", "/nowhere", 1)
	_, wrongSecret := db.Migrate(ctx, db.MigrateOptions{URL: env.URL, Secret: dbtest.Secret, OwnerSecret: secret, Shards: 1})
	_, noMigration := db.Migrate(ctx, db.MigrateOptions{URL: noDatabase, Secret: dbtest.Secret, OwnerSecret: dbtest.OwnerSecret, Shards: 1})
	_, nobody := db.Migrate(ctx, db.MigrateOptions{URL: "postgres://127.0.0.1:1/tradesage", Secret: dbtest.Secret, OwnerSecret: secret, Shards: 1})
	closed, err := db.Open(db.Config{URL: "postgres://127.0.0.1:1/tradesage", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closed.Close)
	for want, err := range map[string]error{
		"is the secret the same?":                            wrongSecret,
		"tradesage migrate with an administrator's URL":      noMigration,
		"cannot connect as tradesage_owner: 127.0.0.1:1":     nobody,
		"db: unavailable: cannot connect as svc_router: 127": closed.Ping(ctx, db.ServiceRouter),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\n\t") {
			t.Errorf("got %q, want one line with %q", err, want)
		}
	}
}
