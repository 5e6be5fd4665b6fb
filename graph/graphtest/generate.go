package graphtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Operation is a request.
type Operation struct {
	Text      string
	Variables map[string]any
}

// Body is the operation as the body of a POST.
func (o Operation) Body() string {
	out, _ := json.Marshal(map[string]any{"query": o.Text, "variables": o.Variables}) // all of it is JSON's
	return string(out)
}

// Generator writes legal operations against a schema: aliases that are names of
// other fields, fragments, unions and interfaces, @skip and @include, variables with
// and without defaults, and fields that are selected more than once.
type Generator struct {
	*rand.Rand
	schema *ast.Schema
	names  []string // of all fields: what aliases are called
	// Depth and Width bound an operation: levels, and selections of a level.
	Depth, Width int
	// Mutations is whether operations may be mutations.
	Mutations bool
	// Subscriptions is whether all operations are subscriptions.
	Subscriptions bool
	// Nulls is whether variables may be null where a value must be, because a default
	// lets them: the field fails then.
	Nulls bool
	// IDs are what arguments of that type are; made up where there are none.
	IDs []string
}

// NewGenerator returns a generator whose operations follow from the seed.
func NewGenerator(seed uint64, schema *ast.Schema) *Generator {
	g := &Generator{Rand: rand.New(rand.NewPCG(seed, 1)), schema: schema, Depth: 5, Width: 5} //nolint:gosec // a test repeats itself
	for _, name := range sorted(schema.Types) {
		if d := schema.Types[name]; !d.BuiltIn && d.IsCompositeType() {
			for _, f := range d.Fields {
				if !strings.HasPrefix(f.Name, "__") && !slices.Contains(g.names, f.Name) {
					g.names = append(g.names, f.Name)
				}
			}
		}
	}
	g.names = append(g.names, "a", "b")
	return g
}

// writing is an operation that is being written.
type writing struct {
	*Generator
	declared  []string
	variables map[string]any
	fragments []string
	// taken is what each response name at each place stands for: it stands for nothing
	// else there, whichever fragments are around it, so that selections merge. Where
	// loose is set, validation decides, but for what it overlooks.
	taken map[string]string
	loose bool
	// condition is a Boolean variable that decides several things.
	condition string
	// alone is whether what is written must be there: it is all of a subscription.
	alone bool
}

// maxText keeps operations readable for who must find out what is wrong.
const maxText = 3000

// Next returns a legal operation.
func (g *Generator) Next() Operation {
	for {
		w := &writing{Generator: g, variables: map[string]any{}, taken: map[string]string{}, loose: g.IntN(3) == 0}
		kind, root := "query", g.schema.Query
		if g.Mutations && g.schema.Mutation != nil && g.IntN(4) == 0 {
			kind, root = "mutation", g.schema.Mutation
		}
		var body string
		if g.Subscriptions {
			kind, body = "subscription", w.subscription()
		} else {
			body = w.set(root, g.Depth, "")
		}
		head := kind + " Q"
		if len(w.declared) > 0 {
			head += "(" + strings.Join(w.declared, ", ") + ")"
		}
		o := Operation{head + " " + body + strings.Join(w.fragments, ""), w.variables}
		if len(o.Text) > maxText {
			continue
		}
		if _, errs := gqlparser.LoadQueryWithRules(g.schema, o.Text, rules.NewDefaultRules()); len(errs) == 0 {
			return o
		}
	}
}

// set writes a selection set of a type.
func (w *writing) set(d *ast.Definition, depth int, at string) string {
	var out []string
	w.selections(d, depth, at, &out)
	if len(out) == 0 {
		out = append(out, "__typename")
	}
	return "{ " + strings.Join(out, " ") + " }"
}

// subscription writes the one field of a subscription.
func (w *writing) subscription() string {
	var out []string
	w.alone = true
	w.field(w.schema.Subscription, w.Depth, "", &out)
	return "{ " + out[0] + " }"
}

func (w *writing) selections(d *ast.Definition, depth int, at string, out *[]string) {
	for range 1 + w.IntN(w.Width) {
		switch n := w.IntN(12); {
		case n == 0:
			*out = append(*out, "__typename")
		case n == 1 || n == 2 && d.IsAbstractType():
			w.fragment(d, depth, at, out)
		case d.IsAbstractType() && (len(d.Fields) == 0 || n < 8):
			w.fragment(d, depth, at, out)
		default:
			w.field(d, depth, at, out)
		}
	}
}

func (w *writing) field(d *ast.Definition, depth int, at string, out *[]string) {
	var fields []*ast.FieldDefinition
	for _, f := range d.Fields {
		if !strings.HasPrefix(f.Name, "__") && (depth > 1 || w.schema.Types[f.Type.Name()].IsLeafType()) {
			fields = append(fields, f)
		}
	}
	if len(fields) == 0 {
		return
	}
	f := fields[w.IntN(len(fields))]
	alias := f.Name
	if w.IntN(3) == 0 {
		alias = w.names[w.IntN(len(w.names))]
	}
	text := f.Name + w.arguments(f)
	at += "." + alias
	meant := text
	if w.loose && !strings.ContainsAny(text, "{[") { // the type alone
		if meant = "a " + f.Type.String(); w.schema.Types[f.Type.Name()].IsCompositeType() {
			meant = strings.Replace(meant, f.Type.Name(), "object", 1)
		}
	}
	if before, ok := w.taken[at]; ok && before != meant {
		return
	}
	w.taken[at] = meant
	times := 1
	if w.IntN(10) == 0 {
		times = 2
	}
	for range times {
		selection := text
		if alias != f.Name {
			selection = alias + ": " + text
		}
		selection += w.directive()
		if inner := w.schema.Types[f.Type.Name()]; inner.IsCompositeType() {
			selection += " " + w.set(inner, depth-1, at)
		}
		*out = append(*out, selection)
	}
}

// fragment selects on the type itself, on one that it can be, or on none.
func (w *writing) fragment(d *ast.Definition, depth int, at string, out *[]string) {
	on := d
	for range 3 {
		if types := w.overlapping(d); len(types) > 0 {
			on = types[w.IntN(len(types))]
		}
	}
	var inner []string
	w.selections(on, depth, at, &inner)
	if len(inner) == 0 {
		inner = append(inner, "__typename")
	}
	body := "{ " + strings.Join(inner, " ") + " }"
	if w.IntN(3) == 0 {
		name := fmt.Sprintf("F%d", len(w.fragments))
		w.fragments = append(w.fragments, fmt.Sprintf(" fragment %s on %s %s", name, on.Name, body))
		*out = append(*out, "..."+name+w.directive())
		return
	}
	condition := ""
	if on != d || w.IntN(2) == 0 {
		condition = " on " + on.Name
	}
	*out = append(*out, "..."+condition+w.directive()+" "+body)
}

func (w *writing) overlapping(d *ast.Definition) []*ast.Definition {
	mine := w.schema.GetPossibleTypes(d)
	var out []*ast.Definition
	for _, name := range sorted(w.schema.Types) {
		other := w.schema.Types[name]
		if other.BuiltIn || !other.IsCompositeType() {
			continue
		}
		if slices.ContainsFunc(w.schema.GetPossibleTypes(other), func(p *ast.Definition) bool { return slices.Contains(mine, p) }) {
			out = append(out, other)
		}
	}
	return out
}

// directive is @skip or @include now and then.
func (w *writing) directive() string {
	alone := w.alone
	w.alone = false
	if alone || w.IntN(12) > 0 {
		return ""
	}
	name := []string{"skip", "include"}[w.IntN(2)]
	if w.IntN(3) == 0 {
		return fmt.Sprintf(" @%s(if: %t)", name, w.IntN(2) == 0)
	}
	if w.condition == "" {
		w.condition = fmt.Sprintf("c%d", len(w.declared))
		switch w.IntN(3) {
		case 0:
			w.declared = append(w.declared, fmt.Sprintf("$%s: Boolean! = %t", w.condition, w.IntN(2) == 0))
		case 1:
			w.declared = append(w.declared, fmt.Sprintf("$%s: Boolean! = true", w.condition))
			w.variables[w.condition] = w.IntN(2) == 0
		default:
			w.declared = append(w.declared, fmt.Sprintf("$%s: Boolean!", w.condition))
			w.variables[w.condition] = w.IntN(2) == 0
		}
	}
	return fmt.Sprintf(" @%s(if: $%s)", name, w.condition)
}

func (w *writing) arguments(f *ast.FieldDefinition) string {
	var out []string
	for _, a := range f.Arguments {
		needed := a.Type.NonNull && a.DefaultValue == nil
		if !needed && w.IntN(2) == 0 {
			continue
		}
		out = append(out, a.Name+": "+w.argument(a.Type, a.DefaultValue != nil))
	}
	if len(out) == 0 {
		return ""
	}
	return "(" + strings.Join(out, ", ") + ")"
}

// argument is a literal or a variable of a type; hasDefault says that the place has
// a default of its own.
func (w *writing) argument(t *ast.Type, hasDefault bool) string {
	if w.IntN(3) > 0 {
		return w.literal(t, 2)
	}
	name := fmt.Sprintf("v%d", len(w.declared))
	declared := *t
	initial := w.IntN(3) == 0
	if (hasDefault || initial && w.Nulls) && w.IntN(2) == 0 {
		declared.NonNull = false
	}
	text := fmt.Sprintf("$%s: %s", name, declared.String())
	if initial {
		text += " = " + w.constant(t)
	}
	w.declared = append(w.declared, text)
	if (!declared.NonNull || initial) && w.IntN(3) == 0 {
		return "$" + name // without a value
	}
	w.variables[name] = w.data(t, 2)
	if w.Nulls && t.NonNull && !declared.NonNull && w.IntN(3) == 0 {
		w.variables[name] = nil
	}
	return "$" + name
}

// constant is a literal without variables.
func (w *writing) constant(t *ast.Type) string {
	return render(w.schema, t, w.data(t, 2))
}

// literal may hold variables where a value is inside another.
func (w *writing) literal(t *ast.Type, depth int) string {
	d := w.schema.Types[t.Name()]
	if t.Elem != nil || d.Kind != ast.InputObject || w.IntN(3) > 0 {
		return w.constant(t)
	}
	if !t.NonNull && w.IntN(8) == 0 {
		return "null"
	}
	var out []string
	for _, f := range d.Fields {
		if needed := f.Type.NonNull && f.DefaultValue == nil; needed || depth > 0 && w.IntN(2) == 0 {
			value := w.literal(f.Type, depth-1)
			if w.IntN(3) == 0 {
				value = w.argument(f.Type, f.DefaultValue != nil)
			}
			out = append(out, f.Name+": "+value)
		}
	}
	return "{" + strings.Join(out, ", ") + "}"
}

// data is a value of an input type as JSON has it.
func (w *writing) data(t *ast.Type, depth int) any {
	if !t.NonNull && w.IntN(8) == 0 {
		return nil
	}
	if t.Elem != nil {
		out := make([]any, w.IntN(3))
		for i := range out {
			out[i] = w.data(t.Elem, depth)
		}
		return out
	}
	switch t.NamedType {
	case "Int":
		return w.IntN(100)
	case "Float":
		return float64(w.IntN(100)) + .5
	case "Boolean":
		return w.IntN(2) == 0
	case "String", "ID":
		if t.NamedType == "ID" && len(w.IDs) > 0 {
			return w.IDs[w.IntN(len(w.IDs))]
		}
		return []string{"x", "", "id~7", "a \"quoted\" word\n", "é\u2028", "\\"}[w.IntN(6)]
	}
	d := w.schema.Types[t.NamedType]
	switch d.Kind {
	case ast.Enum:
		return d.EnumValues[w.IntN(len(d.EnumValues))].Name
	case ast.InputObject:
		out := map[string]any{}
		for _, f := range d.Fields {
			if needed := f.Type.NonNull && f.DefaultValue == nil; needed || depth > 0 && w.IntN(2) == 0 {
				out[f.Name] = w.data(f.Type, depth-1)
			}
		}
		return out
	}
	return "2026-01-01T00:00:00Z"
}

// render writes JSON's value as a literal.
func render(schema *ast.Schema, t *ast.Type, value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case []any:
		var out []string
		for _, item := range v {
			out = append(out, render(schema, t.Elem, item))
		}
		return "[" + strings.Join(out, ", ") + "]"
	case map[string]any:
		var out []string
		d := schema.Types[t.Name()]
		for _, name := range sorted(v) {
			out = append(out, name+": "+render(schema, d.Fields.ForName(name).Type, v[name]))
		}
		return "{" + strings.Join(out, ", ") + "}"
	case string:
		if schema.Types[t.Name()].Kind == ast.Enum {
			return v
		}
		text, _ := json.Marshal(v) // strings encode
		return string(text)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}
