package schemalaw

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/tradesage/tradesage/internal/tenant"
)

// public names the root fields that need no caller.
var public = []string{
	"login", "refreshSession", "switchTenant", "register", "verifyEmail", "acceptInvitation", "requestPasswordReset", "resetPassword",
}

func scopes(f *ast.FieldDefinition) []string {
	d := f.Directives.ForName("requiresScopes")
	if d == nil || d.Arguments.ForName("scopes") == nil {
		return nil
	}
	var names []string
	for _, all := range d.Arguments.ForName("scopes").Value.Children {
		for _, name := range all.Value.Children {
			names = append(names, name.Value.Raw)
		}
	}
	return names
}

func permissions() []string {
	var names []string
	for _, p := range tenant.Permissions() {
		names = append(names, p.Name)
	}
	return names
}

var accessRules = []rule{
	{"step-up", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			step := f.Directives.ForName("stepUp")
			if step == nil {
				return
			}
			if f.Directives.ForName("authenticated") == nil {
				o.add(d.Name+"."+f.Name, "must be @authenticated too")
			}
			if !strings.Contains(f.Description, "STEP_UP_REQUIRED") {
				o.add(d.Name+"."+f.Name, "must tell when it is STEP_UP_REQUIRED")
			}
			if age := step.Arguments.ForName("maxAge"); age == nil || len(age.Value.Raw) < 2 || age.Value.Raw < "60" && len(age.Value.Raw) == 2 {
				o.add(d.Name+"."+f.Name, "must leave a minute or more to act in")
			}
		})
	}, map[string]string{
		"too":       `type T { "Old is STEP_UP_REQUIRED." x: Int! @stepUp(maxAge: 900) }`,
		"must tell": `type T { "The x." x: Int! @authenticated @stepUp(maxAge: 900) }`,
		"a minute":  `type T { "Old is STEP_UP_REQUIRED." x: Int! @authenticated @stepUp(maxAge: 5) }`,
	}},

	{"signed-in", func(s *schema, o *offences) {
		for _, root := range roots {
			s.rootFields(root, func(f *ast.FieldDefinition) {
				if !slices.Contains(public, f.Name) && f.Directives.ForName("authenticated") == nil {
					o.add(root+"."+f.Name, "must be @authenticated")
				}
			})
		}
	}, map[string]string{"Query.x": "type Query { x: Int! }", "Mutation.y": "extend type Mutation { y: Int! }"}},

	{"scopes", func(s *schema, o *offences) {
		s.fields(func(d *ast.Definition, f *ast.FieldDefinition) {
			names := scopes(f)
			if f.Directives.ForName("requiresScopes") != nil && f.Directives.ForName("authenticated") == nil {
				o.add(d.Name+"."+f.Name, "must be @authenticated too")
			}
			for _, name := range names {
				if !slices.Contains(permissions(), name) {
					o.add(d.Name+"."+f.Name, "requires %s, which no role can hold", name)
				}
				if !strings.Contains(f.Description, name) {
					o.add(d.Name+"."+f.Name, "must tell that it requires %s", name)
				}
			}
		})
	}, map[string]string{
		"too":        `type T { "With users:read." x: Int! @requiresScopes(scopes: [["users:read"]]) }`,
		"users:reed": `type T { "With users:reed." x: Int! @authenticated @requiresScopes(scopes: [["users:reed"]]) }`,
		"must tell":  `type T { "The x." x: Int! @authenticated @requiresScopes(scopes: [["users:read"]]) }`,
	}},
}
