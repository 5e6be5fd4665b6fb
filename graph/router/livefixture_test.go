package router_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// patience bounds every wait for what must happen; machines are busy.
const patience = 30 * time.Second

// feed brings what a test lets happen to the subscriptions of a subgraph.
type feed struct {
	mu   sync.Mutex
	open map[*following]struct{}
	// begins is whether each subscription says first that it has begun.
	begins bool
}

type following struct {
	happenings chan happening
	ended      chan struct{}
	query      string
}

// happening is an event's value, a whole response, or how the subscription ends.
type happening struct {
	value any
	raw   []byte
	err   error
	end   bool
}

type eventKey struct{}

// Subscribe makes the test's subgraph a source of events.
func (s *subgraph) Subscribe(ctx context.Context, query, _ string, variables []byte, deliver func([]byte) error) error {
	f := &following{happenings: make(chan happening), ended: make(chan struct{}), query: query}
	s.feed.mu.Lock()
	if s.feed.open == nil {
		s.feed.open = map[*following]struct{}{}
	}
	s.feed.open[f] = struct{}{}
	s.feed.mu.Unlock()
	defer func() {
		s.feed.mu.Lock()
		defer s.feed.mu.Unlock()
		delete(s.feed.open, f)
		close(f.ended)
	}()
	if s.feed.begins {
		if err := deliver(s.Execute(context.WithValue(ctx, eventKey{}, ada("begun")), query, "", variables)); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case h := <-f.happenings:
			if h.end {
				return h.err
			}
			response := h.raw
			if response == nil {
				response = s.Execute(context.WithValue(ctx, eventKey{}, h.value), query, "", variables)
			}
			if err := deliver(response); err != nil {
				return err
			}
		}
	}
}

// Follow implements router.LocalFeeds.
func (s *subgraph) Follow(
	ctx context.Context, query, name string, variables []byte, deliver func(context.Context, []byte) error, over func(error),
) {
	go func() {
		over(s.Subscribe(ctx, query, name, variables, func(response []byte) error { return deliver(ctx, response) }))
	}()
}

func (f *feed) list() []*following {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*following
	for one := range f.open {
		out = append(out, one)
	}
	return out
}

// liveShop is a shop behind a real listener, with callers that come and go.
type liveShop struct {
	*shop
	url string

	mu      sync.Mutex
	callers map[string]*identity.Caller // by token
	refused map[uuid.UUID]error         // what Recheck says, by session
}

// newLiveShop starts a server; change may adapt the router's options. At the
// end of the test no goroutine of the router may be left.
func newLiveShop(t *testing.T, change func(*shop)) *liveShop {
	t.Helper()
	noGoroutineIsLeft(t)
	l := &liveShop{callers: map[string]*identity.Caller{}, refused: map[uuid.UUID]error{}}
	l.shop = newShop(t, func(s *shop) {
		s.users.fields["Subscription.userRenamed"] = func(ctx context.Context, _, _ object) (any, error) {
			if err, ok := ctx.Value(eventKey{}).(error); ok {
				return nil, err
			}
			return ctx.Value(eventKey{}), nil
		}
		s.options.Authenticate = l.authenticate
		s.options.Recheck = l.recheck
		if change != nil {
			change(s)
		}
	})
	server := httptest.NewServer(l.router)
	l.url = server.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := l.router.Shutdown(ctx); err != nil {
			t.Errorf("connections are left at the end: %v", err)
		}
		server.Close()
		if left := l.users.feed.list(); len(left) > 0 {
			t.Errorf("%d subscriptions are left at the end", len(left))
		}
	})
	return l
}

func (l *liveShop) authenticate(r *http.Request) (*identity.Caller, error) {
	header := r.Header.Get("Authorization")
	l.mu.Lock()
	defer l.mu.Unlock()
	switch caller, ok := l.callers[header]; {
	case ok:
		return caller, nil
	case header == "Bearer unknown":
		return nil, fault.Unavailable("tokens cannot be checked")
	case header == "Bearer suspended":
		return nil, fault.New(fault.CodeTenantSuspended, "this tenant is suspended"+strings.Repeat("!", 200))
	case header != "":
		return nil, errors.New("the signature is wrong")
	}
	return nil, nil
}

func (l *liveShop) recheck(_ context.Context, caller *identity.Caller) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused[caller.Session]
}

func (l *liveShop) refuse(caller *identity.Caller, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[caller.Session] = err
}

// token makes a caller known whose token is good for a while; of the session of
// an earlier one, unless that is nil.
func (l *liveShop) token(t *testing.T, of *identity.Caller, lives time.Duration) (string, *identity.Caller) {
	t.Helper()
	caller := &identity.Caller{Subject: uuid.New(), Session: uuid.New(), Expires: time.Now().Add(lives)}
	if of != nil {
		caller.Subject, caller.Session, caller.Tenant = of.Subject, of.Session, of.Tenant
	} else {
		caller.Tenant = dbtest.New(t).Tenant(t)
	}
	token := "Bearer " + uuid.NewString()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.callers[token] = caller
	return token, caller
}

// publish lets something happen and returns when every subscription has taken it
// or has ended.
func (l *liveShop) publish(h happening) {
	for _, f := range l.users.feed.list() {
		select {
		case f.happenings <- h:
		case <-f.ended:
		}
	}
}

func (l *liveShop) rename(name string) {
	l.publish(happening{value: ada(name)})
}

func ada(name string) object {
	return object{"id": "u1", "name": name, "email": "ada@shop.test", "role": "ADMIN"}
}

// await waits until so many subscriptions have reached the subgraph.
func (l *liveShop) await(t *testing.T, n int) {
	t.Helper()
	eventually(t, "subscriptions", func() bool { return len(l.users.feed.list()) == n })
}

const (
	renamed     = `subscription { userRenamed { id name } }`
	renamedWide = `subscription { userRenamed { called: name orders(first: 1) { id total } reviewCount greeting(prefix: "hi") } }`
)

// noGoroutineIsLeft fails the test if any goroutine that it caused is in the
// router when everything else has been cleaned up.
func noGoroutineIsLeft(t *testing.T) {
	t.Helper()
	mark := uuid.NewString()
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("test", mark)))
	t.Cleanup(func() {
		var left []string
		eventually(t, "all goroutines end", func() bool {
			var all bytes.Buffer
			if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
				t.Fatal(err)
			}
			left = nil
			for stack := range strings.SplitSeq(all.String(), "\n\n") {
				if strings.Contains(stack, mark) && strings.Contains(stack, "graph/router.(") {
					left = append(left, stack)
				}
			}
			return len(left) == 0
		})
	})
}

// eventually waits for what nothing announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

// quick are limits that tests need not wait long for.
func quick(change func(*router.Streams)) func(*shop) {
	return func(s *shop) {
		change(&s.options.Streams)
	}
}
