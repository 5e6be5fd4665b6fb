package schemalaw

import (
	"regexp"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

const federation = "https://specs.apollo.dev/federation/v2.5"

// directives calls visit with each directive in a schema, and where it is.
func (s *schema) directives(visit func(where string, d *ast.Directive)) {
	for _, d := range s.sorted() {
		for _, used := range d.Directives {
			visit(d.Name, used)
		}
		for _, f := range d.Fields {
			for _, used := range f.Directives {
				visit(d.Name+"."+f.Name, used)
			}
		}
	}
}

// builtIn are GraphQL's own directives.
var builtIn = []string{"deprecated", "specifiedBy", "oneOf"}

var listed = regexp.MustCompile(`@\w+`)

var federationRules = []rule{
	{"linked", func(s *schema, o *offences) {
		if s.isComposed() {
			return
		}
		var imported []string
		for _, link := range s.links {
			if url := link.Arguments.ForName("url"); url != nil && url.Value.Raw == federation {
				imported = append(imported, listed.FindAllString(link.Arguments.ForName("import").Value.String(), -1)...)
			}
		}
		known := slices.Concat(builtIn, s.defined)
		missing := map[string]bool{}
		s.directives(func(where string, d *ast.Directive) {
			if name := "@" + d.Name; !slices.Contains(known, d.Name) && !slices.Contains(imported, name) && !missing[name] {
				missing[name] = true
				o.add(where, "uses %s, which the @link of %s does not import", name, federation)
			}
		})
	}, map[string]string{"T uses @key": `type T @key(fields: "id") { id: ID! }`}},

	{"no-override", func(s *schema, o *offences) {
		s.directives(func(where string, d *ast.Directive) {
			if slices.Contains([]string{"override", "interfaceObject", "provides", "composeDirective"}, d.Name) {
				o.add(where, "must not use @%s: the router's engine is weak there", d.Name)
			}
		})
	}, map[string]string{
		"T.x": `type T { x: Int! @override(from: "y") }`, "U must": "type U @interfaceObject { x: Int! }", "V.x": `type V { x: T! @provides(fields: "y") }`,
	}},

	{"keys", func(s *schema, o *offences) {
		for _, d := range s.sorted() {
			for _, key := range d.Directives.ForNames("key") {
				fields := key.Arguments.ForName("fields")
				if f := d.Fields.ForName("id"); fields == nil || fields.Value.Raw != "id" || f == nil || f.Type.String() != "ID!" {
					o.add(d.Name, "must have the key \"id\", an ID!")
				}
			}
		}
	}, map[string]string{"T must": `type T @key(fields: "slug") { slug: String! }`, "U must": `type U @key(fields: "id") { id: String! }`}},

	{"references", func(s *schema, o *offences) {
		for _, d := range s.sorted() {
			key := d.Directives.ForName("key")
			if key == nil || key.Arguments.ForName("resolvable") == nil || key.Arguments.ForName("resolvable").Value.Raw != "false" {
				continue
			}
			for _, f := range d.Fields {
				if f.Name != "id" && f.Directives.ForName("shareable") == nil {
					o.add(d.Name+"."+f.Name, "must be @shareable: the type is not resolved here")
				}
			}
		}
	}, map[string]string{"T.x": `type T @key(fields: "id", resolvable: false) { id: ID! x: Int! }`}},

	{"one-union", func(s *schema, o *offences) {
		for _, other := range s.all {
			if s.isComposed() || other.isComposed() || s.name >= other.name {
				continue
			}
			for _, d := range s.sorted() {
				twin := other.types[d.Name]
				if d.Kind != ast.Union || twin == nil {
					continue
				}
				if !slices.Equal(slices.Sorted(slices.Values(d.Types)), slices.Sorted(slices.Values(twin.Types))) {
					o.add(d.Name, "must have the members that it has in %s", other.name)
				}
			}
		}
	}, map[string]string{"U must": "union U = A | B --- union U = A"}},

	{"joined-nulls", func(s *schema, o *offences) {
		// A user that the caller may not see is null wherever a field leads to them: a
		// field that is not null would take the whole list with it.
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			reference := s.types[f.Type.Name()]
			if s.isComposed() || reference == nil || reference.Name != "User" || !f.Type.NonNull {
				return
			}
			if s.name == "user" || s.name == "auth" && strings.HasSuffix(d.Name, "Payload") {
				return // it has the user at hand, or it is oneself
			}
			o.add(d.Name+"."+f.Name, "must be null where the caller may not see the user")
		})
	}, map[string]string{"T.user": "type T { user: User! } type User { id: ID! }"}},

	{"list-sizes", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			size := f.Directives.ForName("listSize")
			if size == nil || !strings.HasSuffix(f.Type.Name(), "Connection") {
				return
			}
			if sized := size.Arguments.ForName("sizedFields"); sized == nil || !strings.Contains(sized.Value.String(), `"edges"`) {
				o.add(d.Name+"."+f.Name, "must say @listSize(sizedFields: [\"edges\"])")
			}
		})
	}, map[string]string{"T.x": `type T { x: XConnection! @listSize(slicingArguments: ["first"]) }`}},
}
