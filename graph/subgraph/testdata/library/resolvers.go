package library

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradesage/tradesage/internal/fault"
)

// Resolvers serves ten books from memory.
type Resolvers struct {
	// Added is what bookAdded subscribes to; nil where the tests never come so far.
	Added func(context.Context) (<-chan *Book, error)
}

// Query returns the query resolvers.
func (Resolvers) Query() QueryResolver { return resolvers{} }

// Entity returns the entity resolvers.
func (Resolvers) Entity() EntityResolver { return resolvers{} }

// Subscription returns the subscription's resolver.
func (r Resolvers) Subscription() SubscriptionResolver { return subscriptions{r.Added} }

type subscriptions struct {
	added func(context.Context) (<-chan *Book, error)
}

// BookAdded follows what a test adds.
func (s subscriptions) BookAdded(ctx context.Context) (<-chan *Book, error) { return s.added(ctx) }

type resolvers struct{}

var shelf = func() []*Book {
	born := 1815
	books := make([]*Book, 10)
	for i := range books {
		books[i] = &Book{
			ID: fmt.Sprintf("b%d", i), Title: fmt.Sprintf("Volume %d", i), Pages: 100 * i,
			Author: &Author{Name: "Ada", Born: &born}, Tags: []string{"maths", "engines"},
		}
	}
	return books
}()

func (resolvers) Hello(_ context.Context, name *string) (string, error) {
	if name == nil {
		return "hello, nobody", nil
	}
	return "hello, " + *name, nil
}

func (resolvers) Book(_ context.Context, id string) (*Book, error) {
	for _, b := range shelf {
		if b.ID == id {
			return b, nil
		}
	}
	return nil, fault.NotFound("no such book")
}

func (resolvers) Books(_ context.Context, first *int) ([]*Book, error) {
	if first == nil {
		return shelf, nil
	}
	return shelf[:min(max(*first, 0), len(shelf))], nil
}

func (resolvers) Item(_ context.Context, kind string) (Item, error) {
	switch kind {
	case "book":
		return shelf[1], nil
	case "author":
		return *shelf[1].Author, nil
	}
	return nil, nil //nolint:nilnil // there is none
}

func (resolvers) Mixed(context.Context) ([]Item, error) { return mixed, nil }

func (resolvers) Strict(context.Context) ([]Item, error) { return mixed, nil }

func (resolvers) Works(context.Context) ([][]Work, error) {
	return [][]Work{{&Leaflet{Title: "A leaflet"}, shelf[1]}, {shelf[2], nil}}, nil
}

var mixed = []Item{shelf[1], shelf[1].Author, shelf[2]}

func (resolvers) Secret(context.Context) (*string, error) {
	secret := "42"
	return &secret, nil
}

func (resolvers) Fail(_ context.Context, how string) (*string, error) {
	switch how {
	case "panic":
		panic("a bug")
	case "plain":
		return nil, errors.New("dial tcp 10.0.0.7: password=hunter2")
	case "wrapped":
		return nil, fmt.Errorf("naming: %w", fault.Conflict("input.name", "the name is taken"))
	}
	return nil, fault.RateLimited("slow down", 1500_000_000)
}

func (r resolvers) FindManyBookByIDs(ctx context.Context, reps []*BookByIDsInput) ([]*Book, error) {
	out := make([]*Book, len(reps))
	for i, rep := range reps {
		out[i], _ = r.Book(ctx, rep.ID) // an unknown key is a null entity
	}
	return out, nil
}
