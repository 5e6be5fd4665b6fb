package router

import (
	"context"
	"sync"
	"time"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// client is a connection that stays open.
type client interface {
	// who is asking on it, nil for nobody signed in.
	who() *identity.Caller
	// end closes it, without waiting. A nil reason says that the server ends.
	end(reason *fault.Error)
}

// clients are the open connections of a router.
type clients struct {
	mu       sync.Mutex
	open     map[client]struct{}
	draining bool
	all      sync.WaitGroup
}

// add registers a connection, or says why there is no room.
func (c *clients) add(added client, limit int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return errDraining
	}
	if len(c.open) >= limit {
		full := fault.Unavailable("too many connections are open; try again later")
		full.RetryAfter = 10 * time.Second
		return full
	}
	if c.open == nil {
		c.open = map[client]struct{}{}
	}
	c.open[added] = struct{}{}
	c.all.Add(1)
	return nil
}

func (c *clients) remove(removed client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, removed)
	c.all.Done()
}

func (c *clients) list(matches func(*identity.Caller) bool) []client {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []client
	for one := range c.open {
		if matches(one.who()) {
			found = append(found, one)
		}
	}
	return found
}

// errRevoked ends the connections of a caller who no longer counts.
var errRevoked = fault.Unauthenticated("this sign-in has ended; sign in again")

// EndSessions closes the open WebSockets and streams of the callers that match,
// whose sign-in has ended. It does not wait and may be called from a feed.
func (r *Router) EndSessions(match func(*identity.Caller) bool) {
	for _, one := range r.clients.list(func(caller *identity.Caller) bool { return caller != nil && match(caller) }) {
		one.end(errRevoked)
	}
}

// Shutdown ends all open connections, WebSockets with 1001 and streams with their
// last event, refuses new ones, and waits until they are closed or ctx ends.
func (r *Router) Shutdown(ctx context.Context) error {
	r.clients.mu.Lock()
	r.clients.draining = true
	r.clients.mu.Unlock()
	for _, one := range r.clients.list(func(*identity.Caller) bool { return true }) {
		one.end(nil)
	}
	closed := make(chan struct{})
	go func() {
		r.clients.all.Wait()
		r.feeds.running.Wait()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
