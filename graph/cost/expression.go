package cost

import "math"

// Variables are a request's own.
type Variables interface {
	// Int returns the value of a variable. given is false for one that the request
	// leaves out; number is false for one that is null or no number.
	Int(name string) (value int64, number, given bool)
	// Input returns the value of a variable whose fields may weigh.
	Input(name string) (value Input, given bool)
}

// Expression is what an operation costs, by its variables. It does not change.
type Expression struct {
	model *Model
	root  node
}

// Of is the cost for a request's variables. It allocates nothing unless
// fields of variables weigh, and never overflows: the largest cost is math.MaxInt64.
func (e *Expression) Of(variables Variables) int64 { return e.root.of(e.model, variables) }

// node is what one field costs: once, and for each of its objects.
type node struct {
	once, each int64
	size       size
	children   []node
	// inputs are what variables among its arguments weigh, once.
	inputs []inputWeight
	// branches are what is selected of certain types only; combinations say which of
	// them meet in one object. The dearest combination counts.
	branches     [][]node
	combinations [][]int
}

// size is how many objects a field has: a number, or the largest of some
// variables.
type size struct {
	fixed     int64
	variables []variableSize
}

type variableSize struct {
	name string
	// absent is the size where the variable is left out, null where it is null.
	absent, null int64
}

func (s *size) of(variables Variables) int64 {
	largest := s.fixed
	for i := range s.variables {
		v := &s.variables[i]
		value, number, given := variables.Int(v.name)
		switch {
		case !given:
			value = v.absent
		case !number:
			value = v.null
		}
		largest = max(largest, value)
	}
	return max(largest, 0)
}

func (n *node) of(m *Model, variables Variables) int64 {
	total := n.each
	for i := range n.children {
		total = add(total, n.children[i].of(m, variables))
	}
	if len(n.branches) > 0 {
		total = add(total, n.dearest(m, variables))
	}
	once := n.once
	for i := range n.inputs {
		once = add(once, n.inputs[i].weigh(m, variables))
	}
	return add(once, multiply(total, n.size.of(variables)))
}

// few is how many branches are told apart; of more, all are counted.
const few = 16

func (n *node) dearest(m *Model, variables Variables) int64 {
	var costs [few]int64
	if len(n.branches) > few {
		total := int64(0)
		for _, branch := range n.branches {
			total = add(total, sum(m, branch, variables))
		}
		return total
	}
	for i, branch := range n.branches {
		costs[i] = sum(m, branch, variables)
	}
	most := int64(0)
	for _, combination := range n.combinations {
		total := int64(0)
		for _, i := range combination {
			total = add(total, costs[i])
		}
		most = max(most, total)
	}
	return most
}

func sum(m *Model, nodes []node, variables Variables) int64 {
	total := int64(0)
	for i := range nodes {
		total = add(total, nodes[i].of(m, variables))
	}
	return total
}

// fold makes a number of what no variable changes.
func (n *node) fold(m *Model) {
	if len(n.size.variables) > 0 || len(n.inputs) > 0 || !constant(n.children) {
		return
	}
	for _, branch := range n.branches {
		if !constant(branch) {
			return
		}
	}
	*n = node{once: n.of(m, nil)}
}

func constant(nodes []node) bool {
	for i := range nodes {
		n := &nodes[i]
		if len(n.size.variables) > 0 || len(n.inputs) > 0 || n.size.fixed != 0 || len(n.children) > 0 || len(n.branches) > 0 {
			return false
		}
	}
	return true
}

// add and multiply are of numbers of 0 and more.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func multiply(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	if a > math.MaxInt64/b {
		return math.MaxInt64
	}
	return a * b
}
