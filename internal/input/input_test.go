package input_test

import (
	"strings"
	"testing"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/input"
)

const refused = "\x00refused"

func check(t *testing.T, rule func(string) (string, error), cases map[string]string) {
	t.Helper()
	for given, want := range cases {
		got, err := rule(given)
		if want == refused {
			f, ok := fault.As(err)
			if !ok || f.Code != fault.CodeInvalidInput || f.Field != "input.x" {
				t.Errorf("%q: got %q, %v; want INVALID_INPUT of input.x", given, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", given, got, err, want)
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	check(t, func(v string) (string, error) { return input.Line("input.x", v, 1, 10) }, map[string]string{
		"Ada":                      "Ada",
		"  Ada L. ":                "Ada L.",
		"Ünïcödé":                  "Ünïcödé",
		"👩\u200d🚀":                 "👩\u200d🚀",
		"می\u200cخواهم":            "می\u200cخواهم",
		strings.Repeat("é", 10):    strings.Repeat("é", 10),
		strings.Repeat("é", 11):    refused,
		"":                         refused,
		"   ":                      refused,
		"\u200d":                   refused,
		"\u0301":                   refused,
		"a\nb":                     refused,
		"a\x00b":                   refused,
		"a\u2028b":                 refused,
		"a\u202eb":                 refused,
		"a\ufeffb":                 refused,
		"a\xffb":                   refused,
		strings.Repeat("x", 1<<20): refused,
	})
	check(t, func(v string) (string, error) { return input.Line("input.x", v, 0, 10) }, map[string]string{"": "", "  ": ""})
}

func TestEmail(t *testing.T) {
	t.Parallel()
	check(t, func(v string) (string, error) { return input.Email("input.x", v) }, map[string]string{
		"owner@acme.test":                      "owner@acme.test",
		" Owner@Acme.TEST ":                    "owner@acme.test",
		"a.b+c@sub.example.co":                 "a.b+c@sub.example.co",
		"":                                     refused,
		"owner":                                refused,
		"owner@":                               refused,
		"@acme.test":                           refused,
		"owner@localhost":                      refused,
		"a..b@acme.test":                       refused,
		"Owner <owner@acme.test>":              refused,
		"<owner@acme.test>":                    refused,
		`"a b"@acme.test`:                      refused,
		"a@b.test, c@d.test":                   refused,
		"a@b.test\r\nBcc: c@d.e":               refused,
		"a@[127.0.0.1]":                        refused,
		"a@127.0.0.1":                          refused,
		"owner@ächme.test":                     refused,
		"a\x00@acme.test":                      refused,
		strings.Repeat("a", 65) + "@acme.test": refused,
		"a@" + strings.Repeat("b.", 130) + "test": refused,
		strings.Repeat("a", 1<<20) + "@acme.test": refused,
	})
}

func TestHostname(t *testing.T) {
	t.Parallel()
	check(t, func(v string) (string, error) { return input.Hostname("input.x", v) }, map[string]string{
		"trade.acme.test":                  "trade.acme.test",
		" Trade.Acme.Test. ":               "trade.acme.test",
		"xn--bcher-kva.example":            "xn--bcher-kva.example",
		"":                                 refused,
		"acme":                             refused,
		"-a.test":                          refused,
		"a-.test":                          refused,
		"a..test":                          refused,
		"a_b.test":                         refused,
		"10.0.0.1":                         refused,
		"https://acme.test":                refused,
		"acme.test/path":                   refused,
		"acme.test:443":                    refused,
		"*.acme.test":                      refused,
		"bücher.example":                   refused,
		strings.Repeat("a", 64) + ".test":  refused,
		strings.Repeat("a.", 130) + "test": refused,
	})
}
