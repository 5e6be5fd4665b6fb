package cost

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Input is a value that a request's variables hold. What is neither an object nor a
// list has no fields and no items.
type Input interface {
	Fields(each func(name string, value Input))
	Items(each func(Input))
}

// inputWeight is what the fields weigh that a variable holds.
type inputWeight struct {
	variable string
	of       *typeInfo
	// absent is what the variable's default weighs.
	absent int64
}

// markInputs finds the input types of which something weighs, whatever it is within.
func (m *Model) markInputs() {
	for changed := true; changed; {
		changed = false
		for _, t := range m.types {
			if !t.input || t.weighty {
				continue
			}
			for _, f := range t.fields {
				if of := m.types[f.typeName]; f.weight > 0 || of != nil && of.weighty {
					t.weighty, changed = true, true
					break
				}
			}
		}
	}
}

// weightyInput is the type of this name if it is an input type of which something
// weighs, or nil.
func (m *Model) weightyInput(name string) *typeInfo {
	if t := m.types[name]; t != nil && t.weighty {
		return t
	}
	return nil
}

// input adds what the fields of an argument's value weigh, each time that they are
// given: those in the document at once, those in variables for each request.
func (c *compiler) input(into *node, of *typeInfo, value *ast.Value) {
	if of == nil || value == nil {
		return
	}
	switch value.Kind {
	case ast.Variable:
		w := inputWeight{variable: strings.Clone(value.Raw), of: of}
		if d := c.operation.VariableDefinitions.ForName(value.Raw); d != nil && d.DefaultValue != nil {
			var fallback node
			c.input(&fallback, of, d.DefaultValue) // without variables: a default has none
			w.absent = fallback.once
		}
		into.inputs = append(into.inputs, w)
	case ast.ListValue:
		for _, item := range value.Children {
			c.input(into, of, item.Value)
		}
	case ast.ObjectValue:
		for _, child := range value.Children {
			if f := of.fields[child.Name]; f != nil {
				into.once = add(into.once, f.weight)
				c.input(into, c.model.weightyInput(f.typeName), child.Value)
			}
		}
	}
}

func (w *inputWeight) weigh(m *Model, variables Variables) int64 {
	value, given := variables.Input(w.variable)
	if !given {
		return w.absent
	}
	return m.weighInput(w.of, value)
}

func (m *Model) weighInput(of *typeInfo, value Input) int64 {
	total := int64(0)
	value.Items(func(item Input) { total = add(total, m.weighInput(of, item)) })
	value.Fields(func(name string, field Input) {
		f := of.fields[name]
		if f == nil {
			return
		}
		total = add(total, f.weight)
		if below := m.weightyInput(f.typeName); below != nil {
			total = add(total, m.weighInput(below, field))
		}
	})
	return total
}
