package subgraphs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// public names the root fields that need no caller.
var public = map[string]bool{
	"login": true, "refreshSession": true, "switchTenant": true, "register": true, "verifyEmail": true,
	"requestPasswordReset": true, "resetPassword": true, "acceptInvitation": true,
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*/*.graphqls")
	if err != nil || len(files) == 0 {
		t.Fatal("no schemas", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := parser.ParseSchema(&ast.Source{Name: file, Input: string(text)})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range append(schema.Definitions, schema.Extensions...) {
			root := d.Name == "Query" || d.Name == "Mutation" || d.Name == "Subscription"
			for _, f := range d.Fields {
				if root && !public[f.Name] && f.Directives.ForName("authenticated") == nil {
					t.Errorf("%s: %s.%s lacks @authenticated", file, d.Name, f.Name)
				}
				if strings.HasSuffix(f.Type.Name(), "Connection") && (f.Arguments.ForName("first") == nil || f.Arguments.ForName("after") == nil) {
					t.Errorf("%s: %s.%s is a list without first and after", file, d.Name, f.Name)
				}
			}
		}
	}
}
