package graphtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Rewrite returns another operation that means the same: selections are put into
// fragments, taken out of them, parted, repeated, decided by @skip and @include;
// literals become variables; response names are exchanged for each other. The answer
// has the same values in the same order; names tells what each of its response names
// was before.
func Rewrite(random *rand.Rand, schema *ast.Schema, o Operation) (_ Operation, names map[string]string) {
	doc, errs := gqlparser.LoadQueryWithRules(schema, o.Text, rules.NewDefaultRules())
	if len(errs) > 0 {
		return o, nil
	}
	r := &rewriting{Rand: random, schema: schema, doc: doc, variables: maps.Clone(o.Variables), names: map[string]string{}}
	operation := doc.Operations[0]
	root := schema.Query
	if operation.Operation == ast.Mutation {
		root = schema.Mutation
	}
	r.rename()
	for _, f := range doc.Fragments {
		f.SelectionSet = r.set(f.SelectionSet, f.TypeCondition)
	}
	operation.SelectionSet = r.set(operation.SelectionSet, root.Name)
	doc.Fragments = append(doc.Fragments, r.fragments...)
	out := tidied(doc, r.variables)
	if len(out.Text) > 2*maxText || !legal(schema, out) {
		return o, nil
	}
	return out, r.names
}

// rewriting is an operation that is being rewritten.
type rewriting struct {
	*rand.Rand
	schema    *ast.Schema
	doc       *ast.QueryDocument
	variables map[string]any
	fragments ast.FragmentDefinitionList
	// names are the old response names by the new ones.
	names map[string]string
	made  int
}

// rename exchanges response names: all that are alike become alike, those that are
// not do not.
func (r *rewriting) rename() {
	var before []string
	EachField(r.doc, func(f *ast.Field) {
		if !slices.Contains(before, f.Alias) {
			before = append(before, f.Alias)
		}
	})
	after := slices.Clone(before)
	for i := range after {
		if r.IntN(6) == 0 {
			after[i] = fmt.Sprintf("r%d", i)
		}
	}
	if r.IntN(2) == 0 {
		r.Shuffle(len(after), func(i, j int) { after[i], after[j] = after[j], after[i] })
	}
	renamed := map[string]string{}
	for i := range before {
		renamed[before[i]], r.names[after[i]] = after[i], before[i]
	}
	EachField(r.doc, func(f *ast.Field) { f.Alias = renamed[f.Alias] })
}

// EachField visits the fields of a document.
func EachField(doc *ast.QueryDocument, visit func(*ast.Field)) {
	var set func(ast.SelectionSet)
	set = func(selections ast.SelectionSet) {
		for _, s := range selections {
			switch s := s.(type) {
			case *ast.Field:
				visit(s)
				set(s.SelectionSet)
			case *ast.InlineFragment:
				set(s.SelectionSet)
			}
		}
	}
	for _, o := range doc.Operations {
		set(o.SelectionSet)
	}
	for _, f := range doc.Fragments {
		set(f.SelectionSet)
	}
}

// set rewrites what is selected on a type.
func (r *rewriting) set(selections ast.SelectionSet, on string) ast.SelectionSet {
	var out ast.SelectionSet
	for _, s := range selections {
		switch s := s.(type) {
		case *ast.Field:
			r.arguments(s)
			if len(s.SelectionSet) > 0 {
				s.SelectionSet = r.set(s.SelectionSet, s.Definition.Type.Name())
			}
			out = append(out, r.parted(s)...)
			continue
		case *ast.InlineFragment:
			inner := on
			if s.TypeCondition != "" {
				inner = s.TypeCondition
			}
			s.SelectionSet = r.set(s.SelectionSet, inner)
			if r.IntN(4) == 0 && len(s.Directives) == 0 { // named
				out = append(out, r.fragment(s.SelectionSet, inner))
				continue
			}
		case *ast.FragmentSpread:
			if r.IntN(4) == 0 { // taken out; rewritten once, as it is elsewhere
				f := r.doc.Fragments.ForName(s.Name)
				out = append(out, &ast.InlineFragment{TypeCondition: f.TypeCondition, Directives: s.Directives, SelectionSet: f.SelectionSet})
				continue
			}
		}
		out = append(out, s)
	}
	if r.IntN(3) == 0 { // some that follow each other go into a fragment
		from := r.IntN(len(out))
		to := from + 1 + r.IntN(len(out)-from)
		out = slices.Concat(out[:from], ast.SelectionSet{r.around(out[from:to], on)}, out[to:])
	}
	if r.IntN(6) == 0 { // said again where all of it has been said
		out = append(out, &ast.InlineFragment{Directives: r.decided(true), SelectionSet: slices.Clone(out[:1+r.IntN(len(out))])})
	}
	if r.IntN(6) == 0 { // said, and not meant
		at := r.IntN(len(out) + 1)
		out = slices.Insert(out, at, ast.Selection(&ast.InlineFragment{Directives: r.decided(false), SelectionSet: slices.Clone(out)}))
	}
	return out
}

// parted is a field, or twice the field with a part of its selections each.
func (r *rewriting) parted(f *ast.Field) ast.SelectionSet {
	if r.IntN(8) == 0 {
		f.Directives = r.also(f.Directives)
	}
	if len(f.SelectionSet) < 2 || r.IntN(5) > 0 {
		return ast.SelectionSet{f}
	}
	first, second := *f, *f
	at := 1 + r.IntN(len(f.SelectionSet)-1)
	first.SelectionSet, second.SelectionSet = f.SelectionSet[:at:at], f.SelectionSet[at:]
	return ast.SelectionSet{&first, &second}
}

// also adds a directive that changes nothing.
func (r *rewriting) also(list ast.DirectiveList) ast.DirectiveList {
	more := r.decided(true)
	if list.ForName(more[0].Name) != nil {
		return list
	}
	return slices.Concat(list, more)
}

// around puts selections on a type into a fragment that always applies.
func (r *rewriting) around(inner ast.SelectionSet, on string) ast.Selection {
	inner = slices.Clone(inner)
	switch r.IntN(4) {
	case 0:
		return r.fragment(inner, on)
	case 1:
		return &ast.InlineFragment{SelectionSet: inner}
	case 2:
		return &ast.InlineFragment{Directives: r.decided(true), SelectionSet: inner}
	}
	return &ast.InlineFragment{TypeCondition: on, SelectionSet: inner}
}

func (r *rewriting) fragment(inner ast.SelectionSet, on string) ast.Selection {
	name := fmt.Sprintf("R%d", len(r.fragments))
	r.fragments = append(r.fragments, &ast.FragmentDefinition{Name: name, TypeCondition: on, SelectionSet: inner})
	return &ast.FragmentSpread{Name: name}
}

// decided is a directive by which something is in, or not.
func (r *rewriting) decided(in bool) ast.DirectiveList {
	name, value := "include", in
	if r.IntN(2) == 0 {
		name, value = "skip", !in
	}
	condition := &ast.Value{Kind: ast.BooleanValue, Raw: fmt.Sprint(value)}
	if r.IntN(2) == 0 {
		condition = r.variable(&ast.Type{NamedType: "Boolean", NonNull: true}, condition, value)
	}
	return ast.DirectiveList{{Name: name, Arguments: ast.ArgumentList{{Name: "if", Value: condition}}}}
}

// variable declares a variable that is worth a constant, given with the request or
// by its default.
func (r *rewriting) variable(t *ast.Type, constant *ast.Value, value any) *ast.Value {
	d := &ast.VariableDefinition{Variable: fmt.Sprintf("r%d", r.made), Type: t}
	r.made++
	if r.IntN(2) == 0 {
		d.DefaultValue = constant
	} else {
		r.variables[d.Variable] = value
	}
	r.doc.Operations[0].VariableDefinitions = append(r.doc.Operations[0].VariableDefinitions, d)
	return &ast.Value{Kind: ast.Variable, Raw: d.Variable}
}

// arguments makes some literals variables.
func (r *rewriting) arguments(f *ast.Field) {
	for _, a := range f.Arguments {
		if r.IntN(4) > 0 || a.Value.Kind == ast.Variable || holdsVariables(a.Value) {
			continue
		}
		value, _ := (&run{}).evaluate(a.Value)
		a.Value = r.variable(f.Definition.Arguments.ForName(a.Name).Type, a.Value, value)
	}
}

func holdsVariables(v *ast.Value) bool {
	return v.Kind == ast.Variable || slices.ContainsFunc(v.Children, func(c *ast.ChildValue) bool { return holdsVariables(c.Value) })
}

// Renamed is an answer's data with other response names; those that names does not
// tell stay. The values and their order are as they were.
func Renamed(data []byte, names map[string]string) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := renamed(decoder, encoder, &out, names)
	return []byte(strings.ReplaceAll(out.String(), "\n", "")), err
}

func renamed(decoder *json.Decoder, encoder *json.Encoder, out *strings.Builder, names map[string]string) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return encoder.Encode(token)
	}
	out.WriteString(open.String())
	for n := 0; decoder.More(); n++ {
		if n > 0 {
			out.WriteByte(',')
		}
		if open == '{' {
			key, err := decoder.Token()
			if err != nil {
				return err
			}
			name := key.(string)
			if before, ok := names[name]; ok {
				name = before
			}
			fmt.Fprintf(out, "%q:", name)
		}
		if err := renamed(decoder, encoder, out, names); err != nil {
			return err
		}
	}
	end, err := decoder.Token()
	if err == nil {
		out.WriteString(end.(json.Delim).String())
	}
	return err
}
