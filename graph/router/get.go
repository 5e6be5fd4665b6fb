package router

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
)

// The parameters of a GET (GraphQL over HTTP, "GET"), in the order in which they
// are read. Others are ignored.
var (
	textParameters = []string{"query", "operationName", "documentId"}
	jsonParameters = []string{"variables", "extensions"}
)

// readURL writes the request of a GET's parameters as the body of a POST would
// say it, so that there is one reading of requests.
func readURL(rawQuery string) ([]byte, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, fault.InvalidInput("", "the URL's query cannot be read: its values must be percent-encoded")
	}
	body := []byte{'{'}
	add := func(name string, write func(value string) error) error {
		given := values[name]
		switch {
		case len(given) > 1:
			return fault.InvalidInput(name, name+" occurs twice in the URL")
		case len(given) == 0 || given[0] == "":
			return nil
		case !utf8.ValidString(given[0]):
			return fault.InvalidInput(name, name+" is not valid UTF-8")
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(rawjson.AppendString(body, name), ':')
		return write(given[0])
	}
	for _, name := range textParameters {
		if err := add(name, func(value string) error {
			body = rawjson.AppendString(body, value)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	for _, name := range jsonParameters {
		if err := add(name, func(value string) error {
			// By itself, or it could close the object and begin another key.
			if !json.Valid([]byte(value)) {
				return fault.InvalidInput(name, name+" is not valid JSON")
			}
			body = append(body, value...)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return append(body, '}'), nil
}

// preflightHeaders are headers that a page of another origin cannot send without
// asking first (Fetch, "CORS-safelisted request-header"), as clients send them.
var preflightHeaders = []string{
	"Authorization", "Graphql-Require-Preflight", "Apollo-Require-Preflight", "X-Apollo-Operation-Name", "X-Requested-With",
}

// preflighted reports whether a GET cannot have been made by a page of another
// origin that did not ask first: a link, an image or a form could else have
// somebody's browser send it.
func preflighted(h http.Header) bool {
	switch h.Get("Sec-Fetch-Site") {
	case "same-origin", "none": // the browser says so: our own page, or nobody's
		return true
	}
	if slices.ContainsFunc(preflightHeaders, func(name string) bool { return h.Get(name) != "" }) {
		return true
	}
	sent := h.Get("Content-Type")
	if sent == "" {
		return false
	}
	media, _, err := mime.ParseMediaType(sent)
	return err == nil && media != "text/plain" && media != "multipart/form-data" && media != "application/x-www-form-urlencoded"
}

var errSimpleRequest = fault.Forbidden(fmt.Sprintf(
	"a GET that any page could send is refused: send one of the headers %s, or Content-Type: application/json",
	strings.Join(preflightHeaders, ", ")))
