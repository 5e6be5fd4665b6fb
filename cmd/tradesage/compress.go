package main

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"

	"github.com/tradesage/tradesage/graph/sse"
)

const (
	// leastCompressed is the size in bytes from which an answer is compressed: below
	// it a packet is not saved.
	leastCompressed = 1400
	// padding, in bytes, varies a compressed answer's length, so that its length does
	// not tell whether something that was sent is in it too (BREACH).
	padding = 64
	// fastest is gzip's level for answers that are made for one client.
	fastest = 1
)

// compressed compresses answers of text for clients that take it. Streams of
// events are not touched: each event must leave at once.
func compressed(next http.Handler) http.Handler {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(leastCompressed), gzhttp.CompressionLevel(fastest), gzhttp.RandomJitter(padding, 0, false),
		gzhttp.EnableZstd(false), // an encoder holds megabytes
		gzhttp.ContentTypes([]string{
			"application/json", "application/graphql-response+json", "text/html", "text/plain", "text/css", "text/javascript", "image/svg+xml",
		}),
	)
	if err != nil { // the options above are constants
		panic(err)
	}
	packing := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" || sse.Accepted(r) { // what keeps no buffer for packing
			next.ServeHTTP(w, r)
			return
		}
		packing.ServeHTTP(w, r)
	})
}
