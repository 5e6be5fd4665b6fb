package repolaw

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

const module = "github.com/tradesage/tradesage"

// goFile is a parsed source file.
type goFile struct {
	path      string // from the root, with slashes
	dir       string
	test      bool
	generated bool
	lines     int
	syntax    *ast.File
}

// tree is the repository, or an example of one.
type tree struct {
	fsys  fs.FS
	fset  *token.FileSet
	files []goFile
}

// repository is the real tree, read once.
var repository = sync.OnceValues(func() (*tree, error) { return load(os.DirFS("../..")) })

func load(fsys fs.FS) (*tree, error) {
	t := &tree{fsys: fsys, fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := entry.Name()
			if name != "." && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "testdata" || name == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(t.fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		t.files = append(t.files, goFile{
			path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			generated: ast.IsGenerated(syntax), lines: strings.Count(string(source), "\n"), syntax: syntax,
		})
		return nil
	})
	return t, err
}

// at is the place of a node, for messages.
func (t *tree) at(node ast.Node) string { return t.fset.Position(node.Pos()).String() }

// glob lists the files that match the pattern, in order.
func (t *tree) glob(pattern string) ([]string, error) { return fs.Glob(t.fsys, pattern) }

// rule returns one line for each offence.
type rule func(*tree) ([]string, error)

// obeyed fails the test for each offence in the repository.
func obeyed(t *testing.T, r rule) {
	t.Helper()
	ours, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	offences, err := r(ours)
	if err != nil {
		t.Fatal(err)
	}
	for _, offence := range offences {
		t.Error(offence)
	}
}

// catches fails the test unless the rule finds in the example exactly the wanted
// offences, each named by a part of its text, in order.
func catches(t *testing.T, r rule, example map[string]string, want ...string) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range example {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	bad, err := load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	offences, err := r(bad)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(offences)
	if len(offences) != len(want) {
		t.Fatalf("got %d offences, want %d: %q", len(offences), len(want), offences)
	}
	for i, part := range want {
		if !strings.Contains(offences[i], part) {
			t.Errorf("offence %q does not mention %q", offences[i], part)
		}
	}
}
