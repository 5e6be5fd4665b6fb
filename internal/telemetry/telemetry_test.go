package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

func TestValidRequestID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"":                       false,
		"a":                      true,
		"A-9_z":                  true,
		strings.Repeat("x", 64):  true,
		strings.Repeat("x", 65):  false,
		"a b":                    false,
		"a\nlevel=ERROR":         false,
		"../etc":                 false,
		"é":                      false,
		telemetry.NewRequestID(): true,
	} {
		if got := telemetry.ValidRequestID(id); got != want {
			t.Errorf("ValidRequestID(%q) = %v, want %v", id, got, want)
		}
	}
}

func TestEnsureRequestID(t *testing.T) {
	t.Parallel()
	ctx, id := telemetry.EnsureRequestID(context.Background())
	if parsed, err := uuid.Parse(id); err != nil || parsed.Version() != 7 {
		t.Errorf("%q is no UUIDv7: %v", id, err)
	}
	if _, again := telemetry.EnsureRequestID(ctx); again != id {
		t.Errorf("a second id %q after %q", again, id)
	}
}

// serve runs one request through the middleware and returns the answer and the
// log's lines.
func serve(t *testing.T, h http.HandlerFunc, id string) (*http.Response, []map[string]any) {
	t.Helper()
	var log bytes.Buffer
	logger := slog.New(telemetry.NewHandler(slog.NewJSONHandler(&log, nil)))
	req := httptest.NewRequest(http.MethodPost, "/graphql?token=hunter2", strings.NewReader("{}"))
	if id != "" {
		req.Header.Set(telemetry.HeaderRequestID, id)
	}
	rec := httptest.NewRecorder()
	telemetry.Middleware(logger, h).ServeHTTP(rec, req)
	if strings.Contains(log.String(), "hunter2") {
		t.Error("the query string is in the log")
	}
	var lines []map[string]any
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fields)
	}
	return rec.Result(), lines
}

func TestMiddlewareKeepsAWellFormedID(t *testing.T) {
	t.Parallel()
	res, lines := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, telemetry.RequestID(r.Context()))
	}, "client-1")
	body, _ := io.ReadAll(res.Body)
	if string(body) != "client-1" || res.Header.Get(telemetry.HeaderRequestID) != "client-1" {
		t.Errorf("id %q, header %q", body, res.Header.Get(telemetry.HeaderRequestID))
	}
	last := lines[len(lines)-1]
	if last["request_id"] != "client-1" || last["status"] != float64(http.StatusTeapot) ||
		last["bytes"] != float64(8) || last["path"] != "/graphql" {
		t.Errorf("access line %v", last)
	}
}

// Behind a proxy that is believed the line tells whom the request is from.
func TestTheLineNamesTheClient(t *testing.T) {
	t.Parallel()
	proxies, err := identity.ParseProxies([]string{"192.0.2.0/24"}) // where httptest's requests are from
	if err != nil {
		t.Fatal(err)
	}
	for forwarded, want := range map[string]string{"": "192.0.2.1", "203.0.113.7": "203.0.113.7", "a\"b": "192.0.2.1"} {
		var log bytes.Buffer
		req := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		if forwarded != "" {
			req.Header.Set("X-Forwarded-For", forwarded)
		}
		served := telemetry.Middleware(slog.New(slog.NewJSONHandler(&log, nil)), http.NotFoundHandler())
		served.ServeHTTP(httptest.NewRecorder(), proxies.WithClient(req))
		var line map[string]any
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line["client"] != want || line["remote"] != "192.0.2.1:1234" {
			t.Errorf("forwarded %q: %v", forwarded, line)
		}
	}
}

func TestMiddlewareReplacesAMalformedID(t *testing.T) {
	t.Parallel()
	res, _ := serve(t, func(http.ResponseWriter, *http.Request) {}, "a b")
	if id := res.Header.Get(telemetry.HeaderRequestID); uuid.Validate(id) != nil {
		t.Errorf("id %q", id)
	}
}

func TestMiddlewareRecovers(t *testing.T) {
	t.Parallel()
	res, lines := serve(t, func(http.ResponseWriter, *http.Request) { panic("a bug") }, "r1")
	if res.StatusCode != http.StatusInternalServerError {
		t.Errorf("status %d", res.StatusCode)
	}
	if len(lines) != 2 || lines[0]["panic"] != "a bug" || lines[0]["request_id"] != "r1" || lines[1]["status"] != float64(500) {
		t.Errorf("log %v", lines)
	}
}

func TestMiddlewareLetsAbortedConnectionsGo(t *testing.T) {
	t.Parallel()
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Error("net/http must see its own panic")
		}
	}()
	serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "")
}

func TestMiddlewareKeepsFlushing(t *testing.T) {
	t.Parallel()
	serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	}, "")
}
