package repolaw

import (
	"errors"
	"fmt"
	"go/ast"
	"go/types"
	"path"
	"slices"
	"strings"
	"testing"
)

// buildersOfSQL may put SQL together, since roles, schemas and seals have names
// that cannot be parameters. None of them runs for a request.
var buildersOfSQL = []string{"db/migrate*.go", "db/seal.go", "db/bootstrap.go"}

// sqlArgument is the place of the SQL text in the calls that send it: pgx's, send,
// which puts the switch before it, and those that add a constant comment.
var sqlArgument = map[string]int{
	"Exec": 1, "Query": 1, "QueryRow": 1, "Queue": 0, "Prepare": 2, "send": 1, "text": 0, constantMaker: 0,
}

// constantMaker alone sets the texts of a db.constant, which may be sent as they are.
const (
	constantMaker = "constantOf"
	constantTexts = "texts"
)

// constantSQL wants each SQL text in db to be a constant: PostgreSQL cannot
// forbid SET ROLE to who can send a statement of their own.
//
// The methods that implement sqlc's interface pass their own parameter on; what
// they are called with is checked at their callers, which are sqlc's constants.
func constantSQL(t *tree) ([]string, error) {
	packages := map[string][]goFile{}
	for _, file := range t.files {
		if within(file.dir, "db") && !file.test {
			packages[file.dir] = append(packages[file.dir], file)
		}
	}
	var offences []string
	for dir, files := range packages {
		constants := constantsOf(t, dir, files)
		for _, file := range files {
			if file.generated || slices.ContainsFunc(buildersOfSQL, func(pattern string) bool {
				ok, err := path.Match(pattern, file.path)
				return ok && err == nil
			}) {
				continue
			}
			for _, decl := range file.syntax.Decls {
				ast.Inspect(decl, func(node ast.Node) bool {
					if text, name := sqlText(node); text != nil && !constants[text] && !ofConstant(text) && !passesOn(decl, text) {
						offences = append(offences, fmt.Sprintf("%s: the SQL of %s is not a constant", t.at(text), name))
					}
					if setsTexts(decl, node) {
						offences = append(offences, fmt.Sprintf("%s: %s alone sets %s", t.at(node), constantMaker, constantTexts))
					}
					return true
				})
			}
		}
	}
	return offences, nil
}

// sqlText is the argument with the SQL if the node is a call that sends some.
func sqlText(node ast.Node) (ast.Expr, string) {
	call, ok := node.(*ast.CallExpr)
	if !ok {
		return nil, ""
	}
	name := ""
	switch function := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = function.Sel.Name
	case *ast.Ident:
		name = function.Name
	}
	place, ok := sqlArgument[name]
	if !ok || len(call.Args) <= place {
		return nil, ""
	}
	return call.Args[place], name
}

// ofConstant reports whether text is one of a db.constant's.
func ofConstant(text ast.Expr) bool {
	index, ok := text.(*ast.IndexExpr)
	if !ok {
		return false
	}
	selector, ok := index.X.(*ast.SelectorExpr)
	return ok && selector.Sel.Name == constantTexts
}

// setsTexts reports whether the node, in another function than theirs, sets the texts
// of a db.constant.
func setsTexts(decl ast.Decl, node ast.Node) bool {
	if function, ok := decl.(*ast.FuncDecl); ok && function.Name.Name == constantMaker && function.Recv == nil {
		return false
	}
	switch node := node.(type) {
	case *ast.AssignStmt:
		return slices.ContainsFunc(node.Lhs, func(to ast.Expr) bool {
			selector, ok := to.(*ast.SelectorExpr)
			return ofConstant(to) || ok && selector.Sel.Name == constantTexts
		})
	case *ast.KeyValueExpr:
		key, ok := node.Key.(*ast.Ident)
		return ok && key.Name == constantTexts
	}
	return false
}

// passesOn reports whether text is the parameter of a method that is itself one
// of the calls that are checked, or that parameter's text in a variant of db, which
// adds a constant comment.
func passesOn(decl ast.Decl, text ast.Expr) bool {
	function, ok := decl.(*ast.FuncDecl)
	if call, isCall := text.(*ast.CallExpr); isCall && len(call.Args) == 1 {
		if method, isMethod := call.Fun.(*ast.SelectorExpr); isMethod && method.Sel.Name == "text" {
			text = call.Args[0]
		}
	}
	name, isName := text.(*ast.Ident)
	if !ok || !isName || function.Recv == nil && function.Name.Name != constantMaker {
		return false
	}
	place, ok := sqlArgument[function.Name.Name]
	if !ok {
		return false
	}
	var parameters []string
	for _, field := range function.Type.Params.List {
		for _, parameter := range field.Names {
			parameters = append(parameters, parameter.Name)
		}
	}
	return place < len(parameters) && parameters[place] == name.Name
}

// constantsOf lists the constant expressions of a package. What the package
// imports is left unknown, which is no constant.
func constantsOf(t *tree, dir string, files []goFile) map[ast.Expr]bool {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: noImports{}, Error: func(error) {}, FakeImportC: true}
	syntax := make([]*ast.File, 0, len(files))
	for _, file := range files {
		syntax = append(syntax, file.syntax)
	}
	// Errors are sure to come, for want of imports, and do not matter.
	_, _ = config.Check(dir, t.fset, syntax, info)
	found := map[ast.Expr]bool{}
	for expr, value := range info.Types {
		if value.Value != nil {
			found[expr] = true
		}
	}
	return found
}

type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }

func TestConstantSQL(t *testing.T) {
	t.Parallel()
	obeyed(t, constantSQL)
	const program = `package db

import "context"

const query = "SELECT 1"

type scope struct{ conn interface{ Exec(context.Context, string, ...any) } }

func (s scope) Exec(ctx context.Context, sql string, args ...any) { s.conn.Exec(ctx, sql, args...) }

func run(ctx context.Context, s scope, batch interface{ Queue(string, ...any) }, table string) {
	s.Exec(ctx, query)
	s.Exec(ctx, other+" LIMIT 1")
	batch.Queue("begin")
	s.Exec(ctx, "DELETE FROM "+table)
	query := table
	s.Exec(ctx, query)
	batch.Queue(query)
}

func (s scope) Sneak(ctx context.Context, sql string) { s.conn.Exec(ctx, sql) }

func (s scope) Query(ctx context.Context, sql string) { s.conn.Exec(ctx, variantOn(s.conn).text(sql)) }

func (s scope) QueryRow(ctx context.Context, sql, more string) { s.conn.Exec(ctx, variantOn(s.conn).text(sql+more)) }

type constant struct{ texts [2]string }

func constantOf(sql string) *constant {
	made := &constant{}
	made.texts[0], made.texts[1] = sql, sql+mark
	return made
}

func (v variant) text(sql string) string { return constantOf(sql).texts[v] }

func made(ctx context.Context, s scope, table string) {
	s.Exec(ctx, constantOf(query).texts[0])
	s.Exec(ctx, constantOf(table).texts[0])
	c := &constant{texts: [2]string{table}}
	c.texts[1] = table
	s.Exec(ctx, c.texts[1])
}
`
	example := map[string]string{
		"db/run.go":           program,
		"db/other.go":         "package db\n\nconst other = \"SELECT 2\"\n",
		"db/seal.go":          strings.ReplaceAll(program, "scope", "seal"),
		"internal/user/of.go": "package user\n\nfunc f(x interface{ Queue(string) }, s string) { x.Queue(s) }\n",
	}
	catches(t, constantSQL, example, "db/run.go:15", "db/run.go:17", "db/run.go:18", "db/run.go:21", "db/run.go:25", "db/run.go:25", "db/run.go:39", "db/run.go:40", "db/run.go:41")
}
