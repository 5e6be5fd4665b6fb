package router

import (
	"context"
	"encoding/json"
	"io"
	"sync"
)

// bearer is the Authorization header of a client, who may replace it on a
// connection that stays open. Remote subgraphs get it and verify it again.
type bearer struct {
	mu      sync.Mutex
	header  string
	changed chan struct{} // closed with the header's next change
}

type bearerKey struct{}

// newBearer returns nil for a client without a token.
func newBearer(header string) *bearer {
	if header == "" {
		return nil
	}
	return &bearer{header: header, changed: make(chan struct{})}
}

// passesTokens is whether clients' tokens may be needed again: in a process that has
// all subgraphs in itself, and gets no others, nobody asks for them.
func (r *Router) passesTokens() bool { return !r.options.Fixed || r.current.Load().hasRemote }

func withBearer(ctx context.Context, b *bearer) context.Context {
	if b == nil {
		return ctx
	}
	return context.WithValue(ctx, bearerKey{}, b)
}

// bearerFrom returns the client's header, nil if it sent none.
func bearerFrom(ctx context.Context) *bearer {
	b, _ := ctx.Value(bearerKey{}).(*bearer)
	return b
}

// token returns the header in force and what is closed when another one is.
func (b *bearer) token() (string, <-chan struct{}) {
	if b == nil {
		return "", nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.header, b.changed
}

func (b *bearer) replace(header string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if header == b.header {
		return
	}
	b.header = header
	close(b.changed)
	b.changed = make(chan struct{})
}

// stream is a body that begins with first and goes on with each new header, a line
// each, until ctx ends.
func (b *bearer) stream(ctx context.Context, first []byte) io.Reader {
	reader, writer := io.Pipe()
	_, changed := b.token()
	go func() {
		_, err := writer.Write(append(first, '\n'))
		for err == nil {
			select {
			case <-ctx.Done():
				err = io.EOF // whoever reads ends too
				continue
			case <-changed:
			}
			var header string
			header, changed = b.token()
			var line []byte
			if line, err = json.Marshal(map[string]string{"authorization": header}); err == nil {
				_, err = writer.Write(append(line, '\n'))
			}
		}
		_ = writer.CloseWithError(err) // never fails
	}()
	context.AfterFunc(ctx, func() { _ = reader.CloseWithError(io.EOF) }) // a writer must not wait for a reader that is gone
	return reader
}
