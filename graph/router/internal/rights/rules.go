// Package rights knows what the supergraph demands of callers: what an operation
// takes, what is left of it for who lacks some of that, and how the answer is completed.
package rights

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"
)

// Requirement is one thing that a caller must fulfil. Each of them takes a caller.
type Requirement struct {
	// Scopes are lists of which one must be held whole; none asks for no scope.
	Scopes [][]string
	// MaxAge is how long ago the caller may have proved who they are, 0 for ever.
	MaxAge time.Duration
}

// Rules are what the supergraph demands of callers. Nothing in them changes after
// loading.
//
// Demands are kept for fields of object types alone, where a response's values
// are: what an interface or a type demands is part of each field that could show
// it, so that no fragment leads around it.
type Rules struct {
	// List holds each requirement once; elsewhere they are indexes of it.
	List []Requirement
	// fields holds, by a field of an object type, the indexes of what it takes; what
	// its type takes and what the type of its values takes are among them.
	fields map[coordinate][]int
	// objects holds what each object type takes by itself. It is asked where a value
	// may be of several types.
	objects map[string][]int
	// possible are the object types behind each name of a composite type.
	possible map[string][]string
	// types are the types of fields, as references into the client schema.
	types map[coordinate]int
	// schema is the client schema.
	schema *ast.Document
}

// The directives that demand something, as composition names the first two.
const (
	directiveAuthenticated  = "authenticated"
	directiveRequiresScopes = "requiresScopes"
	directiveStepUp         = "stepUp"
)

// Demand is what composition says that a field takes: a caller, and scopes if there
// are any, as lists of which one must be held whole.
type Demand struct {
	TypeName, Field string
	Scopes          [][]string
}

// coordinate is a field of a type.
type coordinate struct{ TypeName, FieldName string }

// Load reads the composed schema, what composition says of fields, and the
// subgraphs' own schemas, where alone @stepUp is found. It fails on a directive
// whose arguments cannot be read: not to know a demand is not to have none.
func Load(demands []Demand, sdls []string, router, client *ast.Document) (*Rules, error) {
	r := &Rules{
		fields: map[coordinate][]int{}, objects: map[string][]int{},
		possible: map[string][]string{}, types: map[coordinate]int{}, schema: client,
	}
	found := ruleReader{rules: r, types: map[string][]int{}, fields: map[coordinate][]int{}}
	if err := found.readSchema(router); err != nil {
		return nil, err
	}
	for _, d := range demands {
		found.demand(coordinate{d.TypeName, d.Field}, Requirement{Scopes: d.Scopes})
	}
	for _, sdl := range sdls {
		if !strings.Contains(sdl, "@"+directiveStepUp) {
			continue
		}
		doc, report := astparser.ParseGraphqlDocumentString(sdl)
		if report.HasErrors() {
			return nil, fmt.Errorf("schema of a subgraph: %w", report)
		}
		if err := found.readStepUp(&doc); err != nil {
			return nil, err
		}
	}
	found.spread(router, client)
	return r, nil
}

// ruleReader collects demands where they are written.
type ruleReader struct {
	rules  *Rules
	types  map[string][]int
	fields map[coordinate][]int
}

// index returns the place of a requirement in the list.
func (r *ruleReader) index(q Requirement) int {
	for i, known := range r.rules.List {
		if known.MaxAge == q.MaxAge && slices.EqualFunc(known.Scopes, q.Scopes, slices.Equal) {
			return i
		}
	}
	r.rules.List = append(r.rules.List, q)
	return len(r.rules.List) - 1
}

func (r *ruleReader) demand(at coordinate, q Requirement) {
	r.fields[at] = union(r.fields[at], []int{r.index(q)})
}

// readSchema reads @authenticated and @requiresScopes on types and their fields.
func (r *ruleReader) readSchema(doc *ast.Document) error {
	for _, node := range doc.RootNodes {
		name := doc.NodeNameString(node)
		for _, ref := range doc.NodeDirectives(node) {
			q, ok, err := readDemand(doc, ref)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if ok {
				r.types[name] = union(r.types[name], []int{r.index(q)})
			}
		}
		for _, field := range doc.NodeFieldDefinitions(node) {
			at := coordinate{name, doc.FieldDefinitionNameString(field)}
			for _, ref := range doc.FieldDefinitionDirectives(field) {
				q, ok, err := readDemand(doc, ref)
				if err != nil {
					return fmt.Errorf("%s.%s: %w", at.TypeName, at.FieldName, err)
				}
				if ok {
					r.demand(at, q)
				}
			}
		}
	}
	return nil
}

// readStepUp reads @stepUp on fields, in extensions too.
func (r *ruleReader) readStepUp(doc *ast.Document) error {
	for _, node := range doc.RootNodes {
		// A subgraph may call its root types as it likes; composition does not.
		name := doc.NodeNameString(node)
		switch name {
		case doc.Index.QueryTypeName.String():
			name = "Query"
		case doc.Index.MutationTypeName.String():
			name = "Mutation"
		case doc.Index.SubscriptionTypeName.String():
			name = "Subscription"
		}
		for _, field := range doc.NodeFieldDefinitions(node) {
			for _, ref := range doc.FieldDefinitionDirectives(field) {
				if doc.DirectiveNameString(ref) != directiveStepUp {
					continue
				}
				at := coordinate{name, doc.FieldDefinitionNameString(field)}
				value, ok := doc.DirectiveArgumentValueByName(ref, []byte("maxAge"))
				seconds := int64(0)
				if ok && value.Kind == ast.ValueKindInteger {
					seconds = doc.IntValueAsInt(value.Ref)
				}
				if seconds <= 0 || seconds > maxStepUp {
					return fmt.Errorf("%s.%s: @stepUp needs a maxAge of 1 to %d seconds", at.TypeName, at.FieldName, maxStepUp)
				}
				r.demand(at, Requirement{MaxAge: time.Duration(seconds) * time.Second})
			}
		}
	}
	return nil
}

// maxStepUp bounds @stepUp's maxAge, in seconds: a year.
const maxStepUp = 366 * 24 * 60 * 60

func readDemand(doc *ast.Document, directive int) (q Requirement, ok bool, _ error) {
	switch doc.DirectiveNameString(directive) {
	case directiveAuthenticated:
		return q, true, nil
	case directiveRequiresScopes:
		value, ok := doc.DirectiveArgumentValueByName(directive, []byte("scopes"))
		if !ok {
			return q, false, fmt.Errorf("@%s names no scopes", directiveRequiresScopes)
		}
		lists, err := readLists(doc, value)
		q.Scopes = lists
		return q, true, err
	}
	return q, false, nil
}

// readLists reads a list of lists of strings; a value stands for a list of one.
func readLists(doc *ast.Document, value ast.Value) (lists [][]string, _ error) {
	outer := []ast.Value{value}
	if value.Kind == ast.ValueKindList {
		outer = outer[:0]
		for _, ref := range doc.ListValues[value.Ref].Refs {
			outer = append(outer, doc.Value(ref))
		}
	}
	for _, list := range outer {
		inner := []ast.Value{list}
		if list.Kind == ast.ValueKindList {
			inner = inner[:0]
			for _, ref := range doc.ListValues[list.Ref].Refs {
				inner = append(inner, doc.Value(ref))
			}
		}
		var all []string
		for _, scope := range inner {
			if scope.Kind != ast.ValueKindString {
				return nil, fmt.Errorf("@%s holds something else than names", directiveRequiresScopes)
			}
			all = append(all, doc.StringValueContentString(scope.Ref))
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("@%s has a list without scopes", directiveRequiresScopes)
		}
		lists = append(lists, all)
	}
	if len(lists) == 0 {
		return nil, fmt.Errorf("@%s names no scopes", directiveRequiresScopes)
	}
	return lists, nil
}

// spread brings each demand to the fields of object types that it concerns.
func (r *ruleReader) spread(router, client *ast.Document) {
	out := r.rules
	above := map[string][]string{} // object type → its interfaces
	for _, node := range router.RootNodes {
		name := router.NodeNameString(node)
		switch node.Kind {
		case ast.NodeKindObjectTypeDefinition:
			out.possible[name] = []string{name}
			for _, ref := range router.ObjectTypeDefinitions[node.Ref].ImplementsInterfaces.Refs {
				above[name] = append(above[name], router.ResolveTypeNameString(ref))
			}
		case ast.NodeKindInterfaceTypeDefinition:
			out.possible[name], _ = router.InterfaceTypeDefinitionImplementedByObjectWithNames(node.Ref)
		case ast.NodeKindUnionTypeDefinition:
			out.possible[name], _ = router.UnionTypeDefinitionMemberTypeNames(node.Ref)
		}
	}
	for name := range out.possible {
		slices.Sort(out.possible[name])
	}
	for _, node := range client.RootNodes {
		for _, field := range client.NodeFieldDefinitions(node) {
			at := coordinate{client.NodeNameString(node), client.FieldDefinitionNameString(field)}
			out.types[at] = client.FieldDefinitionType(field)
		}
	}
	for _, node := range router.RootNodes {
		if node.Kind != ast.NodeKindObjectTypeDefinition {
			continue
		}
		name := router.NodeNameString(node)
		own := r.types[name]
		for _, i := range above[name] {
			own = union(own, r.types[i])
		}
		if len(own) > 0 {
			out.objects[name] = r.inOrder(own)
		}
		for _, field := range router.NodeFieldDefinitions(node) {
			at := coordinate{name, router.FieldDefinitionNameString(field)}
			all := union(own, r.fields[at])
			for _, i := range above[name] {
				all = union(all, r.fields[coordinate{i, at.FieldName}])
			}
			values := router.FieldDefinitionTypeNameString(field)
			all = union(all, r.types[values])
			if len(out.possible[values]) == 1 {
				// Nothing else can be there. Of several types each object is looked at.
				for _, i := range above[out.possible[values][0]] {
					all = union(all, r.types[i])
				}
			}
			if len(all) > 0 {
				out.fields[at] = r.inOrder(all)
			}
		}
	}
}

// inOrder sorts requirements so that the first one that is not fulfilled is the
// one to tell: whether somebody is signed in, what they may do, how long ago they
// proved who they are.
func (r *ruleReader) inOrder(ids []int) []int {
	rank := func(id int) int {
		q := r.rules.List[id]
		switch {
		case q.MaxAge > 0:
			return 2
		case len(q.Scopes) > 0:
			return 1
		}
		return 0
	}
	slices.SortFunc(ids, func(a, b int) int {
		if by := rank(a) - rank(b); by != 0 {
			return by
		}
		return a - b
	})
	return ids
}

// union returns a slice of its own with what either has.
func union(a, b []int) []int {
	out := slices.Clone(a)
	for _, id := range b {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// DecodeIDs reads what EncodeIDs has rendered.
func DecodeIDs(text string) (ids []int, _ error) {
	for part := range strings.SplitSeq(strings.TrimSuffix(text, ","), ",") {
		if part == "" {
			continue
		}
		id, err := strconv.ParseInt(part, 36, 32)
		if err != nil {
			return nil, err
		}
		ids = append(ids, int(id))
	}
	return ids, nil
}

// EncodeIDs renders indexes as a part of a plan's key.
func EncodeIDs(ids []int) string {
	var out []byte
	for _, id := range ids {
		out = append(strconv.AppendInt(out, int64(id), 36), ',')
	}
	return string(out)
}
