// Package inputs makes an operation's variables from those of the client and the
// literals of the text, each coerced to its type.
package inputs

import (
	"fmt"
	"slices"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/variablesvalidation"

	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
)

// Variables is what an operation does with a client's variables.
type Variables struct {
	// declared are the client's own: no other name of the client's is read, so that
	// none can stand in for an extracted literal.
	declared Declared
	// extracted are the literals of the text.
	extracted []extractedVariable
	// definitions holds only the variable definitions, for checking values; nil if
	// the operation has no variable of the client's.
	definitions *ast.Document
	// nulls are variables that must not be null where they may be.
	nulls []null
	// Remap leads from the plan's names to those above.
	Remap map[string]string
}

type declaredVariable struct {
	name     string
	key      string // name as a JSON key with its colon
	typeRef  int
	fallback string // the default as JSON, or ""
	// sent says that the plan has this variable, and not only a literal that holds it.
	sent bool
}

// Declared are the variables that the client's text declares.
type Declared struct {
	doc  *ast.Document // has the types
	list []declaredVariable
}

type extractedVariable struct {
	name  string
	key   string
	value template
}

// ReadDeclared reads the variables of a normalized operation, before its literals
// become variables too.
func ReadDeclared(types *Types, doc *ast.Document) (Declared, error) {
	out := Declared{doc: doc}
	for _, node := range doc.RootNodes {
		if node.Kind != ast.NodeKindOperationDefinition {
			continue
		}
		for _, ref := range doc.OperationDefinitions[node.Ref].VariableDefinitions.Refs {
			name := doc.VariableDefinitionNameString(ref)
			d := declaredVariable{name: name, key: rawjson.Key(name), typeRef: doc.VariableDefinitions[ref].Type}
			if doc.VariableDefinitionHasDefaultValue(ref) {
				raw, err := doc.ValueToJSON(doc.VariableDefinitionDefaultValue(ref))
				if err != nil {
					return out, err
				}
				value, err := astjson.ParseBytes(raw)
				if err != nil {
					return out, fault.InvalidInput("query", "the default of $"+name+" is malformed").Because(err)
				}
				text, err := types.render(nil, doc, d.typeRef, value)
				if err != nil {
					return out, err
				}
				d.fallback = string(text)
			}
			out.list = append(out.list, d)
		}
	}
	return out, nil
}

// levels returns how many lists each variable's type has.
func (d *Declared) levels() map[string]int {
	out := make(map[string]int, len(d.list))
	for _, v := range d.list {
		out[v.name] = d.doc.TypeNumberOfListWraps(v.typeRef)
	}
	return out
}

// Holes renders a value for each variable that marks its place in literals.
func (d *Declared) Holes() []byte {
	if len(d.list) == 0 {
		return nil
	}
	out := []byte{'{'}
	for name, levels := range d.levels() {
		out = append(rawjson.AppendKey(out, rawjson.Key(name)), hole(name, levels)...)
	}
	return append(out, '}')
}

// Origin tells what a variable of the plan is: a client's, by the name that Bind gives
// its value, or a literal, as JSON.
func (v *Variables) Origin(planned string) (name, literal string) {
	name = planned
	if from, ok := v.Remap[planned]; ok {
		name = from
	}
	for i := range v.extracted {
		if v.extracted[i].name == name {
			return name, v.extracted[i].value.json
		}
	}
	return name, ""
}

func (d *Declared) find(name string) *declaredVariable {
	for i := range d.list {
		if d.list[i].name == name {
			return &d.list[i]
		}
	}
	return nil
}

// NewVariables reads a document whose literals have been extracted.
func NewVariables(doc *ast.Document, declared Declared, nulls *Nulls, remap map[string]string) (Variables, error) {
	v := Variables{declared: declared, nulls: nulls.list, Remap: remap}
	if len(doc.Input.Variables) > 0 {
		object, err := astjson.ParseBytes(doc.Input.Variables)
		if err != nil {
			return v, fault.InvalidInput("query", "a literal of the document is malformed").Because(err)
		}
		levels := declared.levels()
		object.GetObject().Visit(func(key []byte, value *astjson.Value) {
			if declared.find(string(key)) == nil {
				v.extracted = append(v.extracted, extractedVariable{string(key), rawjson.Key(string(key)), newTemplate(value, levels)})
			}
		})
	}
	if len(declared.list) == 0 {
		return v, nil // literals were validated with the document
	}
	definitions, err := document.Duplicate(doc)
	if err != nil {
		return v, fault.Internal(fmt.Errorf("copying the operation: %w", err))
	}
	for node := range definitions.OperationDefinitions {
		// Checking walks the document on every request: leave it nothing to walk.
		definitions.OperationDefinitions[node].HasSelections = false
	}
	for _, from := range remap {
		if d := v.declared.find(from); d != nil {
			d.sent = true
		}
	}
	v.definitions = definitions
	return v, nil
}

// Bind makes the operation's variables from the client's, an object or nil: the
// declared ones and the literals, with the client's values in their places. A literal
// with a null in it that must not be is left out; see Refused. Values that do not fit
// their type are INVALID_INPUT.
func (v *Variables) Bind(
	types *Types, check *variablesvalidation.VariablesValidator, client *astjson.Value,
) (*astjson.Value, error) {
	if len(v.declared.list) == 0 && len(v.extracted) == 0 {
		return nil, nil
	}
	fill := func(out []byte, name string) ([]byte, bool, error) {
		return v.declared.find(name).render(out, types, v.declared.doc, client)
	}
	voided := v.voided(client)
	var (
		out = append(make([]byte, 0, 256), '{')
		ok  bool
		err error
	)
	for i := range v.declared.list {
		d := &v.declared.list[i]
		if !d.sent {
			continue
		}
		before := len(out)
		out = rawjson.AppendKey(out, d.key)
		if out, ok, err = d.render(out, types, v.declared.doc, client); err != nil {
			return nil, err
		} else if !ok {
			out = out[:before]
		}
	}
	for i := range v.extracted {
		e := &v.extracted[i]
		if slices.Contains(voided, e.name) {
			continue
		}
		before := len(out)
		out = rawjson.AppendKey(out, e.key)
		if out, ok, err = e.value.render(out, fill); err != nil {
			return nil, err
		} else if !ok {
			out = out[:before]
		}
	}
	out = append(out, '}')
	if v.definitions != nil {
		definitions := v.definitions
		if len(voided) > 0 {
			definitions = v.without(voided)
		}
		if err := check.ValidateWithRemap(definitions, types.schema, out, v.Remap); err != nil {
			return nil, v.invalid(types, check, client, err)
		}
	}
	value, err := astjson.ParseBytes(out)
	if err != nil {
		return nil, fault.Internal(err)
	}
	return value, nil
}

// render appends the client's value or the default; ok is false if there is none.
func (d *declaredVariable) render(
	out []byte, types *Types, doc *ast.Document, client *astjson.Value,
) (_ []byte, ok bool, err error) {
	value := client.Get(d.name)
	if value == nil {
		return append(out, d.fallback...), d.fallback != "", nil
	}
	if out, err = types.render(out, doc, d.typeRef, value); err != nil {
		if f, ok := fault.As(err); ok {
			err = fault.InvalidInput("variables."+d.name, fmt.Sprintf("variable $%s: %s", d.name, f.Message))
		}
		return out, false, err
	}
	return out, true, nil
}
