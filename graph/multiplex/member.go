package multiplex

import (
	"context"
	"errors"
	"sync"
)

// errOver says that a subscription has ended, whyever.
var errOver = errors.New("the subscription is over")

// member is one subscription on a socket, and what waits for it.
type member struct {
	id string
	// wake tells who takes that something is there, room who pushes that something has
	// gone.
	wake, room chan struct{}

	mu      sync.Mutex
	waiting []delivery
	ended   bool
	err     error // why, nil if it is complete
}

type delivery struct {
	kind    Kind
	payload []byte
}

// push queues a message; false where the queue is full.
func (m *member) push(d delivery, most int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return true // it wants no more
	}
	if len(m.waiting) >= most {
		return false
	}
	m.waiting = append(m.waiting, d)
	nudge(m.wake)
	return true
}

// end lets nothing more be pushed. What waits is still taken where it is complete.
func (m *member) end(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return
	}
	m.ended, m.err = true, err
	nudge(m.wake)
	nudge(m.room)
}

// take waits for the next message. The error is errOver once there is none any more,
// or that of ctx.
func (m *member) take(ctx context.Context) (delivery, error) {
	for {
		m.mu.Lock()
		if len(m.waiting) > 0 && !errors.Is(m.err, ErrSlow) {
			next := m.waiting[0]
			m.waiting[0] = delivery{}
			if m.waiting = m.waiting[1:]; len(m.waiting) == 0 {
				m.waiting = nil
			}
			nudge(m.room)
			m.mu.Unlock()
			return next, nil
		}
		ended := m.ended
		m.mu.Unlock()
		if ended {
			return delivery{}, errOver
		}
		select {
		case <-m.wake:
		case <-ctx.Done():
			return delivery{}, ctx.Err()
		}
	}
}

// reason is why a subscription has ended with the error of take.
func (m *member) reason(err error) error {
	if !errors.Is(err, errOver) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is told already
	}
}
