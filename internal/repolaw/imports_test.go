package repolaw

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// domainOrder says what each domain package may import of the others in
// internal that the order covers; packages not named here may import all but
// what lawOfModule says of them.
var domainOrder = map[string][]string{
	"fault":      {},
	"identity":   {"fault"},
	"permission": {"fault", "identity"},
	"tenant":     {"fault", "identity", "permission"},
	"user":       {"fault", "identity", "permission", "tenant"},
	"session":    {"fault", "identity", "permission", "tenant"},
	"auth":       {"fault", "identity", "permission", "tenant", "user", "session"},
}

// forTests are packages that exist for tests: dbtest for all of them, backing
// for them and for cmd.
var forTests = []string{"internal/dbtest", "internal/backing"}

// lawOfModule says why a package of ours may not import another, or "".
func lawOfModule(from string, test bool, to string) string {
	if to == from || test && slices.Contains(forTests, to) {
		return ""
	}
	if to == "internal/dbtest" && from != to {
		return "dbtest is for tests"
	}
	if within(to, "graph/graphtest") && !test && !within(from, "graph/graphtest") {
		return "graphtest is for tests"
	}
	if to == "internal/backing" && !within(from, "cmd") && from != "internal/dbtest" {
		return "backing services are cmd's and the tests'"
	}
	var allowed []string
	switch top, _, _ := strings.Cut(from, "/"); top {
	case "cmd":
		return ""
	case "graph":
		allowed = []string{"graph", "internal"}
	case "subgraphs":
		parts := strings.SplitN(from, "/", 3)
		allowed = []string{"graph/subgraph", "internal"}
		if len(parts) > 1 {
			allowed = append(allowed, parts[0]+"/"+parts[1])
		}
	case "internal":
		allowed = []string{"internal", "db"}
	case "db":
		allowed = []string{"db", "migrations"}
	}
	if !slices.ContainsFunc(allowed, func(dir string) bool { return within(to, dir) }) {
		return fmt.Sprintf("may import of ours only %q", allowed)
	}
	if within(from, "internal/backing") {
		return "backing knows nothing of ours"
	}
	importer, inOrder := domainOrder[domain(from)]
	_, ordered := domainOrder[domain(to)]
	if domain(from) == "fault" {
		return "fault imports nothing of ours"
	}
	if within(to, "internal") && inOrder && domain(from) != domain(to) {
		if domain(from) == "identity" && domain(to) != "fault" {
			return "identity imports only fault and db"
		}
		if ordered && !slices.Contains(importer, domain(to)) {
			return fmt.Sprintf("the order in internal lets %s import only %q", domain(from), importer)
		}
	}
	return ""
}

// lawOfLibraries says why a package of ours may not import a library, or "".
func lawOfLibraries(from, library string) string {
	anyWithin := func(dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return within(from, dir) })
	}
	switch {
	case within(library, "github.com/99designs/gqlgen"), within(library, "github.com/vektah/gqlparser"):
		if anyWithin("internal", "db", "migrations") && from != "internal/repolaw" {
			return "the domain and the database know no GraphQL"
		}
	case strings.HasPrefix(library, "github.com/jackc/"):
		if within(library, "github.com/jackc/pgx/v5/pgxpool") && !anyWithin("db") {
			return "only db has connection pools"
		}
		if !anyWithin("db", "internal/backing", "internal/dbtest") {
			return "only db talks to PostgreSQL"
		}
	case strings.HasPrefix(library, "github.com/wundergraph/"):
		if !anyWithin("graph/router") {
			return "the engine's types stay in graph/router"
		}
	}
	return ""
}

func importLaw(t *tree) ([]string, error) {
	var offences []string
	for _, file := range t.files {
		for _, spec := range file.syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			reason := lawOfLibraries(file.dir, imported)
			if within(imported, module) {
				reason = lawOfModule(file.dir, file.test, strings.TrimPrefix(strings.TrimPrefix(imported, module), "/"))
			}
			if reason != "" {
				offences = append(offences, fmt.Sprintf("%s: imports %s: %s", t.at(spec), imported, reason))
			}
		}
	}
	return offences, nil
}

// within reports whether dir is root or below it.
func within(dir, root string) bool { return dir == root || strings.HasPrefix(dir, root+"/") }

// domain is the first folder below internal.
func domain(dir string) string {
	rest, ok := strings.CutPrefix(dir, "internal/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func TestImportLaw(t *testing.T) {
	t.Parallel()
	obeyed(t, importLaw)
}

func TestImportLawCatches(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		file, imported string
		want           string // "" is lawful
	}{
		{"cmd/tradesage/main.go", module + "/subgraphs/auth", ""},
		{"cmd/tradesage/main.go", module + "/internal/backing", ""},
		{"cmd/tradesage/main.go", module + "/internal/dbtest", "for tests"},
		{"cmd/tradesage/main_test.go", module + "/internal/dbtest", ""},
		{"graph/router/a.go", module + "/graph", ""},
		{"graph/router/a.go", module + "/graph/graphtest", "for tests"},
		{"graph/router/a_test.go", module + "/graph/graphtest/monolith", ""},
		{"cmd/tradesage/main.go", module + "/graph/graphtest/monolith/product", "for tests"},
		{"graph/graphtest/monolith/a.go", module + "/graph/graphtest", ""},
		{"graph/router/a.go", module + "/internal/identity", ""},
		{"graph/router/a.go", module + "/db", "only"},
		{"graph/router/a.go", module + "/subgraphs/auth", "only"},
		{"graph/router/a.go", "github.com/wundergraph/astjson", ""},
		{"graph/subgraph/a.go", "github.com/wundergraph/astjson", "graph/router"},
		{"graph/routers/a.go", "github.com/wundergraph/graphql-go-tools/v2/pkg/ast", "graph/router"},
		{"subgraphs/auth/a.go", module + "/graph/subgraph", ""},
		{"subgraphs/auth/a.go", module + "/subgraphs/auth/generated", ""},
		{"subgraphs/auth/generated/a.go", module + "/subgraphs/auth/model", ""},
		{"subgraphs/auth/a.go", module + "/subgraphs/user/model", "only"},
		{"subgraphs/auth/a.go", module + "/db/tenantdb", "only"},
		{"subgraphs/auth/a.go", module + "/graph/router", "only"},
		{"subgraphs/auth/a_test.go", module + "/internal/dbtest", ""},
		{"internal/user/a.go", module + "/db", ""},
		{"internal/user/a.go", module + "/internal/tenant", ""},
		{"internal/user/a.go", module + "/internal/session", "order"},
		{"internal/user/a_test.go", module + "/internal/auth", "order"},
		{"internal/session/a.go", module + "/internal/user", "order"},
		{"internal/tenant/a.go", module + "/internal/user", "order"},
		{"internal/tenant/provision/a.go", module + "/internal/auth/token", "order"},
		{"internal/permission/a.go", module + "/internal/tenant", "order"},
		{"internal/session/a.go", module + "/internal/permission", ""},
		{"internal/auth/a.go", module + "/internal/session", ""},
		{"internal/auth/a.go", module + "/graph", "only"},
		{"internal/auth/a.go", module + "/internal/backing", "cmd's"},
		{"internal/dbtest/a.go", module + "/internal/backing", ""},
		{"internal/fault/a.go", module + "/db", "nothing"},
		{"internal/identity/a.go", module + "/internal/fault", ""},
		{"internal/identity/a.go", module + "/internal/page", "only"},
		{"internal/backing/a.go", module + "/internal/fault", "nothing"},
		{"internal/auth/a.go", "github.com/99designs/gqlgen/graphql", "no GraphQL"},
		{"db/a.go", "github.com/vektah/gqlparser/v2/ast", "no GraphQL"},
		{"internal/repolaw/a_test.go", "github.com/vektah/gqlparser/v2/ast", ""},
		{"db/a.go", module + "/migrations", ""},
		{"db/a.go", module + "/db/tenantdb", ""},
		{"db/a.go", module + "/internal/fault", "only"},
		{"db/a_test.go", module + "/internal/dbtest", ""},
		{"db/a.go", "github.com/jackc/pgx/v5/pgxpool", ""},
		{"internal/dbtest/a.go", "github.com/jackc/pgx/v5", ""},
		{"internal/dbtest/a.go", "github.com/jackc/pgx/v5/pgxpool", "pools"},
		{"internal/backing/a.go", "github.com/jackc/pgx/v5/pgconn", ""},
		{"internal/user/a.go", "github.com/jackc/pgx/v5", "PostgreSQL"},
		{"cmd/tradesage/main.go", "github.com/jackc/pgx/v5/pgxpool", "pools"},
		{"migrations/a.go", module + "/db", "only"},
		{"web/a.go", module + "/internal/fault", "only"},
	} {
		t.Run(test.file+" imports "+test.imported, func(t *testing.T) {
			t.Parallel()
			example := map[string]string{test.file: "package p\n\nimport _ \"" + test.imported + "\"\n"}
			if test.want == "" {
				catches(t, importLaw, example)
			} else {
				catches(t, importLaw, example, test.want)
			}
		})
	}
}
