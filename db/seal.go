package db

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Placeholders of a blueprint.
const (
	tenantIDMark   = "{tenant_id}"
	tenantRoleMark = "{tenant_role}"
)

// appendOnly, as a table's comment, makes sealing grant no UPDATE or DELETE.
const appendOnly = "append-only"

// sealDDL is the one place that says how a tenant's table is protected:
// the tenant's id as default and as a check, row level security that binds the
// owner too, and grants for the tenant's role alone.
func sealDDL(table string, onlyAppend bool) string {
	t := quote(table)
	grants := "SELECT, INSERT, UPDATE, DELETE"
	if onlyAppend {
		grants = "SELECT, INSERT"
	}
	return fmt.Sprintf(`
ALTER TABLE %[1]s ALTER COLUMN tenant_id SET DEFAULT '%[3]s',
    ADD CONSTRAINT %[2]s CHECK (tenant_id = '%[3]s'),
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON %[1]s
    USING (tenant_id = current_setting('app.tenant_id')::uuid)
    WITH CHECK (tenant_id = current_setting('app.tenant_id')::uuid);
REVOKE ALL ON %[1]s FROM PUBLIC;
GRANT %[5]s ON %[1]s TO %[4]s;
`, t, quote(table+"_tenant_check"), tenantIDMark, tenantRoleMark, grants)
}

// sealNew returns the sealing of every table in the shape that has none yet.
func sealNew(ctx context.Context, tx pgx.Tx) (string, error) {
	rows, err := tx.Query(ctx, `
		SELECT c.relname::text, coalesce(obj_description(c.oid, 'pg_class') = $2, false)
		FROM pg_class c
		WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND NOT c.relforcerowsecurity
		ORDER BY c.oid`, shapeSchema, appendOnly)
	if err != nil {
		return "", err
	}
	var ddl strings.Builder
	var table string
	var onlyAppend bool
	_, err = pgx.ForEachRow(rows, []any{&table, &onlyAppend}, func() error {
		ddl.WriteString(sealDDL(table, onlyAppend))
		return nil
	})
	return ddl.String(), err
}

// fill puts one tenant into a blueprint. Both values are checked by their
// tables: a UUID and a name of [a-z2-7_].
func fill(blueprint, tenantID, role string) string {
	return strings.NewReplacer(tenantIDMark, tenantID, tenantRoleMark, role).Replace(blueprint)
}
