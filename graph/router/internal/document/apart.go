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
// fragments around them, and fields of an interface or union that meet in the first
// way are written once for each type, the others as they are. Where fields meet in the
// second way, all of the selection is written for each type.
type apart struct {
	doc    *ast.Document
	shapes *Shapes
	out    strings.Builder
	// fields and objects are how many more may be written.
	fieldsLeft, objectsLeft int
}

// An operation may become so many fields, and of those so many with selections, beside
// twice its own: the time of planning grows with the product of the fields and the
// fetches, which are for objects, and where selections meet at each level they multiply.
const (
	apartFields  = 1000
	apartObjects = 100
)

// SetApart rewrites a document of one normalized operation, which has so many
// fields. An operation that would become too large is OPERATION_TOO_COMPLEX.
func SetApart(doc, schema *ast.Document, shapes *Shapes, fields int) (*ast.Document, error) {
	if len(doc.InlineFragments) == 0 {
		return doc, nil
	}
	objects := 0
	for i := range doc.Fields {
		if doc.Fields[i].HasSelections {
			objects++
		}
	}
	p := &apart{doc: doc, shapes: shapes, fieldsLeft: apartFields + 2*fields, objectsLeft: apartObjects + 2*objects}
	for i, operation := range doc.OperationDefinitions {
		if err := WriteHead(&p.out, doc, i); err != nil {
			return nil, err
		}
		refs := doc.SelectionSets[operation.SelectionSet].SelectionRefs
		if err := p.selections(refs, RootType(schema, operation.OperationType), nil); err != nil {
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

// selections writes what is selected on a type, with its braces, without fields of
// the response names in but.
func (p *apart) selections(refs []int, on string, but []string) error {
	p.out.WriteString(" {")
	defer p.out.WriteString("}")
	possible := p.shapes.possible[on]
	if len(possible) == 1 && possible[0] == on {
		return p.fields(p.collect(refs, on), on, func(name string) bool { return !slices.Contains(but, name) })
	}
	met, all := p.meet(refs, possible, but)
	if !all {
		but = append(slices.Clip(but), met...)
		if err := p.asWritten(refs, on, but); err != nil || len(met) == 0 {
			return err
		}
	}
	for _, t := range possible {
		written := func(name string) bool {
			return !all && slices.Contains(met, name) || all && !slices.Contains(but, name)
		}
		found := p.collect(refs, t)
		if !slices.ContainsFunc(found, func(s *asked) bool { return written(s.name) }) {
			continue
		}
		p.out.WriteString(" ... on " + t + " {")
		if err := p.fields(found, t, written); err != nil {
			return err
		}
		p.out.WriteString("}")
	}
	return nil
}

// asWritten writes selections on an abstract type as they are, without some, and goes
// on below.
func (p *apart) asWritten(refs []int, on string, but []string) error {
	for _, ref := range refs {
		selection := p.doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			if slices.Contains(but, p.doc.FieldAliasOrNameString(selection.Ref)) {
				continue
			}
			var inner []int
			if set, ok := p.doc.FieldSelectionSet(selection.Ref); ok {
				inner = p.doc.SelectionSets[set].SelectionRefs
			}
			if err := p.field(selection.Ref, inner, on); err != nil {
				return err
			}
		case ast.SelectionKindInlineFragment:
			set, ok := p.doc.InlineFragmentSelectionSet(selection.Ref)
			if !ok || !p.leaves(p.doc.SelectionSets[set].SelectionRefs, but) {
				continue
			}
			of := on
			p.out.WriteString(" ...")
			if c := p.doc.InlineFragmentTypeConditionNameString(selection.Ref); c != "" {
				of = c
				p.out.WriteString(" on " + c)
			}
			if err := p.selections(p.doc.SelectionSets[set].SelectionRefs, of, but); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaves is whether selections have a field of another response name than those.
func (p *apart) leaves(refs []int, but []string) bool {
	return slices.ContainsFunc(refs, func(ref int) bool {
		selection := p.doc.Selections[ref]
		switch selection.Kind {
		case ast.SelectionKindField:
			return !slices.Contains(but, p.doc.FieldAliasOrNameString(selection.Ref))
		case ast.SelectionKindInlineFragment:
			set, ok := p.doc.InlineFragmentSelectionSet(selection.Ref)
			return ok && p.leaves(p.doc.SelectionSets[set].SelectionRefs, but)
		}
		return false
	})
}

// fields writes those fields of an object of one type that are written here.
func (p *apart) fields(found []*asked, on string, written func(name string) bool) error {
	for _, s := range found {
		if !written(s.name) || s.name == placeholder && len(found) > 1 {
			continue
		}
		if err := p.field(s.field, s.inner, on); err != nil {
			return err
		}
	}
	return nil
}

func (p *apart) field(field int, inner []int, on string) error {
	if p.fieldsLeft--; p.fieldsLeft < 0 {
		return errOverlapping
	}
	if err := WriteCall(&p.out, p.doc, field); err != nil {
		return err
	}
	if len(inner) == 0 {
		return nil
	}
	if p.objectsLeft--; p.objectsLeft < 0 {
		return errOverlapping
	}
	return p.selections(inner, p.shapes.fields[[2]string{on, p.doc.FieldNameString(field)}], nil)
}

// meet finds the response names, but for some, of fields that selections on an abstract
// type ask one object for in several places; and whether, in one of several, they ask
// for a field that requires what others may require otherwise.
func (p *apart) meet(refs []int, possible, but []string) (names []string, all bool) {
	for _, t := range possible {
		found := p.collect(refs, t)
		for _, s := range found {
			if slices.Contains(but, s.name) {
				continue
			}
			if s.others && len(s.inner) > 0 && !slices.Contains(names, s.name) {
				names = append(names, s.name)
			}
			varied := p.shapes.varied[[2]string{t, p.doc.FieldNameString(s.field)}]
			if varied && slices.ContainsFunc(found, func(o *asked) bool { return o.place != s.place || o.others }) {
				all = true
			}
		}
	}
	return names, all
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
