package cost

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/tradesage/tradesage/internal/fault"
)

// Compile reads an operation that is known to be valid; of its fields it needs no
// more than names, fragments' conditions, and arguments that are numbers, variables,
// objects or lists. Fields that the schema does not have cost nothing. A field that needs
// exactly one of its slicing arguments and has none or several is INVALID_INPUT.
func (m *Model) Compile(operation *ast.OperationDefinition, fragments ast.FragmentDefinitionList) (*Expression, error) {
	c := &compiler{model: m, operation: operation, fragments: fragments}
	root := &typeInfo{fields: map[string]*fieldInfo{}}
	if t := m.types[m.roots[operation.Operation]]; t != nil {
		root = t
	}
	out := &Expression{model: c.model, root: node{size: size{fixed: 1}}}
	if err := c.selections(&out.root, root, operation.SelectionSet, nil, size{}); err != nil {
		return nil, err
	}
	out.root.fold(c.model)
	return out, nil
}

type compiler struct {
	model     *Model
	operation *ast.OperationDefinition
	fragments ast.FragmentDefinitionList
}

// selections adds what is selected of a type to a node. sized are the fields whose
// length is told by the field above, which has the given size.
func (c *compiler) selections(into *node, of *typeInfo, set ast.SelectionSet, sized []string, given size) error {
	branches := map[string]int{}
	var conditions []string
	var walk func(set ast.SelectionSet, at *typeInfo, branch int) error
	// narrow is where a fragment of another type than of has its fields.
	narrow := func(condition string, at *typeInfo, branch int) (*typeInfo, int) {
		t := c.model.types[condition]
		if t == nil || t == at {
			return at, branch
		}
		if t == of {
			return t, branch
		}
		if _, ok := branches[condition]; !ok {
			branches[condition] = len(into.branches)
			conditions = append(conditions, condition)
			into.branches = append(into.branches, nil)
		}
		return t, branches[condition]
	}
	walk = func(set ast.SelectionSet, at *typeInfo, branch int) error {
		for _, selection := range set {
			var err error
			switch s := selection.(type) {
			case *ast.Field:
				var field node
				if field, err = c.field(at, s, sized, given); err != nil {
					return err
				}
				if branch < 0 {
					into.children = append(into.children, field)
				} else {
					into.branches[branch] = append(into.branches[branch], field)
				}
			case *ast.InlineFragment:
				t, b := narrow(s.TypeCondition, at, branch)
				err = walk(s.SelectionSet, t, b)
			case *ast.FragmentSpread:
				if fragment := c.fragments.ForName(s.Name); fragment != nil {
					t, b := narrow(fragment.TypeCondition, at, branch)
					err = walk(fragment.SelectionSet, t, b)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(set, of, -1); err != nil {
		return err
	}
	into.combinations = c.combinations(of, conditions)
	return nil
}

// combinations are the sets of conditions that hold for one object type each.
func (c *compiler) combinations(of *typeInfo, conditions []string) [][]int {
	if len(conditions) == 0 {
		return nil
	}
	possible := of.possible
	if len(possible) == 0 {
		possible = []string{of.name}
	}
	var out [][]int
	for _, name := range possible {
		var holds []int
		for i, condition := range conditions {
			if condition == name || slices.Contains(c.model.types[condition].possible, name) {
				holds = append(holds, i)
			}
		}
		if holds != nil && !slices.ContainsFunc(out, func(known []int) bool { return slices.Equal(known, holds) }) {
			out = append(out, holds)
		}
	}
	return out
}

func (c *compiler) field(of *typeInfo, f *ast.Field, sized []string, given size) (node, error) {
	switch f.Name {
	case "__typename":
		return node{}, nil
	case "__schema":
		return node{once: SchemaWeight}, nil
	case "__type":
		return node{once: TypeWeight}, nil
	}
	info := of.fields[f.Name]
	if info == nil {
		return node{}, nil
	}
	n := node{once: info.weight, size: size{fixed: 1}}
	for _, a := range f.Arguments {
		if argument := info.args[a.Name]; argument != nil {
			n.once = add(n.once, argument.weight)
			c.input(&n, c.model.weightyInput(argument.typeName), a.Value)
		}
	}
	own, err := c.size(info, f)
	if err != nil {
		return n, err
	}
	if slices.Contains(sized, f.Name) {
		own = given
	}
	if info.lists > 0 {
		n.size = own
	}
	if t := c.model.types[info.typeName]; t != nil {
		below := &n
		if info.lists > 1 { // nobody tells the length of inner lists
			below = &node{size: size{fixed: int64(math.Pow(AssumedSize, float64(min(info.lists-1, few))))}}
		}
		below.each = t.weight
		if err := c.selections(below, t, f.SelectionSet, info.sized, own); err != nil {
			return n, err
		}
		if below != &n {
			below.fold(c.model)
			n.children = []node{*below}
		}
	}
	n.fold(c.model)
	return n, nil
}

// size is what the arguments of a field say about its length.
func (c *compiler) size(info *fieldInfo, f *ast.Field) (size, error) {
	var out size
	known, count := false, 0
	for _, name := range info.slicing {
		fallback := info.assumed
		if d := info.args[name]; d != nil && d.fallback != nil {
			fallback = *d.fallback
			if f.Arguments.ForName(name) == nil {
				out.fixed, known = max(out.fixed, fallback), true
			}
		}
		argument := f.Arguments.ForName(name)
		if argument == nil {
			continue
		}
		count++
		switch value := argument.Value; value.Kind {
		case ast.IntValue:
			if n := integer(value); n != nil {
				out.fixed, known = max(out.fixed, *n), true
			}
		case ast.Variable:
			v := variableSize{name: strings.Clone(value.Raw), absent: fallback, null: info.assumed}
			if d := c.operation.VariableDefinitions.ForName(value.Raw); d != nil {
				if n := integer(d.DefaultValue); n != nil {
					v.absent = *n
				}
			}
			out.variables, known = append(out.variables, v), true
		}
	}
	if info.requireOne && count != 1 {
		return out, fault.InvalidInput("query", fmt.Sprintf("%s needs exactly one of the arguments %s", f.Name, strings.Join(info.slicing, ", ")))
	}
	if !known {
		out.fixed = info.assumed
	}
	return out, nil
}
