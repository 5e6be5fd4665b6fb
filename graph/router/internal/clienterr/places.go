package clienterr

import (
	"encoding/json"
	"slices"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

// Box is the one field of an object of a plan that stands for a list within a list;
// it is in no path.
const Box = "__internal_ts_list"

// Unexplained are the places of fields without value, that must have one, of which no
// error tells the reason: none is in the same object, of which all fields of one
// service are null by it, or at a list around it; one without a path is of the
// operation's own fields.
func Unexplained(errs []Error, voids []json.RawMessage) []json.RawMessage {
	if len(voids) == 0 {
		return nil
	}
	told, around := map[string]bool{}, map[string]bool{}
	for _, e := range errs {
		if len(e.Path) == 0 {
			around[string(rawjson.Path(nil))] = true
			continue
		}
		told[string(e.Path)] = true
		for _, prefix := range prefixes(e.Path) {
			around[string(prefix)] = true
		}
	}
	var out []json.RawMessage
	for _, void := range voids {
		at := prefixes(void)
		if len(at) > 1 && around[string(at[len(at)-2])] || slices.ContainsFunc(at, func(prefix json.RawMessage) bool { return told[string(prefix)] }) {
			continue
		}
		told[string(void)] = true
		out = append(out, void)
	}
	return out
}

// prefixes are a path and what it leads through, the shortest first; none for what is
// no path.
func prefixes(path json.RawMessage) []json.RawMessage {
	var elements []json.RawMessage
	if err := json.Unmarshal(path, &elements); err != nil {
		return nil
	}
	out := make([]json.RawMessage, len(elements)+1)
	for i := range out {
		out[i] = rawjson.Path(elements[:i])
	}
	return out
}
