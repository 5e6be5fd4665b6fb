package introspect

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
)

// appendValue writes a default as GraphQL has it.
func appendValue(out []byte, v *ast.Value) []byte {
	switch v.Kind {
	case ast.StringValue, ast.BlockValue:
		return appendString(out, v.Raw)
	case ast.ListValue:
		out = append(out, '[')
		for i, child := range v.Children {
			if i > 0 {
				out = append(out, ", "...)
			}
			out = appendValue(out, child.Value)
		}
		return append(out, ']')
	case ast.ObjectValue:
		out = append(out, '{')
		for i, child := range v.Children {
			if i > 0 {
				out = append(out, ", "...)
			}
			out = appendValue(append(append(out, child.Name...), ": "...), child.Value)
		}
		return append(out, '}')
	}
	return append(out, v.Raw...)
}

// appendString writes a text as GraphQL has it, in quotes.
func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', byte(c))
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\t':
			out = append(out, `\t`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c < ' ' || c == 0x7f:
			out = fmt.Appendf(out, `\u%04X`, c)
		default:
			out = append(out, string(c)...)
		}
	}
	return append(out, '"')
}
