// Package conform sets right what a subgraph answers that its schema does not allow:
// a value of another type becomes null, with an error at its place, as a server of
// the whole schema would answer. The rest of the answer stays.
package conform

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

// kind is what a value may be, beside null.
type kind int

const (
	anything kind = iota // of a scalar that only the subgraph knows
	text
	integer
	number
	boolean
	identifier
	object
	list
)

// Shape is what a value may look like.
type Shape struct {
	kind kind
	item *Shape
	// fields are those of an object. What several fragments select under one key may
	// look like any of them.
	fields map[string][]*Shape
	// response is what a whole response with such data looks like, of Compile's own.
	response *Shape
}

// maxErrors bounds the errors that are added to one answer.
const maxErrors = 20

// Answer returns a response with null in place of what does not fit, and the paths
// of that, as JSON, of which the first ones have an error in it. A response that
// fits is returned as it is.
func (s *Shape) Answer(response []byte) (_ []byte, wrong []string) {
	if _, plainly := s.response.scan(response, rawjson.SkipSpace(response, 0)); plainly {
		return response, nil
	}
	parsed, err := astjson.ParseBytes(response)
	if err != nil {
		return response, nil // told otherwise
	}
	data := parsed.Get("data")
	if data == nil || s.fits(data) {
		return response, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(response))
	decoder.UseNumber()
	var whole map[string]any
	if err := decoder.Decode(&whole); err != nil {
		return response, nil
	}
	c := &correction{}
	whole["data"] = c.corrected(whole["data"], []*Shape{s})
	if len(c.errors) > 0 {
		errs, _ := whole["errors"].([]any)
		whole["errors"] = append(errs, c.errors...)
	}
	out, err := json.Marshal(whole)
	if err != nil { // what was decoded encodes
		return response, nil
	}
	return out, c.wrong
}

// fits is whether all of a value is what it may be.
func (s *Shape) fits(v *astjson.Value) bool {
	if v.Type() == astjson.TypeNull {
		return true
	}
	switch s.kind {
	case list:
		if v.Type() != astjson.TypeArray {
			return false
		}
		for _, item := range v.GetArray() {
			if !s.item.fits(item) {
				return false
			}
		}
		return true
	case object:
		if v.Type() != astjson.TypeObject {
			return false
		}
		all := true
		v.GetObject().Visit(func(key []byte, member *astjson.Value) {
			if shapes, ok := s.fields[string(key)]; ok && all {
				all = false
				for _, shape := range shapes {
					if shape.fits(member) {
						all = true
						break
					}
				}
			}
		})
		return all
	case text, identifier: // a number is made an id's text
		return v.Type() == astjson.TypeString
	case boolean:
		return v.Type() == astjson.TypeTrue || v.Type() == astjson.TypeFalse
	case number:
		return v.Type() == astjson.TypeNumber
	case integer:
		return v.Type() == astjson.TypeNumber && isInt(string(v.MarshalTo(nil)))
	}
	return true
}

// isInt is whether a number is one of 32 bits.
func isInt(text string) bool {
	if _, err := strconv.ParseInt(text, 10, 32); err == nil {
		return true
	}
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && f == math.Trunc(f) && f >= math.MinInt32 && f <= math.MaxInt32
}

// correction puts nulls into one answer.
type correction struct {
	path   []any
	wrong  []string
	errors []any
}

func (c *correction) corrected(v any, shapes []*Shape) any {
	if v == nil {
		return nil
	}
	for _, s := range shapes {
		if out, ok := c.into(v, s); ok {
			return out
		}
	}
	path, err := json.Marshal(c.path)
	if err != nil { // keys and indexes
		return nil
	}
	if c.wrong = append(c.wrong, string(path)); len(c.errors) < maxErrors {
		c.errors = append(c.errors, map[string]any{
			"message": "a value that the schema does not allow", "path": json.RawMessage(path),
			"extensions": map[string]any{"code": "INTERNAL"},
		})
	}
	return nil
}

// into corrects what is inside a value; ok is false if it is none of the shape.
func (c *correction) into(v any, s *Shape) (_ any, ok bool) {
	switch s.kind {
	case list:
		items, ok := v.([]any)
		for i := range items {
			items[i] = c.at(i, items[i], []*Shape{s.item})
		}
		return items, ok
	case object:
		members, ok := v.(map[string]any)
		for key, member := range members {
			if shapes, known := s.fields[key]; known {
				members[key] = c.at(key, member, shapes)
			}
		}
		return members, ok
	case text:
		_, ok = v.(string)
	case identifier:
		if n, isNumber := v.(json.Number); isNumber {
			return n.String(), true
		}
		_, ok = v.(string)
	case boolean:
		_, ok = v.(bool)
	case number:
		_, ok = v.(json.Number)
	case integer:
		n, isNumber := v.(json.Number)
		ok = isNumber && isInt(n.String())
	default:
		ok = true
	}
	return v, ok
}

func (c *correction) at(step, v any, shapes []*Shape) any {
	c.path = append(c.path, step)
	defer func() { c.path = c.path[:len(c.path)-1] }()
	return c.corrected(v, shapes)
}
