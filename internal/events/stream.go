package events

import "context"

// Stream is a Subscription that tells of each event as a domain's T.
type Stream[T any] struct {
	events *Subscription
	as     func(Delivery) (*T, error)
}

// Follow is Hub.Subscribe for a Stream.
func Follow[T any](ctx context.Context, h *Hub, topic Topic, after *string, as func(Delivery) (*T, error), admit Admit) (*Stream[T], error) {
	events, err := h.Subscribe(ctx, topic, after, admit)
	if err != nil {
		return nil, err
	}
	return &Stream[T]{events, as}, nil
}

// Next waits for the next event. It fails when ctx ends, and where it cannot be found
// out whether the caller may see the event.
func (s *Stream[T]) Next(ctx context.Context) (*T, error) {
	e, err := s.events.Next(ctx)
	if err != nil {
		return nil, err
	}
	return s.as(e)
}

// Poll is Next for who does not wait: where nothing has happened it returns nil, and
// wake is called once, perhaps before Poll returns, when something may have.
func (s *Stream[T]) Poll(ctx context.Context, wake func()) (*T, error) {
	e, found, err := s.events.Poll(ctx, wake)
	if err != nil || !found {
		return nil, err
	}
	return s.as(e)
}

// Close ends the subscription.
func (s *Stream[T]) Close() { s.events.Close() }
