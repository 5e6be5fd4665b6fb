package db_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// Each layer must hold when all the others are taken away.

func exec(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// strip takes layers from both tenants' users.
func strip(t *testing.T, admin *pgx.Conn, layers string, places ...place) {
	t.Helper()
	for _, p := range places {
		users := pgx.Identifier{p.schema, "users"}.Sanitize()
		for _, layer := range strings.Fields(layers) {
			switch layer {
			case "rls":
				exec(t, admin, "ALTER TABLE "+users+" NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
			case "check":
				exec(t, admin, "ALTER TABLE "+users+" DROP CONSTRAINT users_tenant_check")
			case "grants":
				exec(t, admin, "GRANT USAGE ON SCHEMA "+p.schema+" TO PUBLIC", "GRANT ALL ON "+users+" TO PUBLIC")
			case "gate":
				exec(t, admin, "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC")
			default:
				t.Fatal(layer)
			}
		}
	}
}

func TestGrantsAloneHold(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	a, b := twoTenants(t, env, true)
	strip(t, env.Connect(t, "postgres"), "rls check gate", a, b)
	tx := begin(t, env.Connect(t, a.login))
	enter(t, tx, a.schema, a.id)
	refused(t, tx, insufficientPrivilege, "SELECT * FROM "+pgx.Identifier{b.schema, "users"}.Sanitize())
	refused(t, tx, insufficientPrivilege, "INSERT INTO "+pgx.Identifier{b.schema, "users"}.Sanitize()+" (id, email) VALUES (gen_random_uuid(), 'x')")
}

func TestRowLevelSecurityAloneHolds(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.NewDatabase(t), t.Context()
	a, b := twoTenants(t, env, true)
	strip(t, env.Connect(t, "postgres"), "grants check gate", a, b)
	foreign := pgx.Identifier{b.schema, "users"}.Sanitize()

	tx := begin(t, env.Connect(t, a.login))
	refused(t, tx, "42704", "SELECT * FROM "+foreign) // no tenant set at all
	enter(t, tx, a.schema, a.id)
	var n int
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+foreign).Scan(&n); err != nil || n != 0 {
		t.Errorf("foreign rows: %d, %v; want 0", n, err)
	}
	refused(t, tx, insufficientPrivilege, "INSERT INTO "+foreign+" (id, email) VALUES (gen_random_uuid(), 'x')")
	if tag, err := tx.Exec(ctx, "UPDATE "+foreign+" SET display_name = 'x'"); err != nil || tag.RowsAffected() != 0 {
		t.Errorf("foreign rows changed: %v, %v", tag, err)
	}
	// The owner is bound as well.
	owner := begin(t, env.Connect(t, "tradesage_owner"))
	enter(t, owner, "tradesage_provisioner", a.id)
	if err := owner.QueryRow(ctx, "SELECT count(*) FROM "+foreign).Scan(&n); err != nil || n != 0 {
		t.Errorf("rows that the owner saw under another tenant: %d, %v; want 0", n, err)
	}
}

func TestTheCheckAloneHolds(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	a, b := twoTenants(t, env, true)
	strip(t, env.Connect(t, "postgres"), "grants rls gate", a, b)
	tx := begin(t, env.Connect(t, a.login))
	enter(t, tx, a.schema, a.id)
	refused(t, tx, "23514", "INSERT INTO users (id, email, tenant_id) VALUES (gen_random_uuid(), 'x', $1)", b.id)
	refused(t, tx, "23514", "UPDATE users SET tenant_id = $1", b.id)
	refused(t, tx, "23514", "INSERT INTO "+pgx.Identifier{b.schema, "users"}.Sanitize()+" (id, email, tenant_id) VALUES (gen_random_uuid(), 'x', $1)", a.id)
}

func TestTheGateAloneHolds(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	a, b := twoTenants(t, env, true)
	strip(t, env.Connect(t, "postgres"), "grants rls check", a, b)
	tx := begin(t, env.Connect(t, a.login))
	enter(t, tx, a.schema, a.id)
	refused(t, tx, insufficientPrivilege, "SELECT set_config('role', $1, true)", b.schema)
	refused(t, tx, insufficientPrivilege, "UPDATE users SET display_name = set_config('app.tenant_id', $1, true)", b.id.String())
}

// The shard bounds what the statements that PostgreSQL cannot forbid could do.
func TestTheShardAloneHolds(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	a, b := twoTenants(t, env, false)
	strip(t, env.Connect(t, "postgres"), "rls check gate", a, b)
	tx := begin(t, env.Connect(t, a.login))
	enter(t, tx, a.schema, a.id)
	refused(t, tx, insufficientPrivilege, "SET LOCAL ROLE "+b.schema)
	refused(t, tx, insufficientPrivilege, "SELECT set_config('role', $1, true)", b.schema)
}

func TestHardeningNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.NewDatabase(t), t.Context()
	a, _ := twoTenants(t, env, true)
	missing, err := env.DB.Hardening(ctx, db.ServiceRouter)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{}, missing); diff != "" {
		t.Fatal(diff)
	}
	admin := env.Connect(t, "postgres")
	strip(t, admin, "rls gate", a)
	var database string
	if err := admin.QueryRow(ctx, "SELECT quote_ident(current_database())").Scan(&database); err != nil {
		t.Fatal(err)
	}
	exec(t, admin,
		"GRANT TEMP ON DATABASE "+database+" TO PUBLIC",
		"GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC",
		"GRANT USAGE ON SCHEMA public TO PUBLIC",
		"ALTER TABLE platform.sessions NO FORCE ROW LEVEL SECURITY",
		"ALTER FUNCTION platform.emit(text, jsonb) RESET search_path",
		"GRANT EXECUTE ON FUNCTION platform.resolve_tenant(uuid) TO PUBLIC",
		"GRANT EXECUTE ON FUNCTION pg_catalog.lo_from_bytea(oid, bytea), pg_catalog.pg_advisory_lock(bigint) TO PUBLIC",
		"GRANT UPDATE ON pg_catalog.pg_settings TO PUBLIC",
		"ALTER ROLE "+a.login+" IN DATABASE "+database+" SET search_path = "+a.schema,
		"ALTER ROLE "+a.schema+" IN DATABASE "+database+" SET work_mem = '1GB'",
		"GRANT USAGE ON SCHEMA river TO svc_auth",
		"GRANT SELECT (args) ON river.river_job TO PUBLIC",
		"GRANT SELECT ON river.river_queue TO svc_user")
	missing, err = env.DB.Hardening(ctx, db.ServiceRouter)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(missing, "\n")
	for _, want := range []string{"set_config", "temporary tables", "plpgsql", "schema public", "not forced on 2 tables", "platform.emit",
		"platform.resolve_tenant", "execute lo_from_bytea, pg_advisory_lock,", "pg_settings",
		a.login + " brings settings of its own: search_path", a.schema + " brings settings of its own: work_mem",
		"role svc_auth may reach the job queue", "PUBLIC may reach the job queue", "role svc_user may reach the job queue",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not named in:\n%s", want, all)
		}
	}
}

// catalogue describes a schema's tables, columns, constraints, indexes and
// policies, with the tenant's own names taken out.
const catalogue = `
SELECT replace(replace(line, $1::text, '{schema}'), $2, '{tenant}') FROM (
    SELECT format('%s.%s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                  concat_ws(' ', CASE WHEN a.attnotnull THEN 'not null' END, pg_get_expr(d.adbin, d.adrelid))) AS line
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r'
    UNION ALL
    SELECT format('%s: %s %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
    FROM pg_constraint c WHERE c.connamespace = $1::text::regnamespace
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname = $1::text
    UNION ALL
    SELECT format('%s policy %s %s %s %s', tablename, policyname, cmd, qual, with_check) FROM pg_policies WHERE schemaname = $1::text
    UNION ALL
    SELECT format('%s rls %s %s acl %s', relname, relrowsecurity, relforcerowsecurity, relacl)
    FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'r'
) AS lines ORDER BY 1`

func describe(t *testing.T, conn *pgx.Conn, schema string, tenant uuid.UUID) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), catalogue, schema, tenant.String())
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestTheShapeIsWhatATenantHas(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	tenant := locate(t, env, env.Tenant(t))
	conn := env.Connect(t, "postgres")
	shape := describe(t, conn, "tenant_shape", uuid.Nil)
	if len(shape) < 40 {
		t.Fatalf("the catalogue query sees %d lines only", len(shape))
	}
	if diff := cmp.Diff(shape, describe(t, conn, tenant.schema, tenant.id)); diff != "" {
		t.Error(diff)
	}
}
