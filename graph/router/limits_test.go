package router_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/internal/fault"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(s *shop) {
		s.options.Limits.MaxTokens = 400
		s.options.Limits.MaxDepth = 6
		s.options.Limits.MaxFields = 40
		s.options.Limits.MaxAliases = 10
		s.options.Limits.MaxRootFields = 5
		s.options.Limits.Guarded = []string{"rename", "orders"}
	})
	deep := func(n int) string {
		return "{ me " + strings.Repeat("{ friend ", n) + "{ id }" + strings.Repeat(" }", n) + " }"
	}
	aliases := func(n int) string {
		out := "{ me {"
		for i := range n {
			out += fmt.Sprintf(" a%d: id", i)
		}
		return out + " } }"
	}
	bomb := "{ me { ...A0 } }"
	for i := range 30 {
		bomb += fmt.Sprintf(" fragment A%d on User { ...A%d ...A%d }", i, i+1, i+1)
	}
	bomb += " fragment A30 on User { id }"
	for text, want := range map[string]string{
		deep(4):     "",
		deep(5):     "more than 6 levels",
		aliases(10): "",
		aliases(11): "more than 10 aliases",
		"{ me {" + strings.Repeat(" id", 39) + "} }":                                               "",
		"{ me {" + strings.Repeat(" id", 40) + "} }":                                               "more than 40 fields",
		"{ " + strings.Repeat("me { id } ", 5) + "}":                                               "",
		"{ ...F ...F } fragment F on Query {" + strings.Repeat(" me { id }", 3) + " }":             "more than 5 root fields",
		`mutation { rename(id: "u1", name: "A") { id orders { id } } }`:                            "",
		`{ a: orders { id } b: orders { id } }`:                                                    "",
		`mutation { a: rename(id: "u1", name: "A") { id } b: rename(id: "u1", name: "B") { id } }`: "more than one field of rename, orders",
		`mutation { ...F ... on Mutation { b: rename(id: "u1", name: "B") { id } } } fragment F on Mutation { rename(id: "u1", name: "A") { id } }`: "more than one field of rename, orders",
		"{ " + strings.Repeat("me { id } ", 6) + "}":                                                       "more than 5 root fields",
		"{ me { ...F ...F } } fragment F on User {" + strings.Repeat(" id", 25) + "}":                      "more than 40 fields",
		"{ me { friend { ...F } } } fragment F on User { friend { friend { friend { friend { id } } } } }": "more than 6 levels",
		"{ user(id: " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + ") { id } }":                 "more than 400 tokens",
		bomb: "more than 40 fields",
	} {
		got := query(s.router, text, "")
		if want == "" {
			if strings.Contains(got.body, "errors") {
				t.Errorf("%.60s: %s", text, got.body)
			}
			continue
		}
		wantError(t, got, fault.CodeOperationTooComplex, want)
	}
	if calls := len(s.users.Calls()); calls > 8 {
		t.Errorf("subgraphs were asked %d times", calls)
	}
}

func TestDefaultLimitsLeaveRoom(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	// The query that GraphiQL and code generators begin with.
	got := query(s.router, introspectionQuery, "")
	if !strings.HasPrefix(got.body, `{"data":{"__schema"`) {
		t.Errorf("%.300s", got.body)
	}
}

func TestDocumentsThatMustNotBePlanned(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for text, want := range map[string]string{
		"{ me { ...F } } fragment F on User { ...F }":                                        "spreads itself",
		"{ me { ...F } } fragment F on User { friend { ...G } } fragment G on User { ...F }": "spreads itself",
		"{ me { id } } fragment F on User { ...G } fragment G on User { ...F }":              "spreads itself",
		"{ me { ...Nope } }":                                    "unknown fragment",
		"{ me { id } \x00 nonsense }":                           "control character",
		"{ me { id } }\x1b":                                     "control character",
		"subscription { userRenamed { id } }":                   "subscriptions",
		"query($x: Nope) { me { id } }":                         "",
		"query($x: String) { me { id } }":                       "",
		"{ user(id: $x) { id } }":                               "",
		"query($a: ID!, $a: ID!) { user(id: $a) { id } }":       "",
		"{ me { id @skip } }":                                   "@skip needs",
		"{ me { id @include(if: null) } }":                      "@include needs",
		"query($s: String) { me { id @skip(if: $s) } }":         "must be a Boolean",
		"{ me { id @skip(if: $s) } }":                           "",
		"{ me { id @nope } }":                                   "",
		"{ me }":                                                "",
		"{ me { id { x } } }":                                   "",
		"{ echo(value: 7) }":                                    "",
		"{ users(limit: 99999999999) { id } }":                  "",
		"{ user(id: \"1\", id: \"2\") { id } }":                 "",
		"{ search(filter: {name: \"a\", name: \"b\"}) { id } }": "",
		"{ me { ... on Order { id } } }":                        "",
		"{":                                                     "",
		"}":                                                     "",
		"{ }":                                                   "",
		"query":                                                 "",
		"mutation { nope }":                                     "",
		"{ me { friend: name friend { id } } }":                 "conflict",
		"{ user(id: \"u1\") { id } user(id: \"u2\") { id } }": "conflict",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			wantError(t, query(s.router, text, ""), fault.CodeInvalidInput, want)
		})
	}
}

const introspectionQuery = `query IntrospectionQuery { __schema { queryType { name } mutationType { name } subscriptionType { name }
 types { ...FullType } directives { name description locations args { ...InputValue } } } }
fragment FullType on __Type { kind name description
 fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
 inputFields { ...InputValue } interfaces { ...TypeRef }
 enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
 ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }`
