// Package entities finds where the objects stand in a response that a service was
// asked for together: it answers with a list of them, each once, and an error there
// says only which of that list it is of.
//
// The answers of a running operation are kept, and put together once more, as the
// engine does, when one of them has errors. Nothing is done for answers without.
package entities

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
)

// field is what services answer entities in.
const field = "_entities"

// mark begins the element of an engine's path that says which entity of which fetch
// an error is of, as "@3:7"; "@3:" is the whole of the third fetch. No field and no
// alias begins like that.
const mark = "@"

// Fetches are those of a plan, numbered in the order in which they may run.
type Fetches struct {
	items   []*resolve.FetchItem
	numbers map[*resolve.FetchItem]int
}

// Of are the fetches of a finished plan; nil for one that asks for no entities in
// lists, the errors of which say where they are.
func Of(tree *resolve.FetchTreeNode) *Fetches {
	f := &Fetches{numbers: map[*resolve.FetchItem]int{}}
	lists := false
	var walk func(*resolve.FetchTreeNode)
	walk = func(node *resolve.FetchTreeNode) {
		if node == nil {
			return
		}
		if node.Item != nil && node.Item.Fetch != nil {
			f.numbers[node.Item] = len(f.items)
			f.items = append(f.items, node.Item)
			lists = lists || node.Item.Fetch.FetchKind() == resolve.FetchKindEntityBatch
		}
		for _, child := range node.ChildNodes {
			walk(child)
		}
	}
	walk(tree)
	if !lists {
		return nil
	}
	return f
}

// Number is that of a fetch, -1 where there are no fetches to number.
func (f *Fetches) Number(item *resolve.FetchItem) int {
	if f == nil {
		return -1
	}
	return f.numbers[item]
}

// Answers are those of one running operation.
type Answers struct {
	fetches *Fetches
	initial []byte
	kept    [][]byte
	// places are found when they are first asked for: those of each entity of each
	// fetch.
	places [][][]*place
	// lacking are, by the client's path to one of them, the places of an entity that a
	// service does not know.
	lacking map[string][]*place
	// shown is the data that the client gets.
	shown *astjson.Value
}

type contextKey struct{}

// Keep returns a context in which answers are kept, for one running of a plan on top
// of data, as of an event; nil data is none.
func (f *Fetches) Keep(ctx context.Context, initial []byte) context.Context {
	if f == nil {
		return ctx
	}
	return context.WithValue(ctx, contextKey{}, &Answers{fetches: f, initial: initial, kept: make([][]byte, len(f.items))})
}

// Kept are the answers of a context of Keep; nil in others.
func Kept(ctx context.Context) *Answers {
	a, _ := ctx.Value(contextKey{}).(*Answers)
	return a
}

// Add keeps the answer to a fetch, and returns it with errors that say which entity
// they are of in a way that outlives the engine.
func (a *Answers) Add(number int, answer []byte) []byte {
	if a == nil || number < 0 {
		return answer
	}
	if a.fetches.items[number].Fetch.FetchKind() == resolve.FetchKindEntityBatch && bytes.Contains(answer, []byte(`"errors"`)) {
		answer = marked(number, answer)
	}
	a.kept[number] = answer
	return answer
}

func marked(number int, answer []byte) []byte {
	root, err := astjson.ParseBytes(answer)
	if err != nil {
		return answer
	}
	for _, e := range root.GetArray("errors") {
		if e.Type() != astjson.TypeObject {
			continue
		}
		given := e.GetArray("path")
		which, rest := "", []*astjson.Value(nil)
		if len(given) > 1 && string(given[0].GetStringBytes()) == field && given[1].Type() == astjson.TypeNumber {
			which, rest = strconv.Itoa(given[1].GetInt()), given[2:]
		}
		path := astjson.ArrayValue(nil)
		path.SetArrayItem(nil, 0, astjson.StringValue(nil, field))
		path.SetArrayItem(nil, 1, astjson.StringValue(nil, mark+strconv.Itoa(number)+":"+which))
		for i, element := range rest {
			path.SetArrayItem(nil, i+2, element)
		}
		e.Set(nil, "path", path)
	}
	return root.MarshalTo(nil)
}

// Show says what data the client gets: there are no places beside it.
func (a *Answers) Show(data []byte) {
	if a == nil {
		return
	}
	if parsed, err := astjson.ParseBytes(data); err == nil {
		a.shown = parsed
	}
}

// Paths are the places that a path of the engine's means; itself where it is of no
// entity in a list. It ends at the first list where it is of all entities of a fetch.
// There are none for what the client asked for at no place of an entity: services are
// asked for all that may be needed of a type, before it is known what stands around it.
func (a *Answers) Paths(path json.RawMessage) []json.RawMessage {
	if a == nil || !bytes.Contains(path, []byte(`"`+mark)) {
		return []json.RawMessage{path}
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(path, &elements); err != nil {
		return []json.RawMessage{path}
	}
	for i, element := range elements {
		fetch, entity, ok := a.read(element)
		if !ok {
			continue
		}
		rest := elements[i+1:]
		places := a.placesOf(fetch, entity)
		if len(places) == 0 {
			return []json.RawMessage{a.list(fetch)}
		}
		var out []json.RawMessage
		for _, p := range places {
			if at := p.render(rest); a.stands(at) {
				out = append(out, at)
			}
		}
		return out
	}
	return []json.RawMessage{path}
}

// read reads a mark; the entity is -1 for all.
func (a *Answers) read(element json.RawMessage) (fetch, entity int, ok bool) {
	text, isText := strings.CutPrefix(string(element), `"`+mark)
	first, second, isMark := strings.Cut(strings.TrimSuffix(text, `"`), ":")
	if !isText || !isMark {
		return 0, 0, false
	}
	fetch, err := strconv.Atoi(first)
	if err != nil || fetch < 0 || fetch >= len(a.fetches.items) {
		return 0, 0, false
	}
	if entity, err = strconv.Atoi(second); err != nil {
		entity = -1
	}
	return fetch, entity, true
}

// Alike are the places of a field that has no value, given one of them, because a
// service does not know its object: the engine tells the first.
func (a *Answers) Alike(void json.RawMessage) []json.RawMessage {
	var elements []json.RawMessage
	if err := json.Unmarshal(void, &elements); err != nil || len(elements) == 0 || a == nil {
		return []json.RawMessage{void}
	}
	a.replay()
	object, name := rawjson.Path(elements[:len(elements)-1]), elements[len(elements)-1:]
	out := []json.RawMessage{void}
	for _, p := range a.lacking[string(object)] {
		if path := p.render(name); !bytes.Equal(path, void) && a.stands(path) {
			out = append(out, path)
		}
	}
	return out
}

// stands is whether a path leads somewhere in the client's data, or to a null.
func (a *Answers) stands(path json.RawMessage) bool {
	var elements []json.RawMessage
	if err := json.Unmarshal(path, &elements); err != nil {
		return false
	}
	at := a.shown
	for _, element := range elements {
		if at == nil || at.Type() == astjson.TypeNull {
			break
		}
		name, err := rawjson.DecodeString(element)
		if err != nil {
			name = string(element)
		}
		if at = at.Get(name); at == nil {
			return false
		}
	}
	return true
}
