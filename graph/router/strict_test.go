package router_test

import (
	"strings"
	"testing"

	"github.com/tradesage/tradesage/internal/fault"
)

// What the specification calls invalid is refused, and nothing is made of it.
func TestInvalidDocuments(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for name, c := range map[string]struct{ text, message string }{
		"a selection of __typename":  {`{__typename{a}}`, "__typename has no fields"},
		"the same further down":      {`{me{__typename{id}}}`, "__typename has no fields"},
		"an unused fragment":         {`{me{id}} fragment A on User{id}`, `fragment "A" is never used`},
		"fragments of each other":    {`{me{id}} fragment A on User{...B} fragment B on User{id}`, "is never used"},
		"a fragment twice":           {`{me{...A}} fragment A on User{id} fragment A on User{name}`, `two fragments "A"`},
		"a directive twice":          {`{me{id @skip(if:false) @skip(if:false)}}`, "may stand once"},
		"a spread's directive twice": {`{me{...A @include(if:true) @include(if:true)}} fragment A on User{id}`, "may stand once"},
		"a number with zeros":        {`{users(limit:01){id}}`, "syntax error"},
		"a number without digits":    {`{users(limit:-){id}}`, "syntax error"},
		"an unknown escape":          {`{echo(value:"\q")}`, "syntax error"},
		"an escape without digits":   {`{echo(value:"\u{}")}`, "syntax error"},
		"half a pair":                {`{echo(value:"\uD83D")}`, "is no character"},
		"the wrong half":             {`{echo(value:"\uDE00\uD83D")}`, "is no character"},
		"beyond all characters":      {`{echo(value:"\u{110000}")}`, "is no character"},
		"no end of a string":         {`{echo(value:"a)}`, "syntax error"},
		"no end of a block":          {`{echo(value:"""a)}`, "syntax error"},
		"a subscription of nothing":  {`subscription{__typename}`, "a field that has events"},
		"no arguments":               {`{users(){id}}`, "syntax error"},
		"no variables":               {`query(){me{id}}`, "syntax error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := query(s.router, c.text, "")
			wantError(t, got, fault.CodeInvalidInput, "")
			if !strings.Contains(got.body, strings.ReplaceAll(c.message, `"`, `\"`)) {
				t.Errorf("%s\nwant %q", got.body, c.message)
			}
		})
	}
}

// What looks unusual and is legal means what the specification says.
func TestUnusualDocuments(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for name, c := range map[string]struct{ text, want string }{
		"a byte order mark":          {"\ufeff{echo(value:\"a\")}", `a`},
		"an escape in braces":        {`{echo(value:"\u{1F600}")}`, `😀`},
		"leading zeros in it":        {`{echo(value:"\u{000041}")}`, `A`},
		"a surrogate pair":           {`{echo(value:"\uD83D\uDE00")}`, `😀`},
		"an escaped quote":           {`{echo(value:"\u0022\u{22}\u005C\u{a}")}`, `\"\"\\\n`},
		"a backslash before a u":     {`{echo(value:"\\u{41}")}`, `\\u{41}`},
		"no escapes in a block":      {`{echo(value:"""\u{41}""")}`, `\\u{41}`},
		"an escape after a block":    {`{a:echo(value:""" \""" " """) echo(value:"\u{41}")}`, `A`},
		"quotes in a comment":        {"{#\"\n echo(value:\"\\u{41}\")}", `A`},
		"a fragment by way of one":   {`{...A} fragment A on Query{...B} fragment B on Query{echo(value:"x")}`, `x`},
		"two directives in one spot": {`{echo(value:"x") @skip(if:false) @include(if:true)}`, `x`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := query(s.router, c.text, "")
			if !strings.Contains(got.body, `"echo":"`+c.want+`"`) || strings.Contains(got.body, `"errors"`) {
				t.Errorf("%s\nwant %s", got.body, c.want)
			}
		})
	}
}

// An answer does not grow with what a client has made up.
func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	long := strings.Repeat("x", 100_000)
	for _, text := range []string{`{` + long + `}`, `{me{id}} fragment ` + long + ` on User{id}`, `{...` + long + `}`,
		`{users(limit:` + strings.Repeat("9", 50_000) + `){id}}`, `{users(` + long + `:1){id}}`, `{echo(value:"\u{` + strings.Repeat("9", 50_000) + `}")}`} {
		got := query(s.router, text, "")
		wantError(t, got, fault.CodeInvalidInput, "")
		if len(got.body) > 2000 {
			t.Errorf("%.40s: an answer of %d bytes", text, len(got.body))
		}
	}
}
