package router

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// fetchInput is what the engine renders for a fetch, cut up and not decoded:
//
//	{"method":…,"url":…,"body":{"query":"…","variables":{…}},"undefined":["a"]}
type fetchInput struct {
	query     []byte // a JSON string
	variables []byte // a JSON object or nil
	undefined []string
}

// readFetchInput cuts up the engine's rendering, which is valid JSON.
func readFetchInput(input []byte) (fetchInput, bool) {
	var out fetchInput
	ok := eachMember(input, func(key string, value []byte) {
		switch key {
		case "body":
			eachMember(value, func(key string, value []byte) {
				switch key {
				case "query":
					out.query = value
				case "variables":
					if len(value) > 0 && value[0] == '{' {
						out.variables = value
					}
				}
			})
		case "undefined":
			_ = json.Unmarshal(value, &out.undefined) // a list of names, by the engine
		}
	})
	return out, ok && out.query != nil
}

// definedVariables returns the variables without those that the client left out.
// The engine renders them as null, and null is not the same: it would override
// an argument's default.
func (f *fetchInput) definedVariables() []byte {
	if len(f.undefined) == 0 || f.variables == nil {
		return f.variables
	}
	out := append(make([]byte, 0, len(f.variables)), '{')
	eachMember(f.variables, func(key string, value []byte) {
		if bytes.Equal(value, []byte("null")) && slices.Contains(f.undefined, key) {
			return
		}
		out = append(appendKey(out, jsonKey(key)), value...)
	})
	return append(out, '}')
}

// eachMember calls f for each member of a valid JSON object whose keys need no
// unescaping. It reports false on what is no object.
func eachMember(object []byte, f func(key string, value []byte)) bool {
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

func decodeJSONString(raw []byte) (string, error) {
	var text string
	err := json.Unmarshal(raw, &text)
	return text, err
}

// appendJSONString appends s as a JSON string.
func appendJSONString(out []byte, s string) []byte {
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
