// Package rawjson cuts JSON texts up and puts them together without decoding them.
package rawjson

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// EachMember calls f for each member of a valid JSON object whose keys need no
// unescaping. It reports false on what is no object.
func EachMember(object []byte, f func(key string, value []byte)) bool {
	i := skipSpace(object, 0)
	if i >= len(object) || object[i] != '{' {
		return false
	}
	i = skipSpace(object, i+1)
	for i < len(object) && object[i] == '"' {
		end := skipValue(object, i)
		if end-1 <= i || end > len(object) {
			return false
		}
		key := string(object[i+1 : end-1])
		start := skipSpace(object, end)
		if start >= len(object) || object[start] != ':' {
			return false
		}
		start = skipSpace(object, start+1)
		end = skipValue(object, start)
		f(key, object[start:end])
		if i = skipSpace(object, end); i < len(object) && object[i] == ',' {
			i = skipSpace(object, i+1)
		}
	}
	return i < len(object) && object[i] == '}'
}

// IsResponse reports whether a text can be handed on as a GraphQL response: it is
// UTF-8, its data, if there, are an object or null, and its errors a list of errors.
// Whether all of it is JSON is not looked at.
func IsResponse(text []byte) bool {
	if !utf8.Valid(text) {
		return false
	}
	good := true
	object := EachMember(text, func(key string, value []byte) {
		switch {
		case len(value) == 0:
			good = false
		case key == "data":
			good = good && (value[0] == '{' || string(value) == "null")
		case key == "errors" && string(value) != "null" && string(value) != "[]":
			var list []struct {
				Message    string
				Path       []any
				Extensions map[string]any
			}
			good = good && json.Unmarshal(value, &list) == nil
		}
	})
	return object && good
}

// RepeatsKey reports whether a valid JSON object has a key twice, or one that is
// escaped and so might be another's. Readers disagree on which of two counts.
func RepeatsKey(object []byte) bool {
	var keys [8]string // more than any object has that is asked about
	n, repeats := 0, false
	EachMember(object, func(key string, _ []byte) {
		repeats = repeats || strings.Contains(key, `\`) || slices.Contains(keys[:n], key)
		if n < len(keys) {
			keys[n] = key
			n++
		}
	})
	return repeats
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the index after the JSON value that starts at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(b))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of the object around a number or a literal
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

// DecodeString reads a JSON string.
func DecodeString(raw []byte) (string, error) {
	var text string
	err := json.Unmarshal(raw, &text)
	return text, err
}

// AppendString appends s as a JSON string.
func AppendString(out []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return append(append(append(out, '"'), s...), '"')
	}
	encoded, err := json.Marshal(s)
	if err != nil { // strings always encode
		return strconv.AppendQuote(out, s)
	}
	return append(out, encoded...)
}

// Key renders a GraphQL name, which needs no escaping, as a JSON key.
func Key(name string) string { return `"` + name + `":` }

// AppendKey appends a rendered key to an object that is being written, with a comma
// where it is not the first.
func AppendKey(out []byte, key string) []byte {
	if out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	return append(out, key...)
}

// Path renders the elements of a response's path.
func Path(elements []json.RawMessage) json.RawMessage {
	out := []byte{'['}
	for i, element := range elements {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, element...)
	}
	return append(out, ']')
}
