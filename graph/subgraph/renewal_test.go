package subgraph_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/sse"
	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/graph/subgraph/testdata/library"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// tokens are the callers of a test's tokens: two of one session, and others'.
func tokens(t *testing.T) map[string]*identity.Caller {
	t.Helper()
	first, others := newCaller(t), newCaller(t)
	later, login := *first, *first
	login.Session = uuid.New()
	return map[string]*identity.Caller{"first": first, "later": &later, "others": others, "other login": &login}
}

// renewable is a stream whose body the test goes on writing.
type renewable struct {
	body   *io.PipeWriter
	events chan string // the results, then closed
	// over is whether the first token counts no longer; renewed tells each renewal.
	over    atomic.Bool
	renewed chan struct{}
	books   chan *library.Book
}

func openRenewable(t *testing.T, token string) *renewable {
	t.Helper()
	known := tokens(t)
	r := &renewable{events: make(chan string, 16), books: make(chan *library.Book), renewed: make(chan struct{}, 16)}
	config := library.Config{Resolvers: library.Resolvers{Added: func(context.Context) (<-chan *library.Book, error) { return r.books, nil }}}
	config.Directives.Authenticated = subgraph.Authenticated
	s := subgraph.New("library", library.NewExecutableSchema(config), subgraph.Options{
		Logger: quiet(),
		Recheck: func(_ context.Context, caller *identity.Caller) error {
			if r.over.Load() && caller == known["first"] {
				return fault.Unauthenticated("expired")
			}
			return nil
		},
		Authenticate: func(req *http.Request) (*identity.Caller, error) {
			switch name := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "); {
			case name == "":
				return nil, nil //nolint:nilnil // anonymous
			case name == "unknowable":
				return nil, fault.Unavailable("later")
			case known[name] == nil:
				return nil, fault.Unauthenticated("sign in first")
			default:
				if name == "later" {
					defer func() { r.renewed <- struct{}{} }()
				}
				return known[name], nil
			}
		},
	})
	server := httptest.NewUnstartedServer(s)
	server.Config.Protocols = &http.Protocols{}
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		_ = r.body.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
	body, writer := io.Pipe()
	r.body = writer
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", sse.MediaRenewed)
	req.Header.Set("Accept", sse.MediaType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	go r.write(`{"query":"subscription { bookAdded { id } }"}`)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.events)
		defer resp.Body.Close()
		err := sse.Read(resp.Body, 1<<20, func(result []byte) error {
			r.events <- string(result)
			return nil
		})
		if err != nil && ctx.Err() == nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			r.events <- err.Error()
		}
	}()
	return r
}

func (r *renewable) write(line string) { _, _ = io.WriteString(r.body, line+"\n") } // the stream may be over

// next is the next result, or "" at the end.
func (r *renewable) next(t *testing.T) string {
	t.Helper()
	select {
	case event := <-r.events:
		return event
	case <-time.After(patience):
		t.Fatal("nothing came")
		return ""
	}
}

func (r *renewable) add(t *testing.T, id string) {
	t.Helper()
	select {
	case r.books <- &library.Book{ID: id}:
	case <-time.After(patience):
		t.Fatal("nobody takes the book")
	}
}

func TestAStreamOutlivesItsToken(t *testing.T) {
	t.Parallel()
	r := openRenewable(t, "first")
	r.add(t, "b1")
	if got := r.next(t); got != `{"data":{"bookAdded":{"id":"b1"}}}` {
		t.Fatal(got)
	}
	r.write(`{"authorization":"Bearer later"}`)
	<-r.renewed
	r.write(`{"authorization":"Bearer later"}`) // when this one is read, the one before is in force
	<-r.renewed
	r.over.Store(true)
	r.add(t, "b2")
	if got := r.next(t); got != `{"data":{"bookAdded":{"id":"b2"}}}` {
		t.Fatal(got)
	}
	close(r.books)
	if got := r.next(t); got != "" {
		t.Error(got)
	}
}

func TestAStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	r := openRenewable(t, "first")
	r.over.Store(true)
	r.add(t, "b1")
	if got := r.next(t); !strings.Contains(got, "UNAUTHENTICATED") || strings.Contains(got, "b1") {
		t.Error(got)
	}
	if got := r.next(t); got != "" {
		t.Error(got)
	}
}

// Who holds a stream open cannot make it somebody else's.
func TestRenewalsThatEndTheStream(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`{"authorization":"Bearer others"}`:      "FORBIDDEN",
		`{"authorization":"Bearer other login"}`: "FORBIDDEN",
		`{"authorization":"Bearer forged"}`:      "UNAUTHENTICATED",
		`{"authorization":""}`:                   "INVALID_INPUT",
		`{"query":"{ hello }"}`:                  "INVALID_INPUT",
		`nonsense`:                               "INVALID_INPUT",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			r := openRenewable(t, "first")
			r.write(line)
			if got := r.next(t); !strings.Contains(got, want) {
				t.Errorf("%s, want %s", got, want)
			}
			if got := r.next(t); got != "" {
				t.Error(got)
			}
		})
	}
	t.Run("of nobody", func(t *testing.T) {
		t.Parallel()
		r := openRenewable(t, "")
		r.write(`{"authorization":"Bearer later"}`)
		if got := r.next(t); !strings.Contains(got, "FORBIDDEN") {
			t.Error(got)
		}
	})
	t.Run("that cannot be checked now", func(t *testing.T) {
		t.Parallel()
		r := openRenewable(t, "first")
		r.write(`{"authorization":"Bearer unknowable"}`)
		r.add(t, "b1")
		if got := r.next(t); !strings.Contains(got, "b1") {
			t.Error(got)
		}
	})
}
