package entities

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

// place is where a value stands: a field of an object or an item of a list, in
// another one. The root is nil.
type place struct {
	in    *place
	field string // "" for an item
	item  int
}

// render is the client's path to a place, and what follows it.
func (p *place) render(rest []json.RawMessage) json.RawMessage {
	var steps []*place
	for at := p; at != nil; at = at.in {
		if at.field != clienterr.Box {
			steps = append(steps, at)
		}
	}
	slices.Reverse(steps)
	out := []byte{'['}
	for _, step := range steps {
		if step.field == "" {
			out = strconv.AppendInt(out, int64(step.item), 10)
		} else {
			out = rawjson.AppendString(out, document.ClientName(step.field))
		}
		out = append(out, ',')
	}
	for _, element := range rest {
		out = append(append(out, element...), ',')
	}
	return append(bytes.TrimSuffix(out, []byte{','}), ']')
}

// spot is a value at its place.
type spot struct {
	value *astjson.Value
	at    *place
}

// placesOf are the places of an entity of a fetch; none where they are not known.
func (a *Answers) placesOf(fetch, entity int) []*place {
	if entity < 0 {
		return nil
	}
	a.replay()
	if entity >= len(a.places[fetch]) {
		return nil
	}
	return a.places[fetch][entity]
}

// list is the path to the first list that a fetch's objects are in.
func (a *Answers) list(fetch int) json.RawMessage {
	var at *place
	for _, element := range a.fetches.items[fetch].FetchPath {
		for _, name := range element.Path {
			at = &place{in: at, field: name}
		}
		if element.Kind == resolve.FetchItemPathElementKindArray {
			break
		}
	}
	return at.render(nil)
}

// replay puts the answers together as the engine has done, once and as far as that
// went well.
func (a *Answers) replay() {
	if a.places != nil {
		return
	}
	a.places, a.lacking = make([][][]*place, len(a.fetches.items)), map[string][]*place{}
	root, err := astjson.Parse(`{}`)
	if a.initial != nil {
		root, err = astjson.ParseBytes(a.initial)
	}
	if err != nil {
		return
	}
	for number, item := range a.fetches.items {
		if a.kept[number] == nil {
			continue
		}
		answer, err := astjson.ParseBytes(a.kept[number])
		if err != nil {
			continue
		}
		spots := selected(root, item.FetchPath)
		switch fetch := item.Fetch.(type) {
		case *resolve.SingleFetch:
			err = mergeOne(spots, answer, &fetch.PostProcessing)
		case *resolve.EntityFetch:
			err = mergeOne(spots, answer, &fetch.PostProcessing)
		case *resolve.BatchEntityFetch:
			var groups [][]spot
			if groups, err = grouped(spots, &fetch.Input); err != nil {
				return
			}
			for _, group := range groups {
				var places []*place
				for _, s := range group {
					places = append(places, s.at)
				}
				a.places[number] = append(a.places[number], places)
			}
			list := answer.GetArray(fetch.PostProcessing.SelectResponseDataPath...)
			a.lack(a.places[number], list)
			err = mergeAll(groups, list, &fetch.PostProcessing)
		}
		if err != nil {
			return
		}
	}
}

// lack notes the places of entities for which a service had nothing.
func (a *Answers) lack(places [][]*place, list []*astjson.Value) {
	for i, alike := range places {
		if i < len(list) && list[i].Type() == astjson.TypeNull && len(alike) > 1 {
			for _, p := range alike {
				a.lacking[string(p.render(nil))] = alike
			}
		}
	}
}

// selected are the values to which a fetch adds.
func selected(root *astjson.Value, path []resolve.FetchItemPathElement) []spot {
	spots := []spot{{value: root}}
	for _, element := range path {
		if len(element.Path) == 0 {
			continue
		}
		var next []spot
		for _, s := range spots {
			if !ofType(s.value, element.TypeNames) {
				continue
			}
			value, at := s.value.Get(element.Path...), s.at
			if value == nil {
				continue
			}
			for _, name := range element.Path {
				at = &place{in: at, field: name}
			}
			if value.Type() != astjson.TypeArray {
				next = append(next, spot{value, at})
				continue
			}
			for i, item := range value.GetArray() {
				next = append(next, spot{item, &place{in: at, item: i}})
			}
		}
		spots = next
	}
	return spots
}

// ofType is whether a value may be of one of some types; all may be of none.
func ofType(v *astjson.Value, names []string) bool {
	if len(names) == 0 || v == nil || v.Type() != astjson.TypeObject {
		return true
	}
	name := v.GetStringBytes("__typename")
	return name == nil || slices.Contains(names, string(name))
}

// grouped are the values for each representation that a service was sent: equal ones
// are sent once.
func grouped(spots []spot, input *resolve.BatchInput) ([][]spot, error) {
	var groups [][]spot
	known := map[string]int{}
	rc := resolve.NewContext(context.Background())
	var rendered bytes.Buffer
	for _, s := range spots {
		for i := range input.Items {
			rendered.Reset()
			if err := input.Items[i].Render(rc, s.value, &rendered); err != nil {
				if input.SkipErrItems {
					continue
				}
				return nil, err
			}
			text := rendered.String()
			if input.SkipNullItems && text == "null" || input.SkipEmptyObjectItems && text == "{}" {
				continue
			}
			if group, ok := known[text]; ok {
				groups[group] = append(groups[group], s)
				break
			}
			known[text] = len(groups)
			groups = append(groups, []spot{s})
		}
	}
	return groups, nil
}

func mergeOne(spots []spot, answer *astjson.Value, how *resolve.PostProcessingConfiguration) error {
	data := answer.Get(how.SelectResponseDataPath...)
	if data == nil || len(spots) != 1 {
		return nil
	}
	_, _, err := astjson.MergeValuesWithPath(nil, spots[0].value, data, how.MergePath...)
	return err
}

func mergeAll(groups [][]spot, list []*astjson.Value, how *resolve.PostProcessingConfiguration) error {
	if len(list) != len(groups) {
		return nil
	}
	for i, group := range groups {
		for _, s := range group {
			if _, _, err := astjson.MergeValuesWithPath(nil, s.value, list[i], how.MergePath...); err != nil {
				return err
			}
		}
	}
	return nil
}
