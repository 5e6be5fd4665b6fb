// Package graphtest makes up a world for any federated schema, and operations that
// ask about it: for tests that compare the router, over many subgraphs, with one
// server that has all types.
//
// Everything in the world follows from its name: what a field of an object is worth
// is a hash of type, identity, field, arguments and what the field requires. So
// every server of the world gives the same answer, whoever is asked, and a key or a
// required value that arrives wrong changes the answer.
package graphtest

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// World is what all servers of a supergraph know.
type World struct {
	seed uint64
	// mishaps is whether fields may fail.
	mishaps bool
	// gaps is whether services lack entities; alone is who has a field, where that is
	// one who may lack them.
	gaps      bool
	alone     map[string]string
	subgraphs map[string]*ast.Schema
	// possible are the types that a field of an abstract type may return wherever it
	// is resolved; values those of an enum that everybody knows.
	possible map[string][]string
	values   map[string][]string
	// keys and requires are the selections of @key and @requires.
	keys     map[string][]ast.SelectionSet
	requires map[string]ast.SelectionSet
	// sure are the fields that always have a value: others depend on them.
	sure map[string]bool
}

// prelude are federation's own definitions, where a subgraph does not make them.
var prelude = []struct{ name, text string }{
	{"scalar _Any", "scalar _Any"},
	{"scalar FieldSet", "scalar FieldSet"},
	{"scalar LinkImport", "scalar LinkImport"},
	{"scalar openfed__Scope", "scalar openfed__Scope"},
	{"directive @link", "directive @link(url: String!, as: String, for: String, import: [LinkImport]) repeatable on SCHEMA"},
	{"directive @key", "directive @key(fields: FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE"},
	{"directive @requires(", "directive @requires(fields: FieldSet!) on FIELD_DEFINITION"},
	{"directive @provides", "directive @provides(fields: FieldSet!) on FIELD_DEFINITION"},
	{"directive @external", "directive @external on OBJECT | FIELD_DEFINITION"},
	{"directive @shareable", "directive @shareable repeatable on OBJECT | FIELD_DEFINITION"},
	{"directive @inaccessible", "directive @inaccessible on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ENUM | ENUM_VALUE | SCALAR | INPUT_OBJECT | INPUT_FIELD_DEFINITION | ARGUMENT_DEFINITION"},
	{"directive @override", "directive @override(from: String!) on FIELD_DEFINITION"},
	{"directive @tag", "directive @tag(name: String!) repeatable on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ENUM | ENUM_VALUE | SCALAR | INPUT_OBJECT | INPUT_FIELD_DEFINITION | ARGUMENT_DEFINITION"},
	{"directive @authenticated", "directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM"},
	{"directive @requiresScopes", "directive @requiresScopes(scopes: [[openfed__Scope!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM"},
}

// NewWorld makes a world for subgraphs, given by their names and schemas. With
// mishaps fields fail here and there.
func NewWorld(seed uint64, mishaps bool, subgraphs map[string]string) (*World, error) {
	w := &World{
		seed: seed, mishaps: mishaps, subgraphs: map[string]*ast.Schema{}, possible: map[string][]string{}, values: map[string][]string{},
		keys: map[string][]ast.SelectionSet{}, requires: map[string]ast.SelectionSet{}, sure: map[string]bool{},
	}
	for name, sdl := range subgraphs {
		schema, err := loadSubgraph(name, sdl)
		if err != nil {
			return nil, fmt.Errorf("subgraph %s: %w", name, err)
		}
		w.subgraphs[name] = schema
	}
	for _, name := range sorted(w.subgraphs) {
		for _, typeName := range sorted(w.subgraphs[name].Types) {
			if err := w.learn(w.subgraphs[name], w.subgraphs[name].Types[typeName]); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

func loadSubgraph(name, sdl string) (*ast.Schema, error) {
	text := ""
	for _, p := range prelude {
		if !strings.Contains(sdl, p.name) {
			text += p.text + "\n"
		}
	}
	parsed, err := parser.ParseSchema(&ast.Source{Name: name, Input: sdl})
	if err != nil {
		return nil, err
	}
	var members []string
	hasQuery := false
	for _, d := range slices.Concat(parsed.Definitions, parsed.Extensions) {
		if d.Kind == ast.Object && d.Directives.ForName("key") != nil && !slices.Contains(members, d.Name) {
			members = append(members, d.Name)
		}
		hasQuery = hasQuery || d.Name == "Query"
	}
	root := "type"
	if hasQuery {
		root = "extend type"
	}
	if len(members) > 0 {
		text += "union _Entity = " + strings.Join(members, " | ") + "\n" +
			root + " Query { _entities(representations: [_Any!]!): [_Entity]! }\n"
	}
	for _, definition := range []string{"Query", "Mutation", "Subscription"} { // all may be extensions
		if !slices.ContainsFunc(parsed.Definitions, func(d *ast.Definition) bool { return d.Name == definition }) && (hasQuery || definition != "Query") {
			if slices.ContainsFunc(parsed.Extensions, func(d *ast.Definition) bool { return d.Name == definition }) {
				sdl = strings.Replace(sdl, "extend type "+definition, "type "+definition, 1)
			}
		}
	}
	return gqlparser.LoadSchema(&ast.Source{Name: name, Input: text + sdl})
}

// learn notes what a subgraph says of a type.
func (w *World) learn(schema *ast.Schema, d *ast.Definition) error {
	if d.Kind == ast.Enum {
		w.common(w.values, d.Name, openValues(d))
	}
	for _, key := range d.Directives.ForNames("key") {
		set, err := fieldSet(key)
		if err != nil {
			return err
		}
		w.keys[d.Name] = append(w.keys[d.Name], set)
		w.trust(d.Name, schema, set)
	}
	for _, f := range d.Fields {
		if d == schema.Subscription {
			w.sure[d.Name+"."+f.Name] = true
		}
		if returned := schema.Types[f.Type.Name()]; returned != nil && returned.IsAbstractType() && f.Directives.ForName("external") == nil {
			var names []string
			for _, p := range schema.GetPossibleTypes(returned) {
				names = append(names, p.Name)
			}
			w.common(w.possible, d.Name+"."+f.Name, names)
		}
		if r := f.Directives.ForName("requires"); r != nil {
			set, err := fieldSet(r)
			if err != nil {
				return err
			}
			w.requires[d.Name+"."+f.Name] = set
			w.trust(d.Name, schema, set)
		}
	}
	return nil
}

// common keeps what is in all lists of a name.
func (w *World) common(lists map[string][]string, name string, list []string) {
	if known, ok := lists[name]; ok {
		list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !slices.Contains(known, s) })
	}
	slices.Sort(list)
	lists[name] = list
}

func openValues(d *ast.Definition) []string {
	var out []string
	for _, v := range d.EnumValues {
		if v.Directives.ForName("inaccessible") == nil {
			out = append(out, v.Name)
		}
	}
	return out
}

// trust makes the fields of a selection, and what leads there, fields with a value.
func (w *World) trust(typeName string, schema *ast.Schema, set ast.SelectionSet) {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			w.sure[typeName+"."+s.Name] = true
			if f := schema.Types[typeName].Fields.ForName(s.Name); f != nil && len(s.SelectionSet) > 0 {
				w.trust(f.Type.Name(), schema, s.SelectionSet)
				for _, p := range schema.GetPossibleTypes(schema.Types[f.Type.Name()]) {
					w.trust(p.Name, schema, s.SelectionSet)
				}
			}
		case *ast.InlineFragment:
			w.trust(s.TypeCondition, schema, s.SelectionSet)
		}
	}
}

func fieldSet(d *ast.Directive) (ast.SelectionSet, error) {
	doc, err := parser.ParseQuery(&ast.Source{Input: "{" + d.Arguments.ForName("fields").Value.Raw + "}"})
	if err != nil {
		return nil, fmt.Errorf("@%s: %w", d.Name, err)
	}
	return doc.Operations[0].SelectionSet, nil
}

// Thing is an object of the world.
type Thing struct {
	typeName, id string
	// given is what another server told of it, nil if nothing.
	given map[string]any
}

// hash mixes words into a number.
func (w *World) hash(words ...string) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d", w.seed)
	for _, word := range words {
		fmt.Fprintf(h, "\x00%s", word)
	}
	x := h.Sum64() // and splitmix64's finish: fnv's low bits are poor
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// keyed is whether a field is in a key of its type, so that the identity shows.
func (w *World) keyed(typeName, field string) bool {
	for _, set := range w.keys[typeName] {
		for _, s := range set {
			if f, ok := s.(*ast.Field); ok && f.Name == field {
				return true
			}
		}
	}
	return false
}

// within is whether a type's identity is that of the entity which has it in its key.
func (w *World) within(typeName, field string) bool {
	for _, sets := range w.keys {
		for _, set := range sets {
			if w.nested(set, field) {
				return true
			}
		}
	}
	return w.keyed(typeName, field)
}

func (w *World) nested(set ast.SelectionSet, field string) bool {
	for _, s := range set {
		if f, ok := s.(*ast.Field); ok {
			for _, inner := range f.SelectionSet {
				if g, ok := inner.(*ast.Field); ok && g.Name == field {
					return true
				}
			}
			if w.nested(f.SelectionSet, field) {
				return true
			}
		}
	}
	return false
}

// identify finds the identity in a representation.
func (w *World) identify(given map[string]any) (string, bool) {
	typeName, _ := given["__typename"].(string)
	for _, set := range w.keys[typeName] {
		if id, ok := identityIn(set, given); ok {
			return id, true
		}
	}
	return "", false
}

func identityIn(set ast.SelectionSet, given map[string]any) (id string, ok bool) {
	for _, s := range set {
		f := s.(*ast.Field)
		value, present := given[f.Name]
		if !present || value == nil {
			return "", false
		}
		found := ""
		switch v := value.(type) {
		case map[string]any:
			if found, ok = identityIn(f.SelectionSet, v); !ok {
				return "", false
			}
		case string:
			_, found, _ = strings.Cut(v, "~")
		case json.Number:
			found = v.String()
		case float64:
			found = strconv.Itoa(int(v))
		default:
			return "", false
		}
		if id != "" && found != id { // a key whose parts are of different entities
			return "", false
		}
		id = found
	}
	return id, id != ""
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
