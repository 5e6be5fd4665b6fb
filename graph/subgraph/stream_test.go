package subgraph_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/sse"
	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/graph/subgraph/testdata/library"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// patience bounds every wait for what must happen; machines are busy.
const patience = 30 * time.Second

// additions is a domain's subscription, fed by a test.
type additions struct {
	next   chan any // a *library.Book, an error or what to panic with
	closed chan struct{}
}

func newAdditions() *additions {
	return &additions{next: make(chan any), closed: make(chan struct{})}
}

func (a *additions) Next(ctx context.Context) (*library.Book, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case v := <-a.next:
		switch v := v.(type) {
		case *library.Book:
			return v, nil
		case error:
			return nil, v
		}
		panic("a bug")
	}
}

func (a *additions) Close() { close(a.closed) }

// ended waits until the subscription has been closed.
func (a *additions) ended(t *testing.T) {
	t.Helper()
	select {
	case <-a.closed:
	case <-time.After(patience):
		t.Fatal("the stream is not closed")
	}
}

// liveLibrary serves bookAdded from a, signed in only.
func liveLibrary(a subgraph.Stream[library.Book], options subgraph.Options) *subgraph.Server {
	return liveLibraryOf(func() subgraph.Stream[library.Book] { return a }, options)
}

func liveLibraryOf(stream func() subgraph.Stream[library.Book], options subgraph.Options) *subgraph.Server {
	options.Logger = quiet()
	config := library.Config{Resolvers: library.Resolvers{Added: func(ctx context.Context) (<-chan *library.Book, error) {
		if _, err := identity.FromContext(ctx); err != nil {
			return nil, err
		}
		return subgraph.Channel(ctx, stream(), nil)
	}}}
	config.Directives.Authenticated = subgraph.Authenticated
	return subgraph.New("library", library.NewExecutableSchema(config), options)
}

const bookAdded = `subscription { bookAdded { id title } }`

var volume = &library.Book{ID: "b1", Title: "Volume 1", Author: &library.Author{Name: "Ada"}}

func newCaller(t *testing.T) *identity.Caller {
	t.Helper()
	return &identity.Caller{Subject: uuid.New(), Session: uuid.New(), Tenant: dbtest.New(t).Tenant(t), Expires: time.Now().Add(time.Hour)}
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	caller := newCaller(t)
	const shown = `{"data":{"bookAdded":{"id":"b1","title":"Volume 1"}}}`
	for name, c := range map[string]struct {
		anonymous        bool
		query, variables string
		happens          []any
		want             []string
	}{
		"events, then a fault": {
			happens: []any{volume, volume, fault.Unavailable("the feed is lost")},
			want:    []string{shown, shown, `{"errors":[{"message":"the feed is lost","extensions":{"code":"UNAVAILABLE"}}],"data":null}`},
		},
		"another error": {
			happens: []any{errors.New("password=hunter2")},
			want:    []string{`{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL"}}],"data":null}`},
		},
		"a panic": {
			happens: []any{volume, "panic"},
			want:    []string{shown, `{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL"}}],"data":null}`},
		},
		"nobody signed in": {
			anonymous: true,
			want:      []string{`{"errors":[{"message":"sign in first","path":["bookAdded"],"extensions":{"code":"UNAUTHENTICATED"}}],"data":null}`},
		},
		"an unknown field": {query: `subscription { helo }`, want: []string{`{"errors":[{"message":"Cannot query field \"helo\" on type \"Subscription\".","locations":[{"line":1,"column":16}],"extensions":{"code":"INVALID_INPUT"}}],"data":null}`}},
		"bad variables":    {variables: `[1]`, want: []string{`{"errors":[{"message":"variables are not a JSON object","extensions":{"code":"INVALID_INPUT","field":"variables"}}],"data":null}`}},
		"a query":          {query: `{ hello }`, want: []string{`{"data":{"hello":"hello, world"}}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.query == "" {
				c.query = bookAdded
			}
			for way, run := range ways {
				a := newAdditions()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if !c.anonymous {
					ctx = identity.NewContext(ctx, caller)
				}
				go func() {
					for _, h := range c.happens {
						a.next <- h
					}
				}()
				var got [][]byte
				if err := run(ctx, a, c.query, []byte(c.variables), func(response []byte) error {
					got = append(got, bytes.Clone(response))
					return nil
				}); err != nil {
					t.Fatalf("%s: %v", way, err)
				}
				if len(got) != len(c.want) {
					t.Fatalf("%s: %d responses: %s", way, len(got), got)
				}
				for i, want := range c.want {
					text := got[i]
					if strings.Contains(string(text), "requestId") {
						t.Errorf("a request id from nowhere: %s", text)
					}
					equalJSON(t, withoutLocations(text), want)
				}
				if len(c.happens) > 0 {
					a.ended(t)
				}
			}
		})
	}
}

// withoutLocations drops where in its one line a document's only field stands.
func withoutLocations(text []byte) []byte {
	return bytes.ReplaceAll(text, []byte(`"locations":[{"line":1,"column":16}],"extensions":{"code":"UNAUTH`), []byte(`"extensions":{"code":"UNAUTH`))
}

// Whoever ends a subscription, what it started ends with it.
func TestSubscriptionsEnd(t *testing.T) {
	t.Parallel()
	caller := newCaller(t)
	enough := errors.New("enough")
	for name, c := range map[string]struct {
		happens any
		want    error
	}{
		"by deliver": {volume, enough}, "by its context": {nil, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for way, run := range ways {
				a := newAdditions()
				ctx, cancel := context.WithCancel(identity.NewContext(t.Context(), caller))
				defer cancel()
				go func() {
					if c.happens == nil {
						cancel()
						return
					}
					a.next <- c.happens
				}()
				if err := run(ctx, a, bookAdded, nil, func([]byte) error { return enough }); !errors.Is(err, c.want) {
					t.Errorf("%s: ended with %v", way, err)
				}
				a.ended(t)
			}
		})
	}
}

// follow opens a stream on the subgraph's own port.
func follow(t *testing.T, s http.Handler, token, query string) *http.Response {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(`{"query":"`+query+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", sse.MediaType)
	req.Header.Set("Authorization", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// A subgraph that is reachable by itself asks who is there at the beginning and
// at each event.
func TestStreamsOnTheOwnPort(t *testing.T) {
	t.Parallel()
	caller, expired := newCaller(t), newCaller(t)
	expired.Expires = time.Now().Add(-time.Hour) // passed Authenticate long ago
	var ended atomic.Bool
	options := subgraph.Options{
		Authenticate: func(r *http.Request) (*identity.Caller, error) {
			switch r.Header.Get("Authorization") {
			case "Bearer good":
				return caller, nil
			case "Bearer old":
				return expired, nil
			case "":
				return nil, nil
			}
			return nil, errors.New("signature is invalid")
		},
		Recheck: func(_ context.Context, c *identity.Caller) error {
			if c == caller && ended.Load() {
				return fault.Unauthenticated("this sign-in has ended")
			}
			return nil
		},
	}
	a := newAdditions()
	resp := follow(t, liveLibrary(a, options), "Bearer good", bookAdded)
	go func() { a.next <- volume }()
	var got []string
	err := sse.Read(resp.Body, 1<<20, func(event []byte) error {
		got = append(got, string(event))
		if len(got) == 1 {
			ended.Store(true)
			go func() { a.next <- &library.Book{ID: "secret"} }()
		}
		return nil
	})
	if err != nil || len(got) != 2 {
		t.Fatalf("%q, %v", got, err)
	}
	equalJSON(t, []byte(got[0]), `{"data":{"bookAdded":{"id":"b1","title":"Volume 1"}}}`)
	equalJSON(t, []byte(got[1]), `{"errors":[{"message":"this sign-in has ended","extensions":{"code":"UNAUTHENTICATED"}}],"data":null}`)
	a.ended(t)
	ended.Store(false)

	t.Run("an expired token", func(t *testing.T) {
		a := newAdditions()
		resp := follow(t, liveLibrary(a, options), "Bearer old", bookAdded)
		go func() { a.next <- volume }()
		text, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(text), "UNAUTHENTICATED") || strings.Contains(string(text), "Volume") {
			t.Errorf("%s, %v", text, err)
		}
		a.ended(t)
	})
	t.Run("a client that leaves", func(t *testing.T) {
		a := newAdditions()
		resp := follow(t, liveLibrary(a, options), "Bearer good", bookAdded)
		_ = resp.Body.Close()
		a.ended(t)
	})
	for name, c := range map[string]struct {
		token, query string
		status       int
		want         string
	}{
		"a bad token":     {"Bearer x", bookAdded, 401, "UNAUTHENTICATED"},
		"nobody":          {"", bookAdded, 200, "UNAUTHENTICATED"},
		"nobody's secret": {"", "{ secret }", 200, "UNAUTHENTICATED"},
		"a caller's":      {"Bearer good", "{ secret }", 200, `"42"`},
		"an entity":       {"Bearer good", `query { _entities(representations: [{__typename: \"Book\", id: \"b2\"}]) { ... on Book { title } } }`, 200, "Volume 2"},
		"no such field":   {"Bearer good", "subscription { helo }", 200, "INVALID_INPUT"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := follow(t, liveLibrary(newAdditions(), options), c.token, c.query)
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.status || !strings.Contains(string(text), c.want) {
				t.Errorf("%d %.300s, %v; want %d with %s", resp.StatusCode, text, err, c.status, c.want)
			}
			if c.status == 200 && !strings.HasSuffix(string(text), "event: complete\ndata:\n\n") {
				t.Errorf("not complete: %.300s", text)
			}
		})
	}
	// Nothing of all that runs any more.
	deadline, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !bytes.Contains(stacks, []byte("subgraph.(*Server).serveStream")) && !bytes.Contains(stacks, []byte("subgraph.(*Server).keepAlive")) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("goroutines are left:\n%s", stacks)
		case <-tick.C:
		}
	}
}
