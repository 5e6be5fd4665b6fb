package document

import (
	"slices"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"

	"github.com/tradesage/tradesage/internal/fault"
)

// apart writes an operation anew for the planner, so that no object has one field
// selected in two places.
//
// The planner tells fields apart by their path. Where `by` is selected on an
// interface, and in a fragment on one of its types again, it loses what the second
// asks of other services; and it overlooks that what the one requires is in the way
// of what the other requires. So selections on an object type lose the
// fragments around them, and selections on an interface or union that meet in such
// a way are written once for each type.
type apart struct {
	doc    *ast.Document
	shapes *Shapes
	out    strings.Builder
	// budget is how many more fields may be written.
	budget int
}

// apartBudget is how many fields an operation may become, beside twice its own: the
// time of planning grows with their square, and where selections meet at each level
// they multiply.
const apartBudget = 1000

// SetApart rewrites a document of one normalized operation, which has so many
// fields. An operation that would become too large is OPERATION_TOO_COMPLEX.
func SetApart(doc, schema *ast.Document, shapes *Shapes, fields int) (*ast.Document, error) {
	if len(doc.InlineFragments) == 0 {
		return doc, nil
	}
	p := &apart{doc: doc, shapes: shapes, budget: apartBudget + 2*fields}
	for i, operation := range doc.OperationDefinitions {
		if err := WriteHead(&p.out, doc, i); err != nil {
			return nil, err
		}
		refs := doc.SelectionSets[operation.SelectionSet].SelectionRefs
		if err := p.selections(refs, RootType(schema, operation.OperationType)); err != nil {
			return nil, err
		}
	}
	out, report := astparser.ParseGraphqlDocumentString(p.out.String())
	if report.HasErrors() {
		return nil, fault.Internal(report)
	}
	return &out, nil
}

// asked is a field that selections ask of an object.
type asked struct {
	name  string // in the response
	field int
	inner []int // what is selected below, in all places
	// place is the fragment in which it was found first, others whether there was
	// another.
	place  int
	others bool
}

// selections writes what is selected on a type, with its braces.
func (p *apart) selections(refs []int, on string) error {
	p.out.WriteString(" {")
	defer p.out.WriteString("}")
	possible := p.shapes.possible[on]
	if len(possible) == 1 && possible[0] == on {
		return p.fields(refs, on)
	}
	if !p.meet(refs, possible) {
		return p.asWritten(refs, on)
	}
	for _, t := range possible {
		if len(p.collect(refs, t)) == 0 {
			continue
		}
		p.out.WriteString(" ... on " + t + " {")
		if err := p.fields(refs, t); err != nil {
			return err
		}
		p.out.WriteString("}")
	}
	return nil
}

// asWritten writes selections on an abstract type as they are, and goes on below.
func (p *apart) asWritten(refs []int, on string) error {
	for _, ref := range refs {
		selection := p.doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			var inner []int
			if set, ok := p.doc.FieldSelectionSet(selection.Ref); ok {
				inner = p.doc.SelectionSets[set].SelectionRefs
			}
			if err := p.field(selection.Ref, inner, on); err != nil {
				return err
			}
		case ast.SelectionKindInlineFragment:
			set, ok := p.doc.InlineFragmentSelectionSet(selection.Ref)
			if !ok {
				continue
			}
			of := on
			p.out.WriteString(" ...")
			if c := p.doc.InlineFragmentTypeConditionNameString(selection.Ref); c != "" {
				of = c
				p.out.WriteString(" on " + c)
			}
			if err := p.selections(p.doc.SelectionSets[set].SelectionRefs, of); err != nil {
				return err
			}
		}
	}
	return nil
}

// fields writes what selections ask of an object of one type.
func (p *apart) fields(refs []int, on string) error {
	found := p.collect(refs, on)
	for _, s := range found {
		if s.name == placeholder && len(found) > 1 {
			continue
		}
		if err := p.field(s.field, s.inner, on); err != nil {
			return err
		}
	}
	return nil
}

func (p *apart) field(field int, inner []int, on string) error {
	if p.budget--; p.budget < 0 {
		return errOverlapping
	}
	if err := WriteCall(&p.out, p.doc, field); err != nil {
		return err
	}
	if len(inner) == 0 {
		return nil
	}
	return p.selections(inner, p.shapes.fields[[2]string{on, p.doc.FieldNameString(field)}])
}

// meet is whether selections on an abstract type ask one object for the same field
// in several places, or in one for a field that requires what others may require
// otherwise.
func (p *apart) meet(refs []int, possible []string) bool {
	for _, t := range possible {
		found := p.collect(refs, t)
		for _, s := range found {
			if s.others && len(s.inner) > 0 {
				return true
			}
			varied := p.shapes.varied[[2]string{t, p.doc.FieldNameString(s.field)}]
			if varied && slices.ContainsFunc(found, func(o *asked) bool { return o.place != s.place || o.others }) {
				return true
			}
		}
	}
	return false
}

// collect finds the fields that selections ask of an object of one type.
func (p *apart) collect(refs []int, on string) []*asked {
	var out []*asked
	places := 0
	var walk func(refs []int)
	walk = func(refs []int) {
		place := places
		for _, ref := range refs {
			selection := p.doc.Selections[ref]
			switch selection.Kind {
			case ast.SelectionKindField:
				name := p.doc.FieldAliasOrNameString(selection.Ref)
				at := slices.IndexFunc(out, func(s *asked) bool { return s.name == name })
				if at < 0 {
					at = len(out)
					out = append(out, &asked{name: name, field: selection.Ref, place: place})
				} else {
					out[at].others = true
				}
				if set, ok := p.doc.FieldSelectionSet(selection.Ref); ok {
					out[at].inner = append(out[at].inner, p.doc.SelectionSets[set].SelectionRefs...)
				}
			case ast.SelectionKindInlineFragment:
				condition := p.doc.InlineFragmentTypeConditionNameString(selection.Ref)
				if set, ok := p.doc.InlineFragmentSelectionSet(selection.Ref); ok &&
					(condition == "" || slices.Contains(p.shapes.possible[condition], on)) {
					places++
					walk(p.doc.SelectionSets[set].SelectionRefs)
				}
			}
		}
	}
	walk(refs)
	return out
}
