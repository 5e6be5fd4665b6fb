package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tradesage/tradesage/internal/identity"
)

// probes are asked every few seconds, by machines: only their failures matter.
var probes = map[string]bool{"/healthz": true, "/health": true, "/readyz": true}

// Middleware gives each request an id (a well-formed inbound X-Request-Id is
// kept), answers it in the same header, turns a panic into a logged 500 and
// writes one access line at the end: remote is the connection's other end, client whom
// the request is from where that is known. Bodies, query strings and headers are never
// logged: they hold passwords and tokens.
func Middleware(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := r.Header.Get(HeaderRequestID)
		if !ValidRequestID(id) {
			id = NewRequestID()
		}
		ctx := WithRequestID(r.Context(), id)
		w.Header().Set(HeaderRequestID, id)
		rec := &recorder{ResponseWriter: w}

		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p) // net/http's own way to drop a connection
				}
				logger.ErrorContext(ctx, "panic in handler",
					"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if rec.status == 0 {
					http.Error(rec, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
				}
			}
			level := slog.LevelInfo
			if probes[r.URL.Path] && rec.statusOrOK() == http.StatusOK {
				level = slog.LevelDebug
			}
			if !logger.Enabled(ctx, level) {
				return
			}
			var room [13]slog.Attr
			attributes := append(room[:0],
				slog.String("method", clip(r.Method, maxMethod)),
				slog.String("path", clip(r.URL.Path, maxPath)),
				slog.Int("status", rec.statusOrOK()),
				slog.Int64("bytes", rec.bytes),
				slog.Duration("duration", time.Since(start)),
				slog.String("remote", r.RemoteAddr),
			)
			if ip := identity.ClientFrom(ctx).IP; ip != "" {
				attributes = append(attributes, slog.String("client", ip))
			}
			logger.LogAttrs(ctx, level, "request", RequestFrom(ctx).attributes(attributes)...)
		}()
		next.ServeHTTP(rec, r.WithContext(ctx))
	})
}

// What a line of log repeats of a request, in bytes: both may be as long as all headers.
const (
	maxMethod = 16
	maxPath   = 256
)

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// recorder remembers the status and the size of a response.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// FlushError sends what was written so far.
func (r *recorder) FlushError() error { return http.NewResponseController(r.ResponseWriter).Flush() }

// Flush implements http.Flusher, for writers around this one that know no other way.
func (r *recorder) Flush() { _ = r.FlushError() } // the next write fails as well

// Unwrap lets http.ResponseController reach Hijack and the deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) statusOrOK() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}
