package introspect

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/wundergraph/astjson"
)

// writer writes what is asked of a schema as JSON, or counts how much it would be.
type writer struct {
	*Source
	out       []byte
	variables *astjson.Value
	// counting throws away what is written. Variables are then what makes most of it,
	// and all ends soon after most bytes.
	counting      bool
	counted, most int
}

// typ is a type: of a definition, or of a reference that is a list or not null.
type typ struct {
	def *ast.Definition
	ref *ast.Type
	// inside is whether ref's NonNull has been told.
	inside bool
}

func (s *Source) typeOf(ref *ast.Type) typ {
	if !ref.NonNull && ref.Elem == nil {
		return typ{def: s.schema.Types[ref.NamedType]}
	}
	return typ{ref: ref}
}

func (t typ) nonNull() bool { return t.ref.NonNull && !t.inside }

// is reports whether a type is of one of these kinds.
func (t typ) is(kinds ...ast.DefinitionKind) bool {
	if t.def == nil {
		return false
	}
	for _, k := range kinds {
		if t.def.Kind == k {
			return true
		}
	}
	return false
}

func (w *writer) root(r *root) {
	if r.name == "__schema" {
		w.ofSchema(r.inner)
		return
	}
	name := r.typeName.value
	if r.typeName.variable != "" {
		name = string(w.variables.GetStringBytes(r.typeName.variable))
	}
	w.definition(w.schema.Types[name], r.inner)
}

// widest writes what is longest of a root.
func (w *writer) widest(r *root) {
	if r.name == "__schema" || r.typeName.variable == "" {
		w.root(r)
		return
	}
	longest, before := 0, w.counted+len(w.out)
	for _, d := range w.types {
		w.definition(d, r.inner)
		longest = max(longest, w.counted+len(w.out)-before)
		if longest > w.most {
			break
		}
		w.out, w.counted = w.out[:0], before
	}
	w.out, w.counted = w.out[:0], before+longest
}

func (w *writer) ofSchema(fields []field) {
	w.object(fields, func(f *field) {
		switch f.name {
		case "__typename":
			w.text("__Schema")
		case "description":
			w.textOrNull(w.schema.Description)
		case "types":
			for i, d := range w.types {
				if !w.item(i) {
					break
				}
				w.definition(d, f.inner)
			}
			w.endList(len(w.types))
		case "queryType":
			w.definition(w.schema.Query, f.inner)
		case "mutationType":
			w.definition(w.schema.Mutation, f.inner)
		case "subscriptionType":
			w.definition(w.schema.Subscription, f.inner)
		case "directives":
			for i, d := range w.directives {
				if !w.item(i) {
					break
				}
				w.directive(d, f.inner)
			}
			w.endList(len(w.directives))
		}
	})
}

func (w *writer) definition(d *ast.Definition, fields []field) {
	if d == nil {
		w.null()
		return
	}
	w.typ(typ{def: d}, fields)
}

func (w *writer) typ(t typ, fields []field) {
	if t.def == nil {
		w.object(fields, func(f *field) { w.ofReference(t, f) })
		return
	}
	w.named(fields, named{"__Type", t.def.Name, t.def.Description}, func(f *field) {
		switch f.name {
		case "kind":
			w.text(string(t.def.Kind))
		case "specifiedByURL":
			w.textOrNull(specifiedBy(t))
		case "isOneOf":
			w.boolOrNull(t.is(ast.InputObject), t.def.Directives.ForName("oneOf") != nil)
		default:
			w.members(t, f)
		}
	})
}

// ofReference writes a field of a list, or of what is not null.
func (w *writer) ofReference(t typ, f *field) {
	switch {
	case f.name == "__typename":
		w.text("__Type")
	case f.name == "kind" && t.nonNull():
		w.text("NON_NULL")
	case f.name == "kind":
		w.text("LIST")
	case f.name == "ofType" && !t.nonNull():
		w.typ(w.typeOf(t.ref.Elem), f.inner)
	case f.name == "ofType" && t.ref.Elem != nil:
		w.typ(typ{ref: t.ref, inside: true}, f.inner)
	case f.name == "ofType":
		w.definition(w.schema.Types[t.ref.NamedType], f.inner)
	default:
		w.null()
	}
}

// members writes a field of a type that is a list; null where types of its kind have
// none.
func (w *writer) members(t typ, f *field) {
	n := 0
	next := func() bool { n++; return w.item(n - 1) }
	switch {
	case f.name == "fields" && t.is(ast.Object, ast.Interface):
		all := w.includes(f)
		for _, d := range t.def.Fields {
			if !strings.HasPrefix(d.Name, "__") && (all || d.Directives.ForName("deprecated") == nil) && next() {
				w.field(d, f.inner)
			}
		}
	case f.name == "inputFields" && t.is(ast.InputObject):
		all := w.includes(f)
		for _, d := range t.def.Fields {
			if (all || d.Directives.ForName("deprecated") == nil) && next() {
				w.inputValue(d.Name, d.Description, d.Type, d.DefaultValue, d.Directives, f.inner)
			}
		}
	case f.name == "interfaces" && t.is(ast.Object, ast.Interface):
		for _, name := range t.def.Interfaces {
			if next() {
				w.definition(w.schema.Types[name], f.inner)
			}
		}
	case f.name == "possibleTypes" && t.is(ast.Interface, ast.Union):
		for _, d := range w.schema.GetPossibleTypes(t.def) {
			if d.Kind == ast.Object && next() {
				w.definition(d, f.inner)
			}
		}
	case f.name == "enumValues" && t.is(ast.Enum):
		all := w.includes(f)
		for _, v := range t.def.EnumValues {
			if (all || v.Directives.ForName("deprecated") == nil) && next() {
				w.enumValue(v, f.inner)
			}
		}
	default:
		w.null()
		return
	}
	w.endList(n)
}

func (w *writer) field(d *ast.FieldDefinition, fields []field) {
	w.named(fields, named{"__Field", d.Name, d.Description}, func(f *field) {
		switch f.name {
		case "args":
			w.arguments(d.Arguments, f)
		case "type":
			w.typ(w.typeOf(d.Type), f.inner)
		default:
			w.deprecation(f.name, d.Directives)
		}
	})
}

func (w *writer) arguments(list ast.ArgumentDefinitionList, f *field) {
	all, n := w.includes(f), 0
	for _, a := range list {
		if all || a.Directives.ForName("deprecated") == nil {
			if !w.item(n) {
				break
			}
			n++
			w.inputValue(a.Name, a.Description, a.Type, a.DefaultValue, a.Directives, f.inner)
		}
	}
	w.endList(n)
}

func (w *writer) inputValue(
	name, description string, of *ast.Type, fallback *ast.Value, directives ast.DirectiveList, fields []field,
) {
	w.named(fields, named{"__InputValue", name, description}, func(f *field) {
		switch {
		case f.name == "type":
			w.typ(w.typeOf(of), f.inner)
		case f.name == "defaultValue" && fallback == nil:
			w.null()
		case f.name == "defaultValue":
			w.text(string(appendValue(nil, fallback)))
		default:
			w.deprecation(f.name, directives)
		}
	})
}

func (w *writer) enumValue(v *ast.EnumValueDefinition, fields []field) {
	w.named(fields, named{"__EnumValue", v.Name, v.Description}, func(f *field) { w.deprecation(f.name, v.Directives) })
}

func (w *writer) directive(d *ast.DirectiveDefinition, fields []field) {
	w.named(fields, named{"__Directive", d.Name, d.Description}, func(f *field) {
		switch f.name {
		case "isRepeatable":
			w.boolOrNull(true, d.IsRepeatable)
		case "locations":
			for i, l := range d.Locations {
				if !w.item(i) {
					break
				}
				w.text(string(l))
			}
			w.endList(len(d.Locations))
		case "args":
			w.arguments(d.Arguments, f)
		}
	})
}

// deprecation writes isDeprecated or deprecationReason.
func (w *writer) deprecation(name string, directives ast.DirectiveList) {
	d := directives.ForName("deprecated")
	switch {
	case name == "isDeprecated":
		w.boolOrNull(true, d != nil)
	case d == nil:
		w.null()
	default:
		w.text(argumentOr(d, "reason", "No longer supported"))
	}
}

func specifiedBy(t typ) string {
	if d := t.def.Directives.ForName("specifiedBy"); d != nil && t.is(ast.Scalar) {
		return argumentOr(d, "url", "")
	}
	return ""
}

func argumentOr(d *ast.Directive, name, fallback string) string {
	if a := d.Arguments.ForName(name); a != nil && a.Value != nil && a.Value.Kind != ast.NullValue {
		return a.Value.Raw
	}
	return fallback
}
