package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

const configurationDoc = "../../docs/configuration.md"

// docs/configuration.md is written from the flags themselves. After a change of
// one, TRADESAGE_WRITE_DOCS=1 go test ./cmd/tradesage -run Configuration writes
// it anew.
func TestConfigurationIsDocumented(t *testing.T) {
	t.Parallel()
	want := configurationReference(t)
	if os.Getenv("TRADESAGE_WRITE_DOCS") != "" {
		if err := os.WriteFile(configurationDoc, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(configurationDoc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error("docs/configuration.md is not what the flags say:\n" + diff)
	}
}

// The README's table has each setting of serve, by name or by a pattern, and none
// that is not there.
func TestConfigurationIsInTheREADME(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Configuration\n")
	var named []*regexp.Regexp
	for _, cell := range regexp.MustCompile("`(TRADESAGE_[A-Z_*{},]+)`").FindAllStringSubmatch(table, -1) {
		pattern := strings.NewReplacer("*", "[A-Z_]+", "{", "(", "}", ")", ",", "|").Replace(cell[1])
		named = append(named, regexp.MustCompile("^"+pattern+"$"))
	}
	parser, err := kong.New(&commands{}, kong.Name("tradesage"))
	if err != nil {
		t.Fatal(err)
	}
	used := map[*regexp.Regexp]bool{}
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			if command.Name != "serve" || len(flag.Envs) == 0 {
				continue
			}
			found := false
			for _, r := range named {
				if r.MatchString(flag.Envs[0]) {
					found, used[r] = true, true
				}
			}
			if !found {
				t.Errorf("%s is not in the README's table", flag.Envs[0])
			}
		}
	}
	for _, r := range named {
		if !used[r] {
			t.Errorf("%s in the README's table is no setting of serve", r)
		}
	}
}

func configurationReference(t *testing.T) string {
	t.Helper()
	parser, err := kong.New(&commands{}, kong.Name("tradesage"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Configuration\n\nEvery setting is a flag and a variable; the flag wins. A bad value names itself and stops the start; variables that begin with TRADESAGE_ and are no setting are named in the log.\n")
	for _, command := range parser.Model.Children {
		describeCommand(&b, command)
	}
	return b.String()
}

// describeCommand writes a table of a command's flags, and of its subcommands'.
func describeCommand(b *strings.Builder, command *kong.Node) {
	rows := ""
	for _, flag := range command.Flags {
		if flag.Name == "help" {
			continue
		}
		if len(flag.Envs) == 0 && flag.Help == "" {
			panic("flag without help: " + flag.Name)
		}
		initial := flag.Default
		if initial != "" {
			initial = "`" + initial + "`"
		}
		envs := ""
		if len(flag.Envs) > 0 {
			envs = "`" + strings.Join(flag.Envs, "` or `") + "`"
		}
		rows += fmt.Sprintf("| `--%s` | %s | %s | %s |\n", flag.Name, envs, initial, flag.Help)
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n", command.FullPath(), command.Help)
	if rows != "" {
		b.WriteString("\n| flag | variable | default | meaning |\n|---|---|---|---|\n" + rows)
	}
	for _, child := range command.Children {
		describeCommand(b, child)
	}
}
