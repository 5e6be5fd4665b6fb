// Package cost estimates what answering an operation costs before anything is
// fetched, from the directives @cost and @listSize of the subgraphs' schemas (as in
// IBM's and Apollo's specification of them). An operation is compiled once; each
// request then only puts its page sizes in.
//
// It knows no engine, and refuses nothing but what the directives forbid: what is
// too much is decided by whoever asks.
package cost

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// Weights of what no directive says.
const (
	// AssumedSize is the length of a list without @listSize.
	AssumedSize = 10
	// MutationWeight is what a field of a mutation costs beyond its answer.
	MutationWeight = 10
	// SchemaWeight is the cost of __schema, whatever is selected of it.
	SchemaWeight = 100
	// TypeWeight is the same of __type.
	TypeWeight = 10
)

// Model knows the costs of a schema's fields. It does not change.
type Model struct {
	types map[string]*typeInfo
	roots map[ast.Operation]string
}

type typeInfo struct {
	name      string
	composite bool
	weighed   bool
	weight    int64
	fields    map[string]*fieldInfo
	// input is whether it is an input type, weighty whether something within weighs.
	input, weighty bool
	// possible are the object types of an abstract one.
	possible []string
}

type fieldInfo struct {
	typeName string
	lists    int // how many lists its type has
	weight   int64
	args     map[string]*argumentInfo
	assumed  int64
	slicing  []string
	sized    []string
	// requireOne is whether exactly one of slicing must be given.
	requireOne bool
}

type argumentInfo struct {
	typeName string
	weight   int64
	fallback *int64 // the default, of an Int
}

// Load reads the schema that clients see, and the directives from the schemas of
// the subgraphs. What the subgraphs hide is left out. It fails on text that is no
// schema and on directives that name what there is not.
func Load(client string, subgraphs ...string) (*Model, error) {
	m := &Model{types: map[string]*typeInfo{}, roots: map[ast.Operation]string{
		ast.Query: "Query", ast.Mutation: "Mutation", ast.Subscription: "Subscription",
	}}
	document, err := parser.ParseSchema(&ast.Source{Name: "schema", Input: client})
	if err != nil {
		return nil, fmt.Errorf("client schema: %w", err)
	}
	for _, definition := range append(document.Schema, document.SchemaExtension...) {
		for _, root := range definition.OperationTypes {
			m.roots[root.Operation] = root.Type
		}
	}
	definitions := append(document.Definitions, document.Extensions...)
	for _, d := range definitions {
		m.define(d)
	}
	for _, d := range definitions {
		m.implement(d)
	}
	if mutation := m.types[m.roots[ast.Mutation]]; mutation != nil {
		for _, f := range mutation.fields {
			f.weight = MutationWeight
		}
	}
	for i, text := range subgraphs {
		document, err := parser.ParseSchema(&ast.Source{Name: "subgraph " + strconv.Itoa(i), Input: text})
		if err != nil {
			return nil, fmt.Errorf("subgraph's schema: %w", err)
		}
		for _, d := range append(document.Definitions, document.Extensions...) {
			if err := m.weigh(d); err != nil {
				return nil, err
			}
		}
	}
	m.weighAbstract()
	m.markInputs()
	return m, nil
}

func (m *Model) define(d *ast.Definition) {
	t := m.types[d.Name]
	if t == nil {
		t = &typeInfo{name: d.Name, composite: d.IsCompositeType(), input: d.Kind == ast.InputObject, fields: map[string]*fieldInfo{}}
		if t.composite {
			t.weight = 1
		}
		m.types[d.Name] = t
	}
	if d.Kind == ast.Union {
		t.possible = append(t.possible, d.Types...)
	}
	for _, f := range d.Fields {
		info := &fieldInfo{typeName: f.Type.Name(), args: map[string]*argumentInfo{}, assumed: AssumedSize}
		for of := f.Type; of.Elem != nil; of = of.Elem {
			info.lists++
		}
		for _, a := range f.Arguments {
			info.args[a.Name] = &argumentInfo{typeName: a.Type.Name(), fallback: integer(a.DefaultValue)}
		}
		t.fields[f.Name] = info
	}
}

// implement notes an object under each of its interfaces.
func (m *Model) implement(d *ast.Definition) {
	if d.Kind != ast.Object {
		return
	}
	for _, name := range d.Interfaces {
		if t := m.types[name]; t != nil && !slices.Contains(t.possible, d.Name) {
			t.possible = append(t.possible, d.Name)
		}
	}
}

// weigh reads the directives of one definition. Where subgraphs differ the larger
// weight counts.
func (m *Model) weigh(d *ast.Definition) error {
	t := m.types[d.Name]
	if t == nil {
		return nil
	}
	weight, given, err := weightOf(d.Directives)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Name, err)
	}
	if given {
		if t.weighed {
			weight = max(weight, t.weight)
		}
		t.weight, t.weighed = weight, true
	}
	for _, f := range d.Fields {
		info := t.fields[f.Name]
		if info == nil {
			continue
		}
		if err := info.read(f); err != nil {
			return fmt.Errorf("%s.%s: %w", d.Name, f.Name, err)
		}
	}
	return nil
}

func (f *fieldInfo) read(d *ast.FieldDefinition) error {
	weight, _, err := weightOf(d.Directives)
	if err != nil {
		return err
	}
	f.weight = max(f.weight, weight)
	for _, a := range d.Arguments {
		weight, _, err := weightOf(a.Directives)
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		if info := f.args[a.Name]; info != nil {
			info.weight = max(info.weight, weight)
		}
	}
	directive := d.Directives.ForName("listSize")
	if directive == nil {
		return nil
	}
	f.slicing, f.sized, f.requireOne = names(directive, "slicingArguments"), names(directive, "sizedFields"), true
	for _, name := range f.slicing {
		if a := d.Arguments.ForName(name); a == nil || a.Type.NamedType != "Int" {
			return fmt.Errorf("@listSize names %q, which is no argument of the type Int", name)
		}
	}
	f.requireOne = len(f.slicing) > 0
	if a := directive.Arguments.ForName("requireOneSlicingArgument"); a != nil && a.Value.Raw == "false" {
		f.requireOne = false
	}
	if a := directive.Arguments.ForName("assumedSize"); a != nil {
		size := integer(a.Value)
		if size == nil || *size < 0 {
			return errors.New("@listSize needs an assumedSize of 0 or more")
		}
		f.assumed = *size
	}
	return nil
}

// weighAbstract gives interfaces and unions the weight of their heaviest type, and
// fields of interfaces what they cost at most.
func (m *Model) weighAbstract() {
	for _, t := range m.types {
		for i, name := range t.possible {
			of := m.types[name]
			if of == nil {
				continue
			}
			if i == 0 {
				t.weight = 0
			}
			t.weight = max(t.weight, of.weight)
			for name, f := range t.fields {
				if concrete := of.fields[name]; concrete != nil {
					f.weight = max(f.weight, concrete.weight)
					f.assumed = max(f.assumed, concrete.assumed)
					if f.slicing == nil {
						f.slicing, f.sized = concrete.slicing, concrete.sized
					}
				}
			}
		}
	}
}

func weightOf(directives ast.DirectiveList) (weight int64, given bool, _ error) {
	directive := directives.ForName("cost")
	if directive == nil {
		return 0, false, nil
	}
	argument := directive.Arguments.ForName("weight")
	if argument == nil {
		return 0, false, errors.New("@cost needs a weight")
	}
	// IBM's specification writes weights as strings.
	weight, err := strconv.ParseInt(argument.Value.Raw, 10, 32)
	if err != nil || weight < 0 {
		return 0, false, fmt.Errorf("@cost needs a weight of 0 to %d, not %q", math.MaxInt32, argument.Value.Raw)
	}
	return weight, true, nil
}

func names(directive *ast.Directive, argument string) []string {
	a := directive.Arguments.ForName(argument)
	if a == nil {
		return nil
	}
	if a.Value.Kind != ast.ListValue {
		return []string{a.Value.Raw} // one stands for a list of one
	}
	var out []string
	for _, child := range a.Value.Children {
		out = append(out, child.Value.Raw)
	}
	return out
}

func integer(v *ast.Value) *int64 {
	if v == nil || v.Kind != ast.IntValue {
		return nil
	}
	n, err := strconv.ParseInt(v.Raw, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}
