package clienterr

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/wundergraph/astjson"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

// EveryItem stands in the engine's paths for an item of a list: errors of entities
// that were fetched together do not say whose they are.
const EveryItem = "@"

var everyItemBytes = []byte(`"` + EveryItem + `"`)

// Placed gives errors of single entities their places, as far as the data tell: an
// error is where a null is. Where there are more nulls than errors, a path ends at
// the list.
func Placed(errs []Error, data []byte) []Error {
	root, err := astjson.ParseBytes(data)
	if err != nil {
		return errs
	}
	groups := map[string][]int{}
	for i := range errs {
		if path := withItems(root, errs[i].Path); bytes.Contains(path, everyItemBytes) {
			groups[string(path)] = append(groups[string(path)], i)
		}
	}
	for path, members := range groups {
		var elements []json.RawMessage
		if err := json.Unmarshal([]byte(path), &elements); err != nil {
			continue
		}
		var places []json.RawMessage
		nullsAt(root, nil, elements, &places)
		for n, i := range members {
			switch len(places) {
			case 1:
				errs[i].Path = places[0]
			case len(members):
				errs[i].Path = places[n]
			default:
				errs[i].Path = untilList(elements)
			}
		}
	}
	return errs
}

// withItems has each item of a list stand in a path that goes through the list
// without saying so, as the engine's do below fragments.
func withItems(v *astjson.Value, path json.RawMessage) json.RawMessage {
	var elements, out []json.RawMessage
	if err := json.Unmarshal(path, &elements); err != nil {
		return path
	}
	for _, element := range elements {
		if v != nil && v.Type() == astjson.TypeArray {
			if element[0] == '"' && !bytes.Equal(element, everyItemBytes) {
				out = append(out, everyItemBytes)
				v = firstItem(v)
			} else {
				out, v = append(out, element), firstItem(v)
				continue
			}
		}
		out = append(out, element)
		if name, err := rawjson.DecodeString(element); err == nil && v != nil && v.Type() == astjson.TypeObject {
			v = v.Get(name)
		}
	}
	return append(append([]byte{'['}, bytes.Join(raw(out), []byte(","))...), ']')
}

// firstItem is the first item of a list that is something.
func firstItem(list *astjson.Value) *astjson.Value {
	for _, item := range list.GetArray() {
		if item.Type() != astjson.TypeNull {
			return item
		}
	}
	return nil
}

// nullsAt collects the places to which a path may lead: those that are null, or
// below something that is.
func nullsAt(v *astjson.Value, before, rest []json.RawMessage, places *[]json.RawMessage) {
	switch {
	case v == nil: // not selected there
		return
	case v.Type() == astjson.TypeNull:
		*places = append(*places, untilList(append(before[:len(before):len(before)], rest...)))
		return
	case len(rest) == 0:
		return
	case bytes.Equal(rest[0], everyItemBytes):
		if v.Type() != astjson.TypeArray {
			return
		}
		for i, item := range v.GetArray() {
			nullsAt(item, append(before[:len(before):len(before)], strconv.AppendInt(nil, int64(i), 10)), rest[1:], places)
		}
		return
	case v.Type() != astjson.TypeObject:
		return
	}
	name, err := rawjson.DecodeString(rest[0])
	if err != nil {
		return
	}
	nullsAt(v.Get(name), append(before[:len(before):len(before)], rest[0]), rest[1:], places)
}

// untilList renders a path up to the first list whose item nobody knows.
func untilList(elements []json.RawMessage) json.RawMessage {
	for i := range elements {
		if bytes.Equal(elements[i], everyItemBytes) {
			elements = elements[:i]
			break
		}
	}
	out := append([]byte{'['}, bytes.Join(raw(elements), []byte(","))...)
	return append(out, ']')
}

func raw(elements []json.RawMessage) [][]byte {
	out := make([][]byte, len(elements))
	for i := range elements {
		out[i] = elements[i]
	}
	return out
}
