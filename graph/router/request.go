package router

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/internal/fault"
)

// request is a GraphQL request. Its strings point into the body.
type request struct {
	query         string
	operationName string
	variables     *astjson.Value // an object or nil
	// documentID and hash name a persisted operation.
	documentID, hash string
	// fresh is set where the text came with its hash, and is not in the manifest.
	fresh bool
}

// parseRequest reads the body of a POST. Errors are INVALID_INPUT, or
// PERSISTED_QUERY_NOT_FOUND for a hash without a text.
func parseRequest(body []byte) (request, error) {
	var out request
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return out, fault.InvalidInput("", "the request body is empty")
	case body[0] == '[':
		return out, fault.InvalidInput("", "batches are not accepted: send one operation a request").Because(&document.BeyondLimit{Kind: "batch"})
	case !utf8.Valid(body):
		return out, fault.InvalidInput("", "the request body is not valid UTF-8")
	case !json.Valid(body): // the parser below is lenient, for instance about numbers
		return out, fault.InvalidInput("", "the request body is not valid JSON")
	}
	root, err := astjson.ParseBytes(body)
	if err != nil {
		return out, fault.InvalidInput("", "the request body nests too deeply")
	}
	if root.Type() != astjson.TypeObject {
		return out, fault.InvalidInput("", "the request body is not a JSON object")
	}
	if key, ok := duplicateKey(root); ok {
		return out, fault.InvalidInput("", fmt.Sprintf("the key %q occurs twice in one object", key))
	}
	if out.operationName, err = optionalString(root, "operationName"); err != nil {
		return out, err
	}
	if v := root.Get("variables"); v != nil && v.Type() != astjson.TypeNull {
		if v.Type() != astjson.TypeObject {
			return out, fault.InvalidInput("variables", "variables must be an object")
		}
		out.variables = v
	}
	if v := root.Get("extensions"); v != nil && v.Type() != astjson.TypeNull && v.Type() != astjson.TypeObject {
		return out, fault.InvalidInput("extensions", "extensions must be an object")
	}
	if out.documentID, out.hash, err = documentID(root); err != nil {
		return out, err
	}
	if out.query, err = optionalString(root, "query"); err != nil {
		return out, err
	}
	if out.query == "" {
		if out.document() != "" {
			return out, nil
		}
		return out, fault.InvalidInput("query", "query is missing")
	}
	return out, nil
}

func optionalString(object *astjson.Value, key string) (string, error) {
	v := object.Get(key)
	if v == nil || v.Type() == astjson.TypeNull {
		return "", nil
	}
	if v.Type() != astjson.TypeString {
		return "", fault.InvalidInput(key, key+" must be a string")
	}
	return string(v.GetStringBytes()), nil
}

// duplicateKey finds a key that occurs twice in one object, at any depth. Parsers
// disagree on which one counts: what one checked, another would use.
func duplicateKey(v *astjson.Value) (string, bool) {
	switch v.Type() {
	case astjson.TypeArray:
		for _, item := range v.GetArray() {
			if key, ok := duplicateKey(item); ok {
				return key, true
			}
		}
	case astjson.TypeObject:
		object := v.GetObject()
		var seen map[string]bool
		var few [8]string // most objects: no map needed
		count, found := 0, ""
		duplicate := false
		object.Visit(func(key []byte, member *astjson.Value) {
			if duplicate {
				return
			}
			for _, k := range few[:min(count, len(few))] {
				if k == string(key) {
					found, duplicate = k, true
					return
				}
			}
			if count < len(few) {
				few[count] = string(key)
			} else {
				if seen == nil {
					seen = make(map[string]bool, object.Len())
				}
				if seen[string(key)] {
					found, duplicate = string(key), true
					return
				}
				seen[string(key)] = true
			}
			count++
			if k, ok := duplicateKey(member); ok {
				found, duplicate = k, true
			}
		})
		return found, duplicate
	}
	return "", false
}
