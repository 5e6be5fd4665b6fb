// Package page holds what every list of the API has in common: its arguments
// and their bounds, opaque cursors, and the connection that is answered
// (GraphQL Cursor Connections specification). It knows no list itself.
package page

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/input"
)

const (
	// DefaultSize is the page size of a list whose first is not given.
	DefaultSize = 20
	// MaxSize is the largest first that a list accepts.
	MaxSize = 100
	// maxCursor bounds what is decoded at all, in bytes of base64.
	maxCursor = 512
	// separator cannot occur in a key: keys are printable.
	separator = "\x1f"
)

// Args are a list field's arguments as the client sent them; nil is absent.
type Args struct {
	First *int
	After *string
}

// Limit returns how many items the page may hold: 1 to MaxSize, DefaultSize if
// first is absent. INVALID_INPUT of the field "first" otherwise.
func (a Args) Limit() (int, error) {
	if a.First == nil {
		return DefaultSize, nil
	}
	if *a.First < 1 || *a.First > MaxSize {
		return 0, fault.InvalidInput("first", fmt.Sprintf("first must be between 1 and %d", MaxSize))
	}
	return *a.First, nil
}

// AfterID returns the id that the page begins after, for lists whose order is
// their id alone; nil if after is absent. INVALID_INPUT of the field "after" if
// the cursor is not one that IDCursor made.
func (a Args) AfterID() (*uuid.UUID, error) {
	keys, err := a.AfterKeys(1)
	if err != nil || keys == nil {
		return nil, err
	}
	id, err := uuid.Parse(keys[0])
	if err != nil || id.String() != keys[0] {
		return nil, malformed()
	}
	return &id, nil
}

// ByID returns both for such a list: how many items the page may hold, and the id
// that it begins after. It fails like Limit and AfterID.
func (a Args) ByID() (limit int, after *uuid.UUID, err error) {
	if limit, err = a.Limit(); err == nil {
		after, err = a.AfterID()
	}
	return limit, after, err
}

// AfterKeys returns the n keys of the item that the page begins after; nil if
// after is absent. INVALID_INPUT of the field "after" if the cursor is not one
// that Cursor made from n keys. The keys come from the client: they place a
// page within what the caller may see and must never widen it.
func (a Args) AfterKeys(n int) ([]string, error) {
	if a.After == nil {
		return nil, nil
	}
	if len(*a.After) > maxCursor {
		return nil, malformed()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(*a.After)
	if err != nil {
		return nil, malformed()
	}
	keys := strings.Split(string(raw), separator)
	if len(keys) != n {
		return nil, malformed()
	}
	return keys, nil
}

// Place is where a page of an order begins: after the item with this key and id.
type Place struct {
	Key string
	ID  uuid.UUID
}

// AfterIn returns the place that the page begins after in an order; nil if after
// is absent. INVALID_INPUT of the field "after" if the cursor is not one that
// OrderedCursor made for that order. As with AfterKeys, it comes from the client.
func (a Args) AfterIn(order string) (*Place, error) {
	keys, err := a.AfterKeys(3)
	if err != nil || keys == nil {
		return nil, err
	}
	id, err := uuid.Parse(keys[2])
	if err != nil || keys[0] != order || !input.Storable(keys[1]) {
		return nil, Misplaced()
	}
	return &Place{keys[1], id}, nil
}

// Misplaced is the answer to a cursor that no item of the order has.
func Misplaced() error {
	return fault.InvalidInput("after", "after must be a cursor that this list returned before, in the same order")
}

// OrderedCursor returns the opaque cursor of an item in an order: by key, and by id
// where keys are equal. An order by id alone has no keys.
func OrderedCursor(order, key string, id uuid.UUID) string { return Cursor(order, key, id.String()) }

func malformed() error {
	return fault.InvalidInput("after", "after must be a cursor that this list returned before")
}

// Cursor returns the opaque cursor of an item with these keys, the last of
// which makes it unique.
func Cursor(keys ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(keys, separator)))
}

// IDCursor returns the cursor of an item in a list ordered by id.
func IDCursor(id uuid.UUID) string { return Cursor(id.String()) }

// Connection is one page of a list. Bind a list's GraphQL type to it by an
// alias: type SessionConnection = page.Connection[*Session].
type Connection[T any] struct {
	Edges    []*Edge[T]
	PageInfo *PageInfo
}

// Edge is one item of a page and its cursor.
type Edge[T any] struct {
	Node   T
	Cursor string
}

// PageInfo says where a page lies in its list. The cursors are nil on an empty page.
type PageInfo struct {
	HasNextPage     bool
	HasPreviousPage bool
	StartCursor     *string
	EndCursor       *string
}

// New makes the page from its items in order. Ask the database for one item
// more than limit: it is not shown, and says that there is a next page.
func New[T any](items []T, limit int, args Args, cursor func(T) string) *Connection[T] {
	info := &PageInfo{HasNextPage: len(items) > limit, HasPreviousPage: args.After != nil}
	items = items[:min(limit, len(items))]
	edges := make([]*Edge[T], len(items))
	for i, item := range items {
		edges[i] = &Edge[T]{Node: item, Cursor: cursor(item)}
	}
	if n := len(edges); n > 0 {
		info.StartCursor, info.EndCursor = &edges[0].Cursor, &edges[n-1].Cursor
	}
	return &Connection[T]{Edges: edges, PageInfo: info}
}

// Key is Args by value: equal arguments have equal keys.
type Key struct {
	first Value[int]
	after Value[string]
}

// Key returns the arguments by value.
func (a Args) Key() Key { return Key{ValueOf(a.First), ValueOf(a.After)} }

// Args returns the arguments that the key was made of.
func (k Key) Args() Args { return Args{First: k.first.Pointer(), After: k.after.Pointer()} }

// Value is an optional argument by value: equal arguments are equal values.
type Value[T comparable] struct {
	value T
	given bool
}

// ValueOf returns the argument by value; nil is absent.
func ValueOf[T comparable](argument *T) Value[T] {
	if argument == nil {
		return Value[T]{}
	}
	return Value[T]{*argument, true}
}

// Pointer returns the argument that the value was made of.
func (v Value[T]) Pointer() *T {
	if !v.given {
		return nil
	}
	return &v.value
}
