package router_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/internal/fault"
)

func gzipped(t *testing.T, from io.Reader) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.Copy(w, from); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sendPacked posts a body of gzip through a real client.
func sendPacked(t *testing.T, url string, body io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Content-Encoding", "gzip")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
}

// Compressed requests are read like others, and the limit is one of what they unpack
// to.
func TestPackedRequests(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := newShop(t, func(s *shop) { s.options.Limits.MaxBodyBytes, s.options.Metrics = 2000, registry })
	server := httptest.NewServer(s.router)
	t.Cleanup(server.Close)
	const query = `{"query":"query($x:Boolean!){me{id name @include(if:$x)}}","variables":{"x":false}}`
	body := gzipped(t, strings.NewReader(query))
	want := post(s.router, query).body
	for name, got := range map[string]answer{
		"with a length":  sendPacked(t, server.URL, bytes.NewReader(body)),
		"in chunks":      sendPacked(t, server.URL, io.MultiReader(bytes.NewReader(body))),
		"by an old name": sendPacked(t, server.URL, bytes.NewReader(body), "Content-Encoding", "X-Gzip"),
		"just within":    sendPacked(t, server.URL, bytes.NewReader(gzipped(t, strings.NewReader(query+strings.Repeat(" ", 2000-len(query)))))),
	} {
		if got.status != http.StatusOK || got.body != want || !strings.Contains(want, `"me":{"id"`) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if got := sendPacked(t, server.URL, bytes.NewReader(body), "Accept", "text/event-stream"); got.status != http.StatusOK || !strings.Contains(got.body, "event: next") {
		t.Errorf("a stream: %d %s", got.status, got.body)
	}
	for name, body := range map[string][]byte{
		"one byte too many": gzipped(t, strings.NewReader(query+strings.Repeat(" ", 2001-len(query)))),
		"parts of nothing":  bytes.Repeat(gzipped(t, strings.NewReader("")), 200),
	} {
		got := sendPacked(t, server.URL, bytes.NewReader(body))
		if got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d", name, got.status)
		}
		wantError(t, got, fault.CodeInvalidInput, "larger than 2000 bytes")
	}
	for name, body := range map[string][]byte{"not packed": []byte(query), "broken off": body[:20], "something behind it": append(bytes.Clone(body), '{')} {
		got := sendPacked(t, server.URL, bytes.NewReader(body))
		if got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got.status)
		}
		wantError(t, got, fault.CodeInvalidInput, "Content-Encoding")
	}
	if n := metric(t, registry, "tradesage_router_limited_total", "default body"); n != 2 {
		t.Errorf("%v refusals are counted", n)
	}
}

// A few kilobytes that unpack to a quarter of a gigabyte are refused like any body that
// is too large, and nothing of them shows in what follows.
func TestABombIsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	server := httptest.NewServer(s.router)
	t.Cleanup(server.Close)
	bomb := gzipped(t, io.LimitReader(spaces{}, 1<<28))
	good := gzipped(t, strings.NewReader(`{"query":"{me{id}}"}`))
	for range 20 {
		got := sendPacked(t, server.URL, bytes.NewReader(bomb))
		if got.status != http.StatusRequestEntityTooLarge {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if got = sendPacked(t, server.URL, bytes.NewReader(good)); got.status != http.StatusOK || !strings.Contains(got.body, `"me":{"id"`) {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
