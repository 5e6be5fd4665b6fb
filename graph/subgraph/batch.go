package subgraph

import (
	"context"
	"errors"
	"sync"

	"github.com/99designs/gqlgen/graphql"
)

// Batch loads many values with the first that is asked for: one call for all
// keys that were expected until then, none if nobody asks, and no waiting for
// others to ask. It lives as long as one operation.
type Batch[K comparable, V any] struct {
	load func(context.Context, []K) ([]V, error)
	most int

	mu       sync.Mutex
	expected []K              // some perhaps more than once
	results  map[K]*result[V] // of the keys that are, or were, loaded
}

type result[V any] struct {
	value  V
	err    error
	loaded chan struct{} // closed when it is there
}

// NewBatch returns an empty batch. load returns a value for each key, in their
// order, and takes at most most keys at a time.
func NewBatch[K comparable, V any](most int, load func(context.Context, []K) ([]V, error)) *Batch[K, V] {
	return &Batch[K, V]{load: load, most: most}
}

// Expect says that these keys may be asked for. It costs little, since mostly
// nobody asks.
func (b *Batch[K, V]) Expect(keys ...K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, keys...)
}

// Get returns the key's value, and loads all expected ones if need be. No lock is
// held meanwhile, so that loading may expect more of other batches.
func (b *Batch[K, V]) Get(ctx context.Context, key K) (V, error) {
	b.mu.Lock()
	if b.results[key] == nil {
		b.expected = append(b.expected, key)
	}
	for b.results[key] == nil { // then it is among the expected
		keys, loaded := b.take()
		b.mu.Unlock()
		b.fill(ctx, keys, loaded)
		b.mu.Lock()
	}
	wanted := b.results[key]
	b.mu.Unlock()
	<-wanted.loaded
	return wanted.value, wanted.err
}

// take makes results of the first expected keys that have none, as many as are
// loaded at a time, which the caller loads. The lock is held.
func (b *Batch[K, V]) take() (keys []K, loaded chan struct{}) {
	if b.results == nil {
		b.results = make(map[K]*result[V], min(len(b.expected), b.most))
	}
	loaded = make(chan struct{})
	for len(b.expected) > 0 && len(keys) < b.most {
		key := b.expected[0]
		b.expected = b.expected[1:]
		if b.results[key] == nil {
			b.results[key] = &result[V]{loaded: loaded}
			keys = append(keys, key)
		}
	}
	return keys, loaded
}

// fill loads the keys; whoever waits sees the results once loaded is closed.
func (b *Batch[K, V]) fill(ctx context.Context, keys []K, loaded chan struct{}) {
	err := errors.New("loading panicked")
	var values []V
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, key := range keys {
			if b.results[key].err = err; err == nil {
				b.results[key].value = values[i]
			}
		}
		close(loaded)
	}()
	values, err = b.load(ctx, keys)
}

// Batches is a batch for each variant of a field, as for its arguments. What one
// variant expects, all do.
type Batches[A, K comparable, V any] struct {
	load func(context.Context, A, []K) ([]V, error)
	most int

	mu       sync.Mutex
	expected []K
	byVaried map[A]*Batch[K, V]
}

// NewBatches returns batches without variants yet; load and most are as of NewBatch.
func NewBatches[A, K comparable, V any](most int, load func(context.Context, A, []K) ([]V, error)) *Batches[A, K, V] {
	return &Batches[A, K, V]{load: load, most: most}
}

// Expect says that these keys may be asked for, with any variant.
func (b *Batches[A, K, V]) Expect(keys ...K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, keys...)
	for _, batch := range b.byVaried {
		batch.Expect(keys...)
	}
}

// Get returns the key's value of a variant.
func (b *Batches[A, K, V]) Get(ctx context.Context, variant A, key K) (V, error) {
	b.mu.Lock()
	batch := b.byVaried[variant]
	if batch == nil {
		batch = NewBatch(b.most, func(ctx context.Context, keys []K) ([]V, error) { return b.load(ctx, variant, keys) })
		batch.Expect(b.expected...)
		if b.byVaried == nil {
			b.byVaried = map[A]*Batch[K, V]{}
		}
		b.byVaried[variant] = batch
	}
	b.mu.Unlock()
	return batch.Get(ctx, key)
}

// WithValue gives each operation on the schema a value of its own under key, as
// its batches.
func WithValue(schema graphql.ExecutableSchema, key any, value func() any) graphql.ExecutableSchema {
	return withValue{schema, key, value}
}

type withValue struct {
	graphql.ExecutableSchema
	key   any
	value func() any
}

func (s withValue) Exec(ctx context.Context) graphql.ResponseHandler {
	respond := s.ExecutableSchema.Exec(ctx)
	return func(ctx context.Context) *graphql.Response { // it gets a context of its own
		return respond(context.WithValue(ctx, s.key, s.value()))
	}
}
