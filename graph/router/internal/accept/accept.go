// Package accept reads from Accept headers in which of the media types of GraphQL over
// HTTP a client wants its answer. It knows nothing of what is answered.
package accept

import (
	"mime"
	"strconv"
	"strings"
)

// The media types of a response (GraphQL over HTTP, "Media Types"), and that of a
// stream of them.
const (
	JSON     = "application/json"
	Response = "application/graphql-response+json"
	Events   = "text/event-stream"
)

// Answer is what a client wants.
type Answer struct {
	// Media is the type of a response: JSON or Response.
	Media string
	// Stream is whether a stream is preferred to one response, Streamable whether
	// the client takes one at all. It has to be named for that: who takes anything
	// need not understand a stream.
	Stream, Streamable bool
}

// Of picks what of the offered types has the highest quality, by the most specific
// range that the headers name for each (RFC 9110, section 12.5.1); of equals the one
// that is named first, and JSON where all are named together. It is false for a client
// that takes none of them.
func Of(headers []string) (Answer, bool) {
	header := ""
	switch len(headers) {
	case 0:
	case 1:
		header = headers[0]
	default:
		header = strings.Join(headers, ",")
	}
	switch header {
	case "", "*/*", JSON:
		return Answer{Media: JSON}, true
	case Response:
		return Answer{Media: Response}, true
	case Events:
		return Answer{Media: Response, Stream: true, Streamable: true}, true
	}
	return read(header)
}

// offer is a type that the server has, and what the client says of it.
type offer struct {
	media string
	// specific is how closely the range that counts names the type: 3 by itself, 2 by
	// its main type, 1 by all types, 0 for not at all.
	specific int
	quality  float64
	position int // of that range
}

// better is whether o comes before another one.
func (o offer) better(than offer) bool {
	return o.quality > than.quality || o.quality == than.quality && o.quality > 0 && o.position < than.position
}

func read(header string) (Answer, bool) {
	offers := [...]offer{{media: JSON}, {media: Response}, {media: Events}}
	position := 0
	for part := range strings.SplitSeq(header, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		quality := 1.0
		if q, ok := params["q"]; ok {
			if quality, err = strconv.ParseFloat(q, 64); err != nil || quality < 0 || quality > 1 {
				continue
			}
		}
		position++
		for i := range offers {
			if how := specific(media, offers[i].media); how > offers[i].specific {
				offers[i].specific, offers[i].quality, offers[i].position = how, quality, position
			}
		}
	}
	single, stream := offers[0], offers[2]
	if offers[1].better(single) {
		single = offers[1]
	}
	if stream.specific < 3 {
		stream.quality = 0
	}
	answer := Answer{Media: single.media, Stream: stream.better(single), Streamable: stream.quality > 0}
	if answer.Stream {
		answer.Media = Response // what is refused before the stream begins tells so by its status
	}
	return answer, single.quality > 0 || stream.quality > 0
}

// specific is how closely a range names a type, 0 where it does not.
func specific(media, offered string) int {
	main, _, _ := strings.Cut(offered, "/")
	switch media {
	case offered:
		return 3
	case main + "/*":
		return 2
	case "*/*":
		return 1
	}
	return 0
}
