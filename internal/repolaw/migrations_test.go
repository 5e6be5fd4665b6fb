package repolaw

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

var migrationName = regexp.MustCompile(`^(\d{4})_[a-z0-9]+(_[a-z0-9]+)*\.sql$`)

// migrationNames wants NNNN_words.sql, numbered from 0001 without gaps.
func migrationNames(t *tree) ([]string, error) {
	var offences []string
	for _, set := range []string{"platform", "tenant"} {
		files, err := t.glob("migrations/" + set + "/*")
		if err != nil {
			return nil, err
		}
		next := 1
		for _, file := range files {
			match := migrationName.FindStringSubmatch(path.Base(file))
			if match == nil {
				offences = append(offences, file+": not named NNNN_words.sql")
				continue
			}
			if want := fmt.Sprintf("%04d", next); match[1] != want {
				offences = append(offences, fmt.Sprintf("%s: the next number is %s", file, want))
			}
			next++
		}
	}
	return offences, nil
}

// What a tenant's migration may not say, in text without comments and literals.
// Each costs the whole fleet, or reaches out of the tenant's schema.
var tenantHabits = []struct {
	pattern *regexp.Regexp
	why     string
}{
	{regexp.MustCompile(`(?i)\bGRANT\b[^;]*\bON\s+ALL\s+`), "GRANT … ON ALL takes locks on every table: grants are made by sealing, one by one"},
	{regexp.MustCompile(`(?i)\bPARTITION\s+OF\b`), "PARTITION OF costs time in proportion to all tenants"},
	{regexp.MustCompile(`(?i)\bCREATE\s+TYPE\b[^;]*\bAS\s+ENUM\b`), "an enum of each tenant has an OID of its own, which prepared statements cannot share: put it in platform"},
	{regexp.MustCompile(`(?i)\bREFERENCES\s+("?\w+"?\s*\.\s*"?\w+"?)`), "a foreign key out of the schema costs time in proportion to all tenants"},
	{regexp.MustCompile(`(?i)\b(?:CREATE\s+(?:UNLOGGED\s+)?TABLE|ALTER\s+TABLE|DROP\s+TABLE|CREATE\s+(?:OR\s+REPLACE\s+)?VIEW|INSERT\s+INTO|UPDATE|DELETE\s+FROM|FROM|JOIN|TRUNCATE|\bON)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:ONLY\s+)?("?\w+"?\s*\.\s*"?\w+"?)\s*(?:[(;,]|\s|$)`), "a tenant's SQL names no schema: the switch chooses it"},
	{regexp.MustCompile(`(?i)\b(?:SET\s+(?:LOCAL\s+|SESSION\s+)?(?:ROLE|search_path|SESSION\s+AUTHORIZATION)|RESET\s+ROLE|set_config)\b`), "only the migrator and the switch choose role and schema"},
	{regexp.MustCompile(`(?i)\bCREATE\s+(?:SCHEMA|ROLE|USER)\b`), "schemas and roles are made by provisioning"},
}

// tenantDDL checks the migrations of the tenant set.
func tenantDDL(t *tree) ([]string, error) {
	return checkSQL(t, "migrations/tenant/*.sql", func(file, text string) []string {
		var offences []string
		for _, habit := range tenantHabits {
			for _, at := range habit.pattern.FindAllStringSubmatchIndex(text, -1) {
				found := text[at[0]:at[1]]
				// `ON t.column` of a join is not a table; a join's condition has an
				// operator after the name, a statement does not.
				if len(at) > 2 && isColumn(found, text[at[1]:]) {
					continue
				}
				offences = append(offences, fmt.Sprintf("%s:%d: %s", file, 1+strings.Count(text[:at[0]], "\n"), habit.why))
			}
		}
		return offences
	})
}

var (
	joinCondition = regexp.MustCompile(`(?i)^ON\s`)
	operator      = regexp.MustCompile(`(?i)^\s*(=|<|>|!|IS\b|IN\b|LIKE\b|BETWEEN\b|AND\b)`)
)

func isColumn(found, rest string) bool {
	return joinCondition.MatchString(found) && operator.MatchString(rest)
}

// tenantQueries checks the queries of the tenant set: no COPY, which row level
// security refuses, and no schema but for the one gate to the platform.
func tenantQueries(t *tree) ([]string, error) {
	qualified := regexp.MustCompile(`(?i)\b(?:FROM|JOIN|INTO|UPDATE|TABLE)\s+(?:ONLY\s+)?"?\w+"?\s*\.\s*"?\w+`)
	platform := regexp.MustCompile(`(?i)\bplatform\s*\.\s*(\w+)`)
	offences, err := checkSQL(t, "queries/tenant/*.sql", func(file, text string) []string {
		var offences []string
		for _, at := range qualified.FindAllStringIndex(text, -1) {
			offences = append(offences, fmt.Sprintf("%s:%d: a tenant's SQL names no schema: the switch chooses it", file, 1+strings.Count(text[:at[0]], "\n")))
		}
		for _, at := range platform.FindAllStringSubmatchIndex(text, -1) {
			if text[at[2]:at[3]] != "emit" {
				offences = append(offences, fmt.Sprintf("%s:%d: platform.emit is the only way from a tenant to the platform", file, 1+strings.Count(text[:at[0]], "\n")))
			}
		}
		return offences
	})
	if err != nil {
		return nil, err
	}
	files, err := t.glob("queries/tenant/*.sql")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		// In a comment, as sqlc's commands are.
		text, err := fs.ReadFile(t.fsys, file)
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(text), ":copyfrom") {
			offences = append(offences, file+": COPY is refused under row level security: INSERT … SELECT unnest(…)")
		}
	}
	return offences, nil
}

func checkSQL(t *tree, pattern string, check func(file, text string) []string) ([]string, error) {
	files, err := t.glob(pattern)
	if err != nil {
		return nil, err
	}
	var offences []string
	for _, file := range files {
		text, err := fs.ReadFile(t.fsys, file)
		if err != nil {
			return nil, err
		}
		offences = append(offences, check(file, bareSQL(string(text)))...)
	}
	return offences, nil
}

var commentOrLiteral = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'`)

// bareSQL blanks comments and string literals and keeps the lines.
func bareSQL(text string) string {
	return commentOrLiteral.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "'") {
			return "''" + strings.Repeat("\n", strings.Count(found, "\n"))
		}
		return strings.Repeat("\n", strings.Count(found, "\n"))
	})
}

func TestMigrationNames(t *testing.T) {
	t.Parallel()
	obeyed(t, migrationNames)
	catches(t, migrationNames, map[string]string{
		"migrations/tenant/0001_users.sql": "", "migrations/tenant/0003_devices.sql": "",
		"migrations/platform/0001_Base.sql": "", "migrations/platform/1_base.sql": "",
		"migrations/platform/0001_a.sql": "", "migrations/platform/0001_b.sql": "",
	}, "0001_Base.sql: not named", "0001_b.sql: the next number is 0002", "1_base.sql: not named", "0003_devices.sql: the next number is 0002")
}

func TestTenantDDL(t *testing.T) {
	t.Parallel()
	obeyed(t, tenantDDL)
	for _, test := range []struct{ sql, want string }{
		{"GRANT SELECT ON ALL TABLES IN SCHEMA x TO y;", "ON ALL"},
		{"CREATE TABLE a PARTITION OF b FOR VALUES IN (1);", "PARTITION OF"},
		{"CREATE TYPE mood AS ENUM ('a');", "enum"},
		{"CREATE TABLE a (id uuid REFERENCES platform.tenants (id));", "foreign key"},
		{"CREATE TABLE platform.a (id uuid);", "names no schema"},
		{"CREATE INDEX i ON platform.a (id);", "names no schema"},
		{"CREATE VIEW v AS SELECT 1 FROM public.t;", "names no schema"},
		{"ALTER TABLE IF EXISTS \"public\".\"t\" ADD COLUMN x int;", "names no schema"},
		{"SET search_path = platform;", "switch"},
		{"CREATE SCHEMA more;", "provisioning"},
		{"CREATE TABLE a (id uuid REFERENCES b (id), c platform.member_state); -- platform.x", ""},
		{"CREATE VIEW v AS SELECT a.id FROM a JOIN b ON a.id = b.id;", ""},
		{"CREATE INDEX i ON a (lower(email)); COMMENT ON TABLE a IS 'FROM platform.x; GRANT ON ALL';", ""},
		{"COMMENT ON COLUMN a.id IS 'text';", ""},
	} {
		t.Run(test.sql, func(t *testing.T) {
			t.Parallel()
			example := map[string]string{"migrations/tenant/0001_a.sql": test.sql}
			if test.want == "" {
				catches(t, tenantDDL, example)
			} else {
				catches(t, tenantDDL, example, test.want)
			}
		})
	}
}

func TestTenantQueries(t *testing.T) {
	t.Parallel()
	obeyed(t, tenantQueries)
	catches(t, tenantQueries, map[string]string{
		"queries/tenant/a.sql": "-- name: A :copyfrom\nINSERT INTO a (id) VALUES ($1);\n",
		"queries/tenant/b.sql": "-- name: B :many\nSELECT id\nFROM platform.tenants;\n",
		"queries/tenant/c.sql": "-- name: C :exec\nSELECT platform.emit('x', '{}'), a.id FROM a;\n",
	}, "a.sql: COPY", "b.sql:3: a tenant's", "b.sql:3: platform.emit")
}
