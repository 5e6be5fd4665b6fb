package db

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tradesage/tradesage/db/jobs"
)

// Roles that no service logs in as.
const (
	// ownerLogin owns the platform schema; only Migrate uses it.
	ownerLogin = "tradesage_owner"
	// provisionerRole owns tenants' schemas and may create roles, which on
	// PostgreSQL 15 is as good as superuser: nobody logs in as it.
	provisionerRole = "tradesage_provisioner"
	// shapeSchema holds the empty copy of a tenant's tables against which
	// statements are prepared.
	shapeSchema = "tenant_shape"
)

// clusterLock serialises changes of roles, which belong to the whole cluster.
const clusterLock = 7203000

// bootstrap creates the database, the roles and the hardening that need a
// superuser. It may run any number of times.
func bootstrap(ctx context.Context, o MigrateOptions) error {
	target, err := pgx.ParseConfig(o.AdminURL)
	if err != nil {
		return fmt.Errorf("admin database URL: %w", err)
	}
	maintenance := target.Copy()
	maintenance.Database = "postgres"
	first, err := pgx.ConnectConfig(ctx, maintenance)
	if err != nil {
		return fmt.Errorf("administrator: %w", explainConnect(err))
	}
	defer closeConn(first)
	if _, err := first.Exec(ctx, "SELECT pg_advisory_lock($1)", clusterLock); err != nil {
		return err
	}
	var exists bool
	if err := first.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", target.Database).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		if _, err := first.Exec(ctx, "CREATE DATABASE "+quote(target.Database)+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
			return fmt.Errorf("create database %s: %w", target.Database, err)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, target)
	if err != nil {
		return fmt.Errorf("administrator: %w", explainConnect(err))
	}
	defer closeConn(conn)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := createRoles(ctx, tx, o); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, hardeningDDL(target.Database, o.logins()))
		if err != nil {
			return fmt.Errorf("harden database %s: %w", target.Database, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return migrateQueue(ctx, o, target)
}

// logins names every login that services use while online.
func (o MigrateOptions) logins() []string {
	var all []string
	for _, s := range services {
		all = append(all, string(s))
	}
	for i := range o.Shards {
		all = append(all, shardLogin(int16(i)))
	}
	return all
}

func createRoles(ctx context.Context, tx pgx.Tx, o MigrateOptions) error {
	want := map[string]string{
		provisionerRole: "NOLOGIN CREATEROLE NOINHERIT",
		scopedRole:      "NOLOGIN NOINHERIT",
		shapeSchema:     "NOLOGIN NOINHERIT",
		ownerLogin:      "LOGIN INHERIT NOCREATEROLE NOCREATEDB NOSUPERUSER NOBYPASSRLS",
	}
	for _, login := range o.logins() {
		want[login] = "LOGIN NOINHERIT NOCREATEROLE NOCREATEDB NOSUPERUSER NOBYPASSRLS NOREPLICATION"
	}
	rows, err := tx.Query(ctx, "SELECT rolname::text FROM pg_roles")
	if err != nil {
		return err
	}
	existing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, name := range existing {
		have[name] = true
	}
	var ddl strings.Builder
	for name, attributes := range want {
		verb := "CREATE"
		if have[name] {
			verb = "ALTER"
		}
		fmt.Fprintf(&ddl, "%s ROLE %s %s;\n", verb, quote(name), attributes)
	}
	for _, login := range o.logins() {
		fmt.Fprintf(&ddl, "ALTER ROLE %s PASSWORD %s;\n", quote(login), literal(Password(o.Secret, login)))
	}
	fmt.Fprintf(&ddl, "ALTER ROLE %s PASSWORD %s;\n", quote(ownerLogin), literal(Password(o.OwnerSecret, ownerLogin)))
	for _, s := range services {
		if s != ServiceVerify { // it sees no tenant's rows
			fmt.Fprintf(&ddl, "GRANT %s TO %s;\n", quote(scopedRole), quote(string(s)))
		}
	}
	fmt.Fprintf(&ddl, "GRANT %s TO %s;\n", quote(provisionerRole), quote(ownerLogin))
	if _, err := tx.Exec(ctx, ddl.String()); err != nil {
		return fmt.Errorf("create roles: %w", err)
	}
	return nil
}

// hardeningDDL takes from PUBLIC what PostgreSQL gives it by default and grants
// the little that the logins need. Hardening checks the result.
func hardeningDDL(database string, logins []string) string {
	all := make([]string, len(logins))
	for i, login := range logins {
		all[i] = quote(login)
	}
	list := strings.Join(all, ", ")
	db, owner, provisioner, shape := quote(database), quote(ownerLogin), quote(provisionerRole), quote(shapeSchema)
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+";\n", args...) }
	say("REVOKE ALL ON DATABASE %s FROM PUBLIC", db)
	say("GRANT CONNECT ON DATABASE %s TO %s, %s", db, owner, list)
	say("GRANT CREATE ON DATABASE %s TO %s, %s", db, owner, provisioner)
	say("REVOKE ALL ON SCHEMA public FROM PUBLIC")
	say("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
	say("GRANT USAGE ON LANGUAGE plpgsql TO %s, %s", owner, provisioner)
	say("REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC")
	say("GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO %s, %s, %s", owner, provisioner, list)
	b.WriteString(closeFunctionsDDL + ";\n")
	say("GRANT EXECUTE ON FUNCTION pg_catalog.pg_advisory_lock(bigint), pg_catalog.pg_advisory_xact_lock(bigint), "+
		"pg_catalog.pg_try_advisory_xact_lock(bigint), pg_catalog.pg_notify(text, text) TO %s, %s", owner, serviceList())
	say("CREATE SCHEMA IF NOT EXISTS platform AUTHORIZATION %s", owner)
	say("GRANT USAGE ON SCHEMA platform TO PUBLIC")
	say("GRANT CREATE ON SCHEMA platform TO %s", provisioner)
	say("CREATE SCHEMA IF NOT EXISTS %s AUTHORIZATION %s", shape, provisioner)
	say("GRANT USAGE ON SCHEMA %s TO %s", shape, list)
	say("CREATE SCHEMA IF NOT EXISTS %s", quote(jobs.Schema))
	say("ALTER ROLE %s IN DATABASE %s SET search_path = platform", owner, db)
	for _, login := range all {
		path := "platform"
		if strings.HasPrefix(login, `"app_s`) {
			path = `"$user", tenant_shape`
		}
		say("ALTER ROLE %s IN DATABASE %s SET search_path = %s", login, db, path)
		say("ALTER ROLE %s IN DATABASE %s SET statement_timeout = '30s'", login, db)
		say("ALTER ROLE %s IN DATABASE %s SET idle_in_transaction_session_timeout = '30s'", login, db)
		say("ALTER ROLE %s IN DATABASE %s SET lock_timeout = '5s'", login, db)
	}
	return b.String()
}

// sharedFunctions picks the functions of pg_catalog through which an expression
// inside one tenant could touch what all tenants share: large objects belong to
// no schema (and keep a role from being dropped), advisory locks outlive the
// transaction and could stop migrations, notifications reach every listener.
const sharedFunctions = `p.pronamespace = 'pg_catalog'::regnamespace AND (
    p.proname ~ '^(pg_(try_)?advisory_|lo_|loread$|lowrite$)'
    OR p.proname IN ('pg_notify', 'pg_logical_emit_message', 'pg_cancel_backend', 'pg_terminate_backend'))`

// closeFunctionsDDL takes sharedFunctions from PUBLIC, and the view whose update
// is a hidden set_config.
const closeFunctionsDDL = `
DO $$
    DECLARE f regprocedure;
    BEGIN
        FOR f IN SELECT p.oid FROM pg_proc p WHERE ` + sharedFunctions + ` LOOP
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
        END LOOP;
        REVOKE UPDATE ON pg_catalog.pg_settings FROM PUBLIC;
    END
$$`

// serviceList names the services' logins for DDL.
func serviceList() string {
	names := make([]string, len(services))
	for i, s := range services {
		names[i] = quote(string(s))
	}
	return strings.Join(names, ", ")
}

// hardeningSQL lists what is missing, a line each.
const hardeningSQL = `
WITH logins AS (
    SELECT r.* FROM pg_roles r WHERE r.rolname ~ '^(svc_[a-z]+|app_s[0-9]+)$'
), tables AS (
    SELECT n.nspname, c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced,
           EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid) AS has_policy
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')
      AND (n.nspname ~ '^tenant_'
           OR n.nspname = 'platform' AND (c.relname = 'tenants' OR EXISTS (
               SELECT FROM pg_attribute a
               WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)))
)
SELECT 'PUBLIC may execute set_config, so an expression could leave its tenant'
    WHERE has_function_privilege('public', 'pg_catalog.set_config(text,text,boolean)', 'EXECUTE')
UNION ALL SELECT 'PUBLIC may execute ' || string_agg(DISTINCT p.proname, ', ') || ', which reach what all tenants share'
    FROM pg_proc p WHERE ` + sharedFunctions + ` AND has_function_privilege('public', p.oid, 'EXECUTE') HAVING count(*) > 0
UNION ALL SELECT 'PUBLIC may update pg_settings, which changes settings as set_config does'
    WHERE has_table_privilege('public', 'pg_catalog.pg_settings', 'UPDATE')
UNION ALL SELECT 'PUBLIC may create temporary tables in this database'
    WHERE has_database_privilege('public', current_database(), 'TEMP')
UNION ALL SELECT 'PUBLIC may write code in plpgsql'
    WHERE has_language_privilege('public', 'plpgsql', 'USAGE')
UNION ALL SELECT 'PUBLIC may use the schema public'
    WHERE has_schema_privilege('public', 'public', 'USAGE') OR has_schema_privilege('public', 'public', 'CREATE')
UNION ALL SELECT 'login ' || rolname || ' has an attribute that no online login may have'
    FROM logins WHERE rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication OR rolinherit
UNION ALL SELECT 'login ' || l.rolname || ' is a member of ' || g.rolname
    FROM logins l JOIN pg_auth_members m ON m.member = l.oid JOIN pg_roles g ON g.oid = m.roleid
    WHERE NOT (g.rolname ~ '^tenant_[a-z2-7]{26}$' AND l.rolname ~ '^app_s' OR g.rolname = 'platform_scoped' AND l.rolname ~ '^svc_')
UNION ALL SELECT 'role ' || r.rolname || ' is a member of another role'
    FROM pg_roles r WHERE (r.rolname ~ '^tenant_' OR r.rolname = 'platform_scoped')
      AND EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)
UNION ALL SELECT 'role ' || r.rolname || ' brings settings of its own: ' || s.setting
    FROM pg_db_role_setting d JOIN pg_roles r ON r.oid = d.setrole, unnest(d.setconfig) AS s (setting)
    WHERE (r.rolname ~ '^(tenant|svc)_|^app_s' OR r.rolname = 'platform_scoped')
      AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND (r.rolname !~ '^svc_|^app_s'
           OR s.setting !~ '^(statement_timeout|idle_in_transaction_session_timeout|lock_timeout)='
              AND s.setting <> CASE WHEN r.rolname ~ '^app_s' THEN 'search_path="$user", tenant_shape' ELSE 'search_path=platform' END)
UNION ALL SELECT 'no login may enter tenant schemas: the roles are missing'
    WHERE NOT EXISTS (SELECT FROM logins WHERE rolname ~ '^app_s')
UNION ALL SELECT 'row level security is not forced on ' || count(*) || ' tables, as ' || min(nspname || '.' || relname)
    FROM tables WHERE NOT forced OR NOT has_policy HAVING count(*) > 0
UNION ALL SELECT 'the job queue is missing'
    WHERE NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                      WHERE n.nspname = 'river' AND c.relname = 'river_job')
UNION ALL SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE 'role ' || g.grantee::regrole END
                          || ' may reach the job queue, whose mails carry codes'
    FROM (SELECT a.grantee, n.nspowner AS owner FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'river'
          UNION ALL
          SELECT a.grantee, c.relowner FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'river')
          UNION ALL
          SELECT a.grantee, c.relowner FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
              WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'river')) g
    WHERE g.grantee <> g.owner AND g.grantee <> coalesce((SELECT oid FROM pg_roles WHERE rolname = 'svc_relay'), 0)
UNION ALL SELECT 'role ' || m.member::regrole || ' may become svc_relay, which reads the job queue'
    FROM pg_auth_members m WHERE m.roleid = (SELECT oid FROM pg_roles WHERE rolname = 'svc_relay')
UNION ALL SELECT 'the job queue belongs to ' || n.nspowner::regrole || ', which is no superuser'
    FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner WHERE n.nspname = 'river' AND NOT r.rolsuper
UNION ALL SELECT 'function platform.' || p.proname || ' runs with its owner''s rights on a changeable search_path'
    FROM pg_proc p WHERE p.pronamespace = to_regnamespace('platform') AND p.prosecdef
      AND NOT coalesce(array_to_string(p.proconfig, ',') LIKE '%search_path=%', false)
UNION ALL SELECT 'function platform.' || p.proname || ' runs with its owner''s rights and every tenant may call it'
    FROM pg_proc p WHERE p.pronamespace = to_regnamespace('platform') AND p.prosecdef AND p.proname <> 'emit'
      AND has_function_privilege('public', p.oid, 'EXECUTE')`

// Hardening asks the database which protections are missing and names each in
// one line; none means that all are there. Outside development a process must
// not serve while any is missing.
func (d *DB) Hardening(ctx context.Context, service Service) ([]string, error) {
	pool, err := d.loginPool(string(service))
	if err != nil {
		return nil, err
	}
	found, err := pool.Query(ctx, hardeningSQL)
	if err != nil {
		return nil, translate(err)
	}
	missing, err := pgx.CollectRows(found, pgx.RowTo[string])
	return missing, translate(err)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes a value for DDL, which takes no parameters.
func literal(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }

// closeConn closes a connection that is no longer needed; the server ends its
// transaction and locks whatever the goodbye's fate.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}

var (
	errShards      = errors.New("shards: must be between 1 and 1000")
	errOwnerSecret = errors.New("database owner secret: at least 16 bytes are needed, other than the logins' secret")
)
