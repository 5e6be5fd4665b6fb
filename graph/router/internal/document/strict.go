package document

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/fault"
)

// byteOrderMark may begin a document, and means nothing.
const byteOrderMark = "\ufeff"

// checkLexemes refuses what is no token of the specification, of which the engine's
// lexer lets some pass: numbers that begin with zeros, unknown escapes, strings that
// do not end, lists of arguments or variables without any.
func checkLexemes(text string) error {
	tokens := lexer.New(&ast.Source{Input: text})
	for open := false; ; {
		token, err := tokens.ReadToken()
		if err != nil {
			return syntaxError(strings.TrimSuffix(err.Error(), "."), token.Pos.Line, token.Pos.Column)
		}
		if open && token.Kind == lexer.ParenR {
			return syntaxError("() without anything in it", token.Pos.Line, token.Pos.Column)
		}
		if open = token.Kind == lexer.ParenL; token.Kind == lexer.EOF {
			return nil
		}
	}
}

func syntaxError(message string, line, column int) error {
	if _, after, ok := strings.Cut(message, ": "); ok && strings.HasPrefix(message, "input:") {
		message = after
	}
	e := clienterr.Error{Message: "syntax error: " + message, Extensions: clienterr.Extensions{Code: fault.CodeInvalidInput}}
	if line > 0 && column > 0 {
		e.Locations = []clienterr.Location{{Line: uint32(line), Column: uint32(column)}}
	}
	return &clienterr.DocumentError{Errors: []clienterr.Error{e}}
}

// plainEscapes writes escaped characters as themselves: the engine would take \u{…}
// and half of a surrogate pair for text. It refuses what is no character.
func plainEscapes(text string) (string, error) {
	if !strings.Contains(text, `\u`) {
		return text, nil
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		switch {
		case text[i] == '#':
			end := strings.IndexAny(text[i:], "\r\n")
			if end < 0 {
				end = len(text) - i
			}
			out.WriteString(text[i : i+end])
			i += end
		case strings.HasPrefix(text[i:], `"""`):
			end := blockEnd(text[i+3:])
			out.WriteString(text[i : i+3+end])
			i += 3 + end
		case text[i] == '"':
			n, err := plainString(&out, text[i:])
			if err != nil {
				return "", err
			}
			i += n
		default:
			out.WriteByte(text[i])
			i++
		}
	}
	return out.String(), nil
}

// blockEnd is the index after the end of a block string's text.
func blockEnd(text string) int {
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], `\"""`):
			i += 3
		case strings.HasPrefix(text[i:], `"""`):
			return i + 3
		}
	}
	return len(text)
}

// plainString writes a string with its quotes, and returns how much it has read.
func plainString(out *strings.Builder, text string) (int, error) {
	out.WriteByte('"')
	for i := 1; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			out.WriteByte('"')
			return i + 1, nil
		case c == '\n' || c == '\r': // it does not end: that is refused later
			return i, nil
		case strings.HasPrefix(text[i:], `\u`):
			r, n, ok := escaped(text[i:])
			switch {
			case n == 0: // no escape at all: that is refused later
				out.WriteString(`\u`)
				i += 2
			case !ok:
				return 0, fault.InvalidInput("query", fmt.Sprintf("the escape %s is no character", clip(text[i:i+n])))
			case r < ' ' || r == '"' || r == '\\':
				fmt.Fprintf(out, `\u%04x`, r)
				i += n
			default:
				out.WriteRune(r)
				i += n
			}
		case c == '\\' && i+1 < len(text):
			out.WriteString(text[i : i+2])
			i += 2
		default:
			out.WriteByte(c)
			i++
		}
	}
	return len(text), nil
}

// escaped reads the escape that begins a text, and its other half. The number of
// bytes read is 0 where there is none, ok is false for one that is no character.
func escaped(text string) (r rune, n int, ok bool) {
	if strings.HasPrefix(text, `\u{`) {
		digits, _, closed := strings.Cut(text[3:], "}")
		code, err := strconv.ParseUint(digits, 16, 32)
		if !closed || err != nil {
			return 0, 0, false
		}
		return rune(code), len(digits) + 4, code <= utf8.MaxRune && utf8.ValidRune(rune(code))
	}
	high, ok := unit(text)
	if !ok {
		return 0, 0, false
	}
	if utf8.ValidRune(high) {
		return high, 6, true
	}
	if low, ok := unit(text[6:]); ok && high < 0xDC00 && low >= 0xDC00 && low < 0xE000 {
		return 0x10000 + (high-0xD800)<<10 + (low - 0xDC00), 12, true
	}
	return 0, 6, false
}

// unit reads \uXXXX.
func unit(text string) (rune, bool) {
	if len(text) < 6 || text[:2] != `\u` {
		return 0, false
	}
	code, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(code), err == nil
}
