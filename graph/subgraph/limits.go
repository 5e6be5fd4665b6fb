package subgraph

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/tradesage/tradesage/internal/fault"
)

// check refuses what no resolver should see: subscriptions (they have another
// way in), and what checkSize refuses.
func (s *Server) check(operation *graphql.OperationContext, maxFields int) error {
	if operation.Operation.Operation == ast.Subscription {
		return fault.InvalidInput("query", "subscriptions are not served over this transport: accept text/event-stream")
	}
	return s.checkSize(operation, maxFields)
}

// checkSize refuses too many entities, those of types that have no key here, and, unless maxFields is noLimit, too many
// fields.
func (s *Server) checkSize(operation *graphql.OperationContext, maxFields int) error {
	root := operation.Operation.SelectionSet
	count := counter{variables: operation.Variables, known: s.entities}
	if count.entities(root) > s.options.MaxEntities {
		return fault.New(fault.CodeOperationTooComplex,
			fmt.Sprintf("the operation asks for more than %d entities", s.options.MaxEntities))
	}
	if count.strange {
		return fault.InvalidInput("representations", "the __typename of a representation must be one of "+strings.Join(s.entities, ", "))
	}
	if maxFields != noLimit && count.fields(root) > maxFields {
		return fault.New(fault.CodeOperationTooComplex, fmt.Sprintf("the operation has more than %d fields", maxFields))
	}
	return nil
}

// counter measures an operation. It looks into each fragment once: fragments that
// spread each other twice double at each step, and must not cost that here.
type counter struct {
	variables map[string]any
	known     []string        // the types of entities
	strange   bool            // whether entities found a representation of another
	seen      map[string]bool // fragments, by entities
	sizes     map[string]int  // fragments, by fields
	asked     map[string]bool // the types of representations, where somebody wants them
}

// entities adds up the representations of all root _entities fields. A fragment
// that is spread twice is executed once.
func (c *counter) entities(set ast.SelectionSet) int {
	total := 0
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if s.Name == "_entities" {
				total += c.representations(s)
			}
		case *ast.InlineFragment:
			total += c.entities(s.SelectionSet)
		case *ast.FragmentSpread:
			if s.Definition == nil || c.seen[s.Name] {
				continue
			}
			if c.seen == nil {
				c.seen = map[string]bool{}
			}
			c.seen[s.Name] = true
			total += c.entities(s.Definition.SelectionSet)
		}
	}
	return total
}

func (c *counter) representations(field *ast.Field) int {
	argument := field.Arguments.ForName("representations")
	if argument == nil {
		return 0
	}
	value, err := argument.Value.Value(c.variables) // of a variable, nearly always: no copy
	if err != nil {
		return 0 // refused where it is read
	}
	list, ok := value.([]any)
	if !ok { // a value stands for a list of one
		list = []any{value}
	}
	for _, representation := range list {
		key, _ := representation.(map[string]any)
		if name, ok := key["__typename"].(string); ok && name != "" && c.asked == nil && !slices.Contains(c.known, name) {
			c.strange = true
		} else if ok && c.asked != nil {
			c.asked[name] = true
		}
	}
	return len(list)
}

// fields counts fields with their fragments expanded.
func (c *counter) fields(set ast.SelectionSet) int {
	total := 0
	for _, selection := range set {
		n := 0
		switch s := selection.(type) {
		case *ast.Field:
			n = 1 + c.fields(s.SelectionSet)
		case *ast.InlineFragment:
			n = c.fields(s.SelectionSet)
		case *ast.FragmentSpread:
			n = c.fragment(s)
		}
		total = min(total+n, math.MaxInt32)
	}
	return total
}

func (c *counter) fragment(spread *ast.FragmentSpread) int {
	if n, ok := c.sizes[spread.Name]; ok || spread.Definition == nil {
		return n
	}
	n := c.fields(spread.Definition.SelectionSet)
	if c.sizes == nil {
		c.sizes = map[string]int{}
	}
	c.sizes[spread.Name] = n
	return n
}
