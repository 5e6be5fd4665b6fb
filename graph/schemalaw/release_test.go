package schemalaw

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var announced = regexp.MustCompile("(?m)^- Breaking: `([^`]+)` \\S")

// unreleased is the change log's section of what the base does not have yet: its
// first.
func unreleased(log string) string {
	_, section, _ := strings.Cut("\n"+log, "\n## ")
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// unannounced returns a complaint for each change that the log does not tell of,
// and for each that it tells of and is none.
func unannounced(changes []change, log string) []string {
	told := map[string]bool{}
	for _, match := range announced.FindAllStringSubmatch(unreleased(log), -1) {
		told[match[1]] = false
	}
	var complaints []string
	for _, c := range changes {
		if _, ok := told[c.at]; !ok {
			complaints = append(complaints, "this breaks clients; if it must be, CHANGELOG.md says under Unreleased: "+c.line())
			continue
		}
		told[c.at] = true
	}
	for at, used := range told {
		if !used {
			complaints = append(complaints, "CHANGELOG.md announces a breaking change of `"+at+"`, and there is none")
		}
	}
	slices.Sort(complaints)
	return complaints
}

// A change of the composed schema that breaks clients of the last release is told
// in the change log.
func TestBreakingChangesAreAnnounced(t *testing.T) {
	t.Parallel()
	changes, err := breaking(read(t, "../supergraph.base.graphql"), read(t, "../supergraph.graphql"))
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range unannounced(changes, read(t, "../../CHANGELOG.md")) {
		t.Error(complaint)
	}
}

func TestAnnouncements(t *testing.T) {
	t.Parallel()
	changes := []change{{"User.email", "was removed"}, {"Role", "was removed"}}
	const log = "# Changelog\n\n## Unreleased\n- News.\n- Breaking: `User.email` was removed; use `User.emails`.\n%\n## 1.0\n- Breaking: `Role` was removed.\n"
	for name, c := range map[string]struct {
		more string
		want []string
	}{
		"one is missing": {"", []string{"this breaks clients; if it must be, CHANGELOG.md says under Unreleased: - Breaking: `Role` was removed"}},
		"both are told":  {"- Breaking: `Role` was removed; nobody used it.\n", nil},
		"one is stale": {"- Breaking: `Role` was removed.\n- Breaking: `User.id` was removed.\n",
			[]string{"CHANGELOG.md announces a breaking change of `User.id`, and there is none"}},
		"one says nothing": {"- Breaking: `Role`\n", []string{"this breaks clients; if it must be, CHANGELOG.md says under Unreleased: - Breaking: `Role` was removed"}},
	} {
		if diff := cmp.Diff(c.want, unannounced(changes, strings.ReplaceAll(log, "%", c.more))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestBreakingChanges(t *testing.T) {
	t.Parallel()
	const d = "directive @d(a: Int) repeatable on FIELD_DEFINITION | OBJECT "
	for name, c := range map[string]struct {
		before, after string
		want          []string // "at: what"
	}{
		"a type goes":                 {"type T { x: Int } type U { x: Int }", "type T { x: Int }", []string{"U: was removed"}},
		"a type turns":                {"type T { x: Int }", "interface T { x: Int }", []string{"T: was object and is interface"}},
		"a field goes":                {"type T { x: Int y: Int }", "type T { x: Int }", []string{"T.y: was removed"}},
		"a field of an interface":     {"interface T { x: Int y: Int }", "interface T { x: Int }", []string{"T.y: was removed"}},
		"a field's type":              {"type T { x: Int }", "type T { x: String }", []string{"T.x: was Int and is String"}},
		"a field can be null":         {"type T { x: Int! }", "type T { x: Int }", []string{"T.x: was Int! and is Int"}},
		"a field cannot":              {"type T { x: Int }", "type T { x: Int! }", nil},
		"an element can be null":      {"type T { x: [Int!]! }", "type T { x: [Int]! }", []string{"T.x: was [Int!]! and is [Int]!"}},
		"an element cannot":           {"type T { x: [Int] }", "type T { x: [Int!]! }", nil},
		"one becomes a list":          {"type T { x: Int }", "type T { x: [Int] }", []string{"T.x: was Int and is [Int]"}},
		"an argument goes":            {"type T { x(a: Int): Int }", "type T { x: Int }", []string{"T.x(a:): was removed"}},
		"an argument's type":          {"type T { x(a: Int): Int }", "type T { x(a: String): Int }", []string{"T.x(a:): was Int and is String"}},
		"an argument is required":     {"type T { x(a: Int): Int }", "type T { x(a: Int!): Int }", []string{"T.x(a:): was Int and is Int!"}},
		"an argument is not":          {"type T { x(a: Int!): Int }", "type T { x(a: Int): Int }", nil},
		"an argument not null":        {"type T { x(a: Int = 1): Int }", "type T { x(a: Int! = 1): Int }", []string{"T.x(a:): was Int and is Int!, which null is not"}},
		"a list that may hold null":   {"type T { x(a: [Int!]): Int }", "type T { x(a: [Int]): Int }", nil},
		"a list that may not":         {"type T { x(a: [Int]): Int }", "type T { x(a: [Int!]): Int }", []string{"T.x(a:): was [Int] and is [Int!]"}},
		"a new argument":              {"type T { x: Int }", "type T { x(a: Int): Int }", nil},
		"a new required argument":     {"type T { x: Int }", "type T { x(a: Int!): Int }", []string{"T.x(a:): is new and required"}},
		"one with a default":          {"type T { x: Int }", "type T { x(a: Int! = 1): Int }", nil},
		"another default":             {"type T { x(a: Int = 1): Int }", "type T { x(a: Int = 2): Int }", []string{"T.x(a:): was 1 if left out and is 2"}},
		"no default":                  {"type T { x(a: Int = 1): Int }", "type T { x(a: Int): Int }", []string{"T.x(a:): was 1 if left out and is nothing"}},
		"an input field goes":         {"input I { x: Int y: Int }", "input I { x: Int }", []string{"I.y: was removed"}},
		"an input field is required":  {"input I { x: Int }", "input I { x: Int! }", []string{"I.x: was Int and is Int!"}},
		"a new input field":           {"input I { x: Int }", "input I { x: Int y: Int }", nil},
		"a new required input field":  {"input I { x: Int }", "input I { x: Int y: Int! }", []string{"I.y: is new and required"}},
		"another input default":       {"input I { x: Int = 1 }", "input I { x: Int = 2 }", []string{"I.x: was 1 if left out and is 2"}},
		"an enum value goes":          {"enum E { A B }", "enum E { A }", []string{"E.B: was removed"}},
		"a new enum value":            {"enum E { A }", "enum E { A B }", nil},
		"a union member goes":         {"union U = A | B type A { x: Int } type B { x: Int }", "union U = A type A { x: Int } type B { x: Int }", []string{"U: no longer has the member B"}},
		"a new union member":          {"union U = A type A { x: Int } type B { x: Int }", "union U = A | B type A { x: Int } type B { x: Int }", nil},
		"an interface is left":        {"interface N { x: Int } type A implements N { x: Int }", "interface N { x: Int } type A { x: Int }", []string{"A: no longer implements N"}},
		"a scalar goes":               {"scalar S type T { x: Int }", "type T { x: Int }", []string{"S: was removed"}},
		"a directive goes":            {d + "type T { x: Int }", "type T { x: Int }", []string{"@d: was removed"}},
		"a directive's place":         {d, "directive @d(a: Int) repeatable on OBJECT", []string{"@d: can no longer be on FIELD_DEFINITION"}},
		"a directive's argument":      {d, "directive @d repeatable on FIELD_DEFINITION | OBJECT", []string{"@d(a:): was removed"}},
		"a required one":              {d, "directive @d(a: Int, b: Int!) repeatable on FIELD_DEFINITION | OBJECT", []string{"@d(b:): is new and required"}},
		"a directive once":            {d, "directive @d(a: Int) on FIELD_DEFINITION | OBJECT", []string{"@d: can no longer be repeated"}},
		"a root":                      {"schema { query: Q mutation: M } type Q { x: Int } type M { x: Int }", "schema { query: Q } type Q { x: Int } type M { x: Int }", []string{"schema: had M as its mutation"}},
		"a token is needed":           {"type T { x: Int }", "type T { x: Int @authenticated }", []string{"T.x: now needs a token"}},
		"none is":                     {"type T { x: Int @authenticated }", "type T { x: Int }", nil},
		"a permission is needed":      {"type T { x: Int }", `type T { x: Int @requiresScopes(scopes: [["a"]]) }`, []string{"T.x: now needs other permissions"}},
		"another one too":             {`type T { x: Int @requiresScopes(scopes: [["a"]]) }`, `type T { x: Int @requiresScopes(scopes: [["a", "b"]]) }`, []string{"T.x: now needs other permissions"}},
		"another one will do":         {`type T { x: Int @requiresScopes(scopes: [["a"]]) }`, `type T { x: Int @requiresScopes(scopes: [["a"], ["b"]]) }`, nil},
		"fewer are needed":            {`type T { x: Int @requiresScopes(scopes: [["a", "b"]]) }`, `type T { x: Int @requiresScopes(scopes: [["b"]]) }`, nil},
		"words and order":             {`"A." type T { "X." x: Int y: Int } enum E { A B }`, `enum E { B A } "B." type T { y: Int "Y." x: Int }`, nil},
		"what is deprecated is there": {"type T { x: Int }", `type T { x: Int @deprecated(reason: "Use y.") y: Int }`, nil},
		"many at once":                {"type T { x: Int y: Int! } enum E { A }", "type T { y: Int } enum E { B }", []string{"E.A: was removed", "T.x: was removed", "T.y: was Int! and is Int"}},
	} {
		changes, err := breaking(c.before, c.after)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, change := range changes {
			got = append(got, change.at+": "+change.what)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
