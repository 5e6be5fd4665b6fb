package main_test

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/internal/tenant"
)

var statementName = regexp.MustCompile(`-- name: (\w+)`)

// names are those of the generated queries, sorted; that of permissions once, since
// parts of an operation that ask at the same moment are one statement.
func names(statements []string) []string {
	out := make([]string, len(statements))
	for i, sql := range statements {
		if out[i] = sql; statementName.MatchString(sql) {
			out[i] = statementName.FindStringSubmatch(sql)[1]
		}
	}
	slices.Sort(out)
	return slices.CompactFunc(out, func(a, b string) bool { return a == b && a == "ListPermissionsOfUsers" })
}

// nested are lists in lists across the subgraphs; rows tells how long the list is
// whose rows all the rest belongs to.
var nested = []struct {
	name, query string
	rows        []any
}{
	{"people and all that is theirs", `{ users(first: 50) { edges { node { id email
		roles { key users(first: 3) { edges { node { email roles { key } } } } }
		sessions(first: 2) { edges { node { id user { email displayName sessions(first: 1) { edges { node { id } } } } tenant { slug }
			device { name user { email } sessions(first: 2) { edges { node { id device { id } } } } } } } }
		devices(first: 2) { edges { node { name user { displayName } } } }
		memberships { joinedAt user { email } tenant { slug users(first: 2) { edges { node { id } } } } }
		auditEvents(first: 2) { edges { node { action actor { email } session { id device { name } } } } }
		tenant { id name roles { key } users(first: 3) { edges { node { email sessions(first: 1) { edges { node { id } } } } } } }
	} } } }`, []any{"users", "edges"}},
	{"a tenant's people", `{ tenant { slug users(first: 50) { edges { node { email roles { key } memberships { current tenant { name } }
		sessions(first: 1) { edges { node { user { email } device { name } } } } } } } } }`, []any{"tenant", "users", "edges"}},
	{"who holds a role", `{ roles { key users(first: 50) { edges { node { email roles { key } memberships { joinedAt }
		sessions(first: 1) { edges { node { device { name } } } } } } } } }`, []any{"roles", 3, "users", "edges"}},
	{"the record", `{ auditEvents(first: 50) { edges { node { action actor { email roles { key } memberships { joinedAt } }
		session { id user { email } tenant { slug } device { name } } } } } }`, []any{"auditEvents", "edges"}},
	{"one's own sessions and devices", `{ sessions(first: 50) { edges { node { id user { email memberships { tenant { slug } } } tenant { slug }
		device { name sessions(first: 2) { edges { node { id device { name } } } } user { email } } } } }
		devices(first: 50) { edges { node { name user { email roles { key } } sessions(first: 1) { edges { node { id } } } } } } }`, []any{"sessions", "edges"}},
}

// What a list costs PostgreSQL does not depend on its length: the statements of
// two rows are those of fifty.
func TestStatementsDoNotGrowWithTheList(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	boss := w.person(t, w.in, "boss", tenant.RoleAdmin)
	w.person(t, w.in, "viewer 1", tenant.RoleViewer)
	w.person(t, w.in, "viewer 2", tenant.RoleViewer)
	w.signIn(t, w.in, boss.Subject)
	type cost struct {
		rows       int
		statements []string
	}
	measure := func() []cost {
		costs := make([]cost, len(nested))
		for i, n := range nested {
			answer, statements := w.counted(t, w.router, "boss", n.query, nil)
			if len(answer.Errors) > 0 {
				t.Fatalf("%s: %+v", n.name, answer.Errors)
			}
			rows, _ := dig(answer.Data, n.rows...).([]any)
			costs[i] = cost{len(rows), names(statements)}
		}
		return costs
	}
	few := measure()
	for i := range 48 {
		w.person(t, w.in, fmt.Sprint("viewer ", i+3), tenant.RoleViewer)
		w.signIn(t, w.in, boss.Subject)
	}
	many := measure()
	for i, n := range nested {
		if few[i].rows < 2 || few[i].rows > 10 || many[i].rows != 50 {
			t.Errorf("%s: lists of %d and %d, want 2 to 10 and 50", n.name, few[i].rows, many[i].rows)
		}
		if diff := cmp.Diff(few[i].statements, many[i].statements); diff != "" {
			t.Errorf("%s: the statements of %d rows and of 50 differ: %s", n.name, few[i].rows, diff)
		}
		if n := len(many[i].statements); n < 4 || n > 40 {
			t.Errorf("%s: %d statements: %v", nested[i].name, n, many[i].statements)
		}
	}
}
