// Package rawjson cuts JSON texts up and puts them together without decoding them.
package rawjson

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// EachMember calls f for each member of a valid JSON object whose keys need no
// unescaping. It reports false on what is no object.
func EachMember(object []byte, f func(key string, value []byte)) bool {
	i := SkipSpace(object, 0)
	if i >= len(object) || object[i] != '{' {
		return false
	}
	i = SkipSpace(object, i+1)
	for i < len(object) && object[i] == '"' {
		end := SkipValue(object, i)
		if end-1 <= i || end > len(object) {
			return false
		}
		key := string(object[i+1 : end-1])
		start := SkipSpace(object, end)
		if start >= len(object) || object[start] != ':' {
			return false
		}
		start = SkipSpace(object, start+1)
		end = SkipValue(object, start)
		f(key, object[start:end])
		if i = SkipSpace(object, end); i < len(object) && object[i] == ',' {
			i = SkipSpace(object, i+1)
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

// SkipSpace returns the index of the first byte from i on that is no space.
func SkipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// SkipValue returns the index after the JSON value that starts at i.
func SkipValue(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
			if depth == 0 {
				return i + 1
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

// skipString returns the index after the string that starts at i.
func skipString(b []byte, i int) int {
	start := i + 1
	for at := start; ; {
		quote := bytes.IndexByte(b[at:], '"')
		if quote < 0 {
			return len(b)
		}
		at += quote
		escapes := 0
		for before := at - 1; before >= start && b[before] == '\\'; before-- {
			escapes++
		}
		if at++; escapes%2 == 0 {
			return at
		}
	}
}

// PlainString returns what is in the string that starts at i, and the index after it;
// nil if it has escapes or does not end.
func PlainString(b []byte, i int) (inside []byte, end int) {
	quote := bytes.IndexByte(b[i+1:], '"')
	if quote < 0 {
		return nil, len(b)
	}
	end = i + 1 + quote
	inside = b[i+1 : end]
	if bytes.IndexByte(inside, '\\') >= 0 {
		return nil, end
	}
	return inside, end + 1
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
