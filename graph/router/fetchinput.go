package router

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
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
	ok := rawjson.EachMember(input, func(key string, value []byte) {
		switch key {
		case "body":
			rawjson.EachMember(value, func(key string, value []byte) {
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
	rawjson.EachMember(f.variables, func(key string, value []byte) {
		if bytes.Equal(value, []byte("null")) && slices.Contains(f.undefined, key) {
			return
		}
		out = append(rawjson.AppendKey(out, rawjson.Key(key)), value...)
	})
	return append(out, '}')
}
