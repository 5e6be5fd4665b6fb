package web

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// mediaTypes are those of the files that a build makes. The system's own table
// is not asked: it differs from machine to machine.
var mediaTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".json": "application/json", ".png": "image/png", ".svg": "image/svg+xml", ".ttf": "font/ttf", ".woff2": "font/woff2",
}

// assets serves the hashed files of a build. A build keeps what compresses well
// as name.gz only; clients that do not take gzip get it unpacked.
type assets struct {
	files fs.FS
	// policy is the Content-Security-Policy: a worker is bound by the one that its
	// own script brings.
	policy string
}

// ServeHTTP answers the file that the path names, or 404.
func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mediaType, known := mediaTypes[path.Ext(r.URL.Path)]
	if !known {
		notFound(w)
		return
	}
	content, err := fs.ReadFile(a.files, r.URL.Path)
	packed := errors.Is(err, fs.ErrNotExist)
	if packed {
		content, err = fs.ReadFile(a.files, r.URL.Path+".gz")
	}
	if err != nil {
		notFound(w)
		return
	}
	h := w.Header()
	if packed {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Values("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
		} else if content, err = unpack(content); err != nil {
			http.Error(w, "damaged asset", http.StatusInternalServerError)
			return
		}
	}
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Security-Policy", a.policy)
	_, _ = w.Write(content) // the client may be gone
}

func notFound(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "no such asset", http.StatusNotFound)
}

// acceptsGzip tells whether a client takes gzip (RFC 9110, 12.5.3).
func acceptsGzip(accept []string) bool {
	for _, coding := range strings.Split(strings.Join(accept, ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			_, q, _ := strings.Cut(weight, "=")
			zero, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			return err != nil || zero > 0
		}
	}
	return false
}

func unpack(packed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}
