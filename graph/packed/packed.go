// Package packed reads bodies of requests that clients have compressed, within bounds
// that hold for what they unpack to. It knows nothing of what is in them.
package packed

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Accepted is for the Accept-Encoding of answers that refuse a coding (RFC 9110,
// 12.5.3 and 15.5.16).
const Accepted = "gzip, identity"

// Coding is how a body is packed.
type Coding string

// The codings that are read.
const (
	Identity Coding = ""
	Gzip     Coding = "gzip"
)

var (
	// ErrTooLarge is a body of more bytes than are allowed, packed or not.
	ErrTooLarge = errors.New("the body is too large")
	// ErrMalformed is a body that is not packed as it says.
	ErrMalformed = errors.New("the body is not what its Content-Encoding says")
)

// Of tells how a request's body is packed; false for what is not read, as several
// codings one over the other.
func Of(h http.Header) (Coding, bool) {
	fields := h["Content-Encoding"]
	if len(fields) == 0 {
		return Identity, true
	}
	switch text := strings.ToLower(strings.TrimSpace(fields[0])); {
	case len(fields) > 1:
		return "", false
	case text == "", text == "identity":
		return Identity, true
	case text == "gzip", text == "x-gzip": // RFC 9110, 8.4.1.3
		return Gzip, true
	default:
		return "", false
	}
}

// reader is what unpacking takes, some 40 kB, and is used again.
type reader struct {
	body  io.Reader
	left  int64
	err   error
	ahead *bufio.Reader
	gzip  gzip.Reader
}

var readers = sync.Pool{New: func() any { return &reader{ahead: bufio.NewReader(nil)} }}

// Read implements io.Reader: it hands the body on, notes what goes wrong with it, and
// ends where no more is allowed.
func (r *reader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		r.err = ErrTooLarge
		return 0, r.err
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// Unpack appends what a body of gzip unpacks to. It stops as soon as there is more
// than limit bytes of it, packed or not, with ErrTooLarge; the other errors are
// ErrMalformed and those of reading the body.
func Unpack(into *bytes.Buffer, body io.Reader, limit int64) error {
	r := readers.Get().(*reader)
	r.body, r.left, r.err = body, limit+1, nil
	r.ahead.Reset(r)
	defer func() {
		r.body = nil
		r.ahead.Reset(nil)
		readers.Put(r)
	}()
	before := into.Len()
	err := r.gzip.Reset(r.ahead)
	if err == nil {
		_, err = into.ReadFrom(io.LimitReader(&r.gzip, limit+1))
	}
	switch {
	case int64(into.Len()-before) > limit:
		return ErrTooLarge
	case err == nil:
		return nil
	case r.err != nil:
		return r.err
	default:
		return ErrMalformed
	}
}
