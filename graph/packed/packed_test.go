package packed_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/packed"
)

func pack(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fields []string
		coding packed.Coding
		ok     bool
	}{
		{nil, packed.Identity, true},
		{[]string{""}, packed.Identity, true},
		{[]string{"Identity"}, packed.Identity, true},
		{[]string{"gzip"}, packed.Gzip, true},
		{[]string{" X-GZIP "}, packed.Gzip, true},
		{[]string{"gzip, gzip"}, "", false},
		{[]string{"gzip", "gzip"}, "", false},
		{[]string{"identity", "gzip"}, "", false},
		{[]string{"br"}, "", false},
		{[]string{"deflate"}, "", false},
	} {
		coding, ok := packed.Of(http.Header{"Content-Encoding": c.fields})
		if coding != c.coding || ok != c.ok {
			t.Errorf("%q: %q %v", c.fields, coding, ok)
		}
	}
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	whole := pack(t, "hello")
	spoilt := bytes.Clone(whole)
	spoilt[len(spoilt)-5] ^= 1 // of the checksum
	for name, c := range map[string]struct {
		body io.Reader
		want string
		err  error
	}{
		"as it should be":        {bytes.NewReader(whole), "hello", nil},
		"byte by byte":           {iotest.OneByteReader(bytes.NewReader(whole)), "hello", nil},
		"as many as are allowed": {bytes.NewReader(pack(t, strings.Repeat("x", 100))), strings.Repeat("x", 100), nil},
		"in parts":               {bytes.NewReader(append(pack(t, "hel"), pack(t, "lo")...)), "hello", nil},
		"one too many":           {bytes.NewReader(pack(t, strings.Repeat("x", 101))), "", packed.ErrTooLarge},
		"a bomb":                 {bytes.NewReader(pack(t, strings.Repeat("x", 1<<20))), "", packed.ErrTooLarge},
		"parts of nothing":       {bytes.NewReader(bytes.Repeat(pack(t, ""), 1000)), "", packed.ErrTooLarge},
		"not packed":             {strings.NewReader("{}"), "", packed.ErrMalformed},
		"nothing":                {strings.NewReader(""), "", packed.ErrMalformed},
		"broken off":             {bytes.NewReader(whole[:len(whole)-9]), "", packed.ErrMalformed},
		"spoilt":                 {bytes.NewReader(spoilt), "", packed.ErrMalformed},
		"something behind it":    {bytes.NewReader(append(bytes.Clone(whole), "more"...)), "", packed.ErrMalformed},
		"an error":               {io.MultiReader(bytes.NewReader(whole[:12]), iotest.ErrReader(broken)), "", broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := packed.Unpack(&out, c.body, 100)
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if err == nil {
				if diff := cmp.Diff(c.want, out.String()); diff != "" {
					t.Error(diff)
				}
			}
			if out.Len() > 101 || out.Cap() > 2000 {
				t.Errorf("%d bytes were unpacked, into %d", out.Len(), out.Cap())
			}
		})
	}
}

// One body never shows in another, whatever became of the first.
func TestUnpackAtOnce(t *testing.T) {
	t.Parallel()
	bomb := pack(t, strings.Repeat("x", 1<<20))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			var out bytes.Buffer
			if i%2 == 0 {
				if err := packed.Unpack(&out, bytes.NewReader(bomb), 1000); !errors.Is(err, packed.ErrTooLarge) {
					t.Errorf("a bomb: %v", err)
				}
				return
			}
			text := strings.Repeat(string(rune('a'+i%26)), i)
			if err := packed.Unpack(&out, bytes.NewReader(pack(t, text)), 1000); err != nil || out.String() != text {
				t.Errorf("%v %q", err, out.String())
			}
		})
	}
	all.Wait()
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("\x1f\x8b"))
	f.Add(pack(f, `{"query":"{ me { id } }"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var out bytes.Buffer
		err := packed.Unpack(&out, bytes.NewReader(body), 1000)
		if out.Len() > 1001 {
			t.Errorf("%d bytes", out.Len())
		}
		r, stdErr := gzip.NewReader(bytes.NewReader(body))
		if stdErr == nil && err == nil {
			want, readErr := io.ReadAll(io.LimitReader(r, 1001))
			if readErr != nil || !bytes.Equal(want, out.Bytes()) {
				t.Errorf("%q, %v: %q", want, readErr, out.Bytes())
			}
		} else if stdErr != nil && err == nil {
			t.Errorf("taken: %q", body)
		}
	})
}

func BenchmarkUnpack(b *testing.B) {
	body := pack(b, `{"query":"{ me { id email tenant { id name } } }","variables":{"a":`+strings.Repeat("1", 2000)+`}}`)
	var out bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := packed.Unpack(&out, bytes.NewReader(body), 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
