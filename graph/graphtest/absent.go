package graphtest

import (
	"errors"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// errVoid is what a field fails with that has no value and must have one.
var errVoid = errors.New("no value where there must be one")

// SetGaps has services not know some entities that others do: they answer null for
// them, and for whoever has all types what only they know of those is null. In a world
// with mishaps single items of lists fail too.
func (w *World) SetGaps() {
	w.gaps = true
	w.alone = map[string]string{}
	resolvers := map[string][]string{}
	for _, name := range sorted(w.subgraphs) {
		for _, typeName := range sorted(w.subgraphs[name].Types) {
			for _, f := range w.subgraphs[name].Types[typeName].Fields {
				if f.Directives.ForName("external") == nil {
					resolvers[typeName+"."+f.Name] = append(resolvers[typeName+"."+f.Name], name)
				}
			}
		}
	}
	for _, name := range sorted(w.subgraphs) {
		for _, typeName := range sorted(w.subgraphs[name].Types) {
			d := w.subgraphs[name].Types[typeName]
			if !w.mayLack(d, resolvers) {
				continue
			}
			for _, f := range d.Fields {
				if !w.within(typeName, f.Name) && f.Directives.ForName("external") == nil {
					w.alone[typeName+"."+f.Name] = name
				}
			}
		}
	}
}

// mayLack is whether a service can do without entities of a type, so that everybody
// sees the same: nobody else has its fields, and nothing depends on them.
func (w *World) mayLack(d *ast.Definition, resolvers map[string][]string) bool {
	if d.Kind != ast.Object || len(d.Directives.ForNames("key")) != 1 { // who has several is asked for the others
		return false
	}
	return !slices.ContainsFunc(d.Fields, func(f *ast.FieldDefinition) bool {
		at := d.Name + "." + f.Name
		own := !w.within(d.Name, f.Name) && f.Directives.ForName("external") == nil
		return own && (w.sure[at] || len(resolvers[at]) > 1)
	})
}

// lacks is whether a service does not know an entity.
func (w *World) lacks(service string, t Thing) bool {
	return service != "" && w.hash("gap", service, t.typeName, t.id)%5 == 0
}
