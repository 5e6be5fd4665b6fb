package document

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/lexer"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/lexer/keyword"

	"github.com/tradesage/tradesage/internal/fault"
)

// Limits bounds a request. A zero means the default. What goes beyond MaxBodyBytes
// is answered with 413; all other limits answer OPERATION_TOO_COMPLEX before
// anything is planned.
type Limits struct {
	// MaxBodyBytes bounds the request body; default 1 MiB.
	MaxBodyBytes int64
	// MaxTokens bounds the lexical tokens of the document; default 10,000.
	MaxTokens int
	// MaxDepth bounds how deep fields nest, fragments included; default 25, which
	// leaves room for the usual introspection query.
	MaxDepth int
	// MaxFields bounds the selected fields after fragments are expanded; default
	// 2,000.
	MaxFields int
	// MaxAliases bounds the aliased fields after fragments are expanded; default
	// 200.
	MaxAliases int
	// MaxRootFields bounds the fields of the operation itself, fragments expanded,
	// each of which may be a fetch of its own; default 50.
	MaxRootFields int
	// MaxDirectives bounds the directives of the operation, fragments expanded;
	// default 50.
	MaxDirectives int
	// MaxIntrospection bounds how deep lists of fields, interfaces, types and input
	// fields nest within __schema and __type, each of which multiplies the answer;
	// default 3, and the usual introspection query needs 1.
	MaxIntrospection int
	// MaxIntrospectionBytes bounds what an operation's __schema and __type answer, in
	// bytes; default 16 MiB, which is a few times what the usual introspection query
	// answers of a very large schema.
	MaxIntrospectionBytes int
	// MaxCost bounds what the operation costs by the @cost and @listSize of the
	// schema; default 40,000.
	MaxCost int64
	// Guarded names mutations that check a secret: of all of them an operation holds
	// one, so that guesses cannot be sent by the dozen. Default none.
	Guarded []string
}

// WithDefaults fills the defaults in where a limit is zero.
func (l Limits) WithDefaults() Limits {
	if l.MaxBodyBytes <= 0 {
		l.MaxBodyBytes = 1 << 20
	}
	if l.MaxCost <= 0 {
		l.MaxCost = 40_000
	}
	for _, limit := range []struct {
		value    *int
		fallback int
	}{
		{&l.MaxTokens, 10_000},
		{&l.MaxDepth, 25},
		{&l.MaxFields, 2_000},
		{&l.MaxAliases, 200},
		{&l.MaxRootFields, 50},
		{&l.MaxDirectives, 50},
		{&l.MaxIntrospection, 3},
		{&l.MaxIntrospectionBytes, 16 << 20},
	} {
		if *limit.value <= 0 {
			*limit.value = limit.fallback
		}
	}
	return l
}

// checkTokens counts tokens before parsing: the parser recurses, and tokens bound
// how deep. It also refuses control characters, which GraphQL does not allow and
// of which the lexer takes NUL for the end of the text.
func checkTokens(text string, limit int) (count int, _ error) {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return 0, fault.InvalidInput("query", fmt.Sprintf("the document holds the control character U+%04X", c))
		}
	}
	var input ast.Input
	input.ResetInputString(text)
	var lex lexer.Lexer
	lex.SetInput(&input)
	for ; ; count++ {
		if lex.Read().Keyword == keyword.EOF {
			return count, nil
		}
		if count >= limit {
			return count, tooComplex("tokens", "tokens", limit)
		}
	}
}

// Size is what a selection set costs with its fragments expanded.
type Size struct {
	// Fields are those that are selected, at any depth.
	Fields                     int
	aliases, depth, directives int
	// direct counts the fields of the set itself, guarded those of them that
	// Limits.Guarded names.
	direct, guarded int
	// introspection is how deep lists nest in an introspection.
	introspection int
	// Introspected is how many bytes its introspections answer at most, once they are
	// measured.
	Introspected int
	// tokens are those of the whole document.
	tokens int
}

// ChecksSecrets reports whether a field is among those of Limits.Guarded.
func (s Size) ChecksSecrets() bool { return s.guarded > 0 }

// measure computes sizes without expanding anything: fragments that spread each
// other can double the fields at each step, and expanding is what hurts.
type measure struct {
	doc       *ast.Document
	fragments map[int]Size
	open      map[int]bool
	guarded   []string
	// introspects is set when __schema or __type is selected.
	introspects bool
}

func newMeasure(doc *ast.Document, guarded []string) *measure {
	return &measure{doc: doc, fragments: map[int]Size{}, open: map[int]bool{}, guarded: guarded}
}

func (m *measure) selectionSet(ref int) (Size, error) {
	var total Size
	for _, selection := range m.doc.SelectionSets[ref].SelectionRefs {
		s, err := m.selection(m.doc.Selections[selection])
		if err != nil {
			return Size{}, err
		}
		total.Fields = addSaturating(total.Fields, s.Fields)
		total.aliases = addSaturating(total.aliases, s.aliases)
		total.depth = max(total.depth, s.depth)
		total.directives = addSaturating(total.directives, s.directives)
		total.introspection = max(total.introspection, s.introspection)
		total.direct = addSaturating(total.direct, s.direct)
		total.guarded = addSaturating(total.guarded, s.guarded)
	}
	return total, nil
}

func (m *measure) selection(selection ast.Selection) (total Size, err error) {
	directives := 0
	switch selection.Kind {
	case ast.SelectionKindField:
		directives = len(m.doc.Fields[selection.Ref].Directives.Refs)
		total, err = m.field(selection.Ref)
	case ast.SelectionKindInlineFragment:
		directives = len(m.doc.InlineFragments[selection.Ref].Directives.Refs)
		if set, ok := m.doc.InlineFragmentSelectionSet(selection.Ref); ok {
			total, err = m.selectionSet(set)
		}
	case ast.SelectionKindFragmentSpread:
		directives = len(m.doc.FragmentSpreads[selection.Ref].Directives.Refs)
		total, err = m.fragment(m.doc.FragmentSpreadNameBytes(selection.Ref))
	}
	total.directives = addSaturating(total.directives, directives)
	return total, err
}

// introspectionLists are the fields of types that are lists of what has types again.
var introspectionLists = []string{"fields", "interfaces", "possibleTypes", "inputFields"}

func (m *measure) field(ref int) (Size, error) {
	name := m.doc.FieldNameBytes(ref)
	if bytes.Equal(name, []byte("__schema")) || bytes.Equal(name, []byte("__type")) {
		m.introspects = true
	}
	var total Size
	if set, ok := m.doc.FieldSelectionSet(ref); ok {
		var err error
		if total, err = m.selectionSet(set); err != nil {
			return Size{}, err
		}
	}
	if m.doc.FieldAliasIsDefined(ref) {
		if alias := m.doc.FieldAliasBytes(ref); bytes.HasPrefix(alias, reservedAliasBytes) {
			return Size{}, fault.InvalidInput("query", fmt.Sprintf("alias %q: names that begin with %s are reserved", alias, ReservedAlias))
		}
		total.aliases = addSaturating(total.aliases, 1)
	}
	total.Fields = addSaturating(total.Fields, 1)
	total.depth++
	if slices.Contains(introspectionLists, string(name)) {
		total.introspection++
	}
	total.direct, total.guarded = 1, 0
	if slices.Contains(m.guarded, string(name)) {
		total.guarded = 1
	}
	return total, nil
}

func (m *measure) fragment(name ast.ByteSlice) (Size, error) {
	ref, ok := m.doc.FragmentDefinitionRef(name)
	if !ok {
		return Size{}, fault.InvalidInput("query", fmt.Sprintf("unknown fragment %q", name))
	}
	if s, ok := m.fragments[ref]; ok {
		return s, nil
	}
	if m.open[ref] {
		return Size{}, fault.InvalidInput("query", fmt.Sprintf("fragment %q spreads itself", name))
	}
	m.open[ref] = true
	var s Size
	if m.doc.FragmentDefinitions[ref].HasSelections {
		var err error
		if s, err = m.selectionSet(m.doc.FragmentDefinitions[ref].SelectionSet); err != nil {
			return Size{}, err
		}
	}
	delete(m.open, ref)
	m.fragments[ref] = s
	return s, nil
}

// Check refuses an operation that is beyond the limits.
func (l Limits) Check(s Size, kind ast.OperationType) error {
	switch {
	case s.tokens > l.MaxTokens:
		return tooComplex("tokens", "tokens", l.MaxTokens)
	case s.depth > l.MaxDepth:
		return tooComplex("depth", "levels", l.MaxDepth)
	case s.Fields > l.MaxFields:
		return tooComplex("fields", "fields", l.MaxFields)
	case s.aliases > l.MaxAliases:
		return tooComplex("aliases", "aliases", l.MaxAliases)
	case s.direct > l.MaxRootFields:
		return tooComplex("root_fields", "root fields", l.MaxRootFields)
	case s.directives > l.MaxDirectives:
		return tooComplex("directives", "directives", l.MaxDirectives)
	case s.introspection > l.MaxIntrospection:
		return tooComplex("introspection", "lists within each other in an introspection", l.MaxIntrospection)
	case s.Introspected > l.MaxIntrospectionBytes:
		return tooComplex("introspection_bytes", "bytes of the schema in its answer", l.MaxIntrospectionBytes)
	case kind == ast.OperationTypeMutation && s.guarded > 1:
		return fault.New(fault.CodeOperationTooComplex, "the operation has more than one field of "+strings.Join(l.Guarded, ", ")).
			Because(&BeyondLimit{"guarded"})
	}
	return nil
}

func addSaturating(a, b int) int {
	if a > math.MaxInt32-b {
		return math.MaxInt32
	}
	return a + b
}

// OrElse fills limits of 0 in.
func (l Limits) OrElse(other Limits) Limits {
	if l.MaxBodyBytes <= 0 {
		l.MaxBodyBytes = other.MaxBodyBytes
	}
	if l.MaxCost <= 0 {
		l.MaxCost = other.MaxCost
	}
	mine, others := l.counts(), other.counts()
	for i, limit := range mine {
		if *limit <= 0 {
			*limit = *others[i]
		}
	}
	if l.Guarded == nil {
		l.Guarded = other.Guarded
	}
	return l
}

// OrWider takes the larger one of each limit.
func (l Limits) OrWider(other Limits) Limits {
	l.MaxBodyBytes, l.MaxCost = max(l.MaxBodyBytes, other.MaxBodyBytes), max(l.MaxCost, other.MaxCost)
	mine, others := l.counts(), other.counts()
	for i, limit := range mine {
		*limit = max(*limit, *others[i])
	}
	return l
}

// counts are the limits that count something in a document.
func (l *Limits) counts() []*int {
	return []*int{
		&l.MaxTokens, &l.MaxDepth, &l.MaxFields, &l.MaxAliases, &l.MaxRootFields, &l.MaxDirectives, &l.MaxIntrospection,
		&l.MaxIntrospectionBytes,
	}
}

// BeyondLimit is the cause of a refusal by a limit, for the metrics.
type BeyondLimit struct{ Kind string }

func (b *BeyondLimit) Error() string { return "beyond the limit of " + b.Kind }

// tooComplex refuses what has more than limit of kind, which is a metric's label.
func tooComplex(kind, what string, limit int) *fault.Error {
	return fault.New(fault.CodeOperationTooComplex, fmt.Sprintf("the operation has more than %d %s", limit, what)).
		Because(&BeyondLimit{kind})
}
