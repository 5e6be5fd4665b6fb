package graphtest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Shrink returns a small legal operation for which fails holds, made from one for
// which it does by leaving things out.
func Shrink(schema *ast.Schema, o Operation, fails func(Operation) bool) Operation {
	for smaller := true; smaller; {
		smaller = false
		for n := 0; ; n++ {
			next, ok := without(schema, o, n)
			if !ok {
				break
			}
			if size(next) < size(o) && legal(schema, next) && fails(next) {
				o, smaller = next, true
				n-- // what came after it has moved here
			}
		}
	}
	return o
}

// size is how many parts an operation has. Fragments with names count much: it is
// shorter to read without them.
func size(o Operation) int {
	doc, err := parser.ParseQuery(&ast.Source{Input: o.Text})
	if err != nil {
		return 0
	}
	const most = 1 << 20
	c := &cutting{doc: doc, n: most}
	c.set(&doc.Operations[0].SelectionSet)
	for _, f := range doc.Fragments {
		c.set(&f.SelectionSet)
	}
	return most - c.n + strings.Count(o.Text, "...F")*100 + strings.Count(o.Text, "... F")*100
}

func legal(schema *ast.Schema, o Operation) bool {
	_, errs := gqlparser.LoadQueryWithRules(schema, o.Text, rules.NewDefaultRules())
	return len(errs) == 0
}

// without returns an operation without its n-th part; false if it has no more parts.
// The result need not be legal.
func without(schema *ast.Schema, o Operation, n int) (Operation, bool) {
	doc, err := parser.ParseQuery(&ast.Source{Input: o.Text})
	if err != nil {
		return o, false
	}
	c := &cutting{doc: doc, n: n}
	operation := doc.Operations[0]
	c.set(&operation.SelectionSet)
	for _, f := range doc.Fragments {
		c.set(&f.SelectionSet)
	}
	if c.n >= 0 {
		return o, false
	}
	return tidied(doc, o.Variables), true
}

// tidied is an operation without the fragments and variables that it does not use.
func tidied(doc *ast.QueryDocument, variables map[string]any) Operation {
	for n := -1; n != len(doc.Fragments); {
		n = len(doc.Fragments)
		doc.Fragments = slices.DeleteFunc(doc.Fragments, func(f *ast.FragmentDefinition) bool { return !spread(doc, f.Name) })
	}
	text := format(doc)
	out := Operation{Variables: map[string]any{}}
	operation := doc.Operations[0]
	operation.VariableDefinitions = slices.DeleteFunc(operation.VariableDefinitions, func(v *ast.VariableDefinition) bool {
		return len(regexp.MustCompile(`\$`+v.Variable+`\b`).FindAllString(text, 2)) < 2
	})
	for _, v := range operation.VariableDefinitions {
		if value, ok := variables[v.Variable]; ok {
			out.Variables[v.Variable] = value
		}
	}
	out.Text = format(doc)
	return out
}

func format(doc *ast.QueryDocument) string {
	var out strings.Builder
	formatter.NewFormatter(&out).FormatQueryDocument(doc)
	return strings.Join(strings.Fields(out.String()), " ")
}

// cutting leaves the n-th part out: a selection, a directive, an argument, an alias,
// or the fragment around selections.
type cutting struct {
	doc *ast.QueryDocument
	n   int
}

func (c *cutting) now() bool { c.n--; return c.n == -1 }

func (c *cutting) set(set *ast.SelectionSet) {
	for i := 0; i < len(*set); i++ {
		if c.now() {
			*set = slices.Delete(*set, i, i+1)
			return
		}
		switch s := (*set)[i].(type) {
		case *ast.Field:
			c.directives(&s.Directives)
			if s.Alias != s.Name && c.now() {
				s.Alias = s.Name
			}
			for k := 0; k < len(s.Arguments); k++ {
				if c.now() {
					s.Arguments = slices.Delete(s.Arguments, k, k+1)
					return
				}
			}
			c.set(&s.SelectionSet)
		case *ast.InlineFragment:
			c.directives(&s.Directives)
			if c.now() {
				*set = slices.Replace(*set, i, i+1, s.SelectionSet...)
				return
			}
			c.set(&s.SelectionSet)
		case *ast.FragmentSpread:
			c.directives(&s.Directives)
			if c.now() {
				f := c.doc.Fragments.ForName(s.Name)
				(*set)[i] = &ast.InlineFragment{TypeCondition: f.TypeCondition, SelectionSet: f.SelectionSet}
				return
			}
		}
		if c.n < 0 {
			return
		}
	}
}

func (c *cutting) directives(list *ast.DirectiveList) {
	for i := range *list {
		if c.now() {
			*list = slices.Delete(*list, i, i+1)
			return
		}
	}
}

// spread is whether a fragment is used.
func spread(doc *ast.QueryDocument, name string) bool {
	text := format(doc)
	return strings.Contains(text+" ", "..."+name+" ") || strings.Contains(text, "... "+name+" ")
}
