package accept_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/router/internal/accept"
)

func TestOf(t *testing.T) {
	t.Parallel()
	json, response := accept.Answer{Media: accept.JSON}, accept.Answer{Media: accept.Response}
	either := accept.Answer{Media: accept.JSON, Streamable: true}
	stream := accept.Answer{Media: accept.Response, Stream: true, Streamable: true}
	none := accept.Answer{}
	for name, c := range map[string]struct {
		headers []string
		want    accept.Answer
	}{
		"no header":               {nil, json},
		"an empty one":            {[]string{""}, json},
		"anything":                {[]string{"*/*"}, json},
		"anything of application": {[]string{"application/*"}, json},
		"JSON":                    {[]string{"application/json"}, json},
		"the other one":           {[]string{"application/graphql-response+json"}, response},
		"in capitals":             {[]string{"Application/GraphQL-Response+JSON"}, response},
		"both, in their order":    {[]string{"application/graphql-response+json, application/json"}, response},
		"in two headers":          {[]string{"application/graphql-response+json", "application/json"}, response},
		"by weight":               {[]string{"application/json;q=0.1, application/graphql-response+json;q=0.2"}, response},
		"by weight, no order":     {[]string{"application/json;q=0.2, application/graphql-response+json;q=0.3, text/html"}, response},
		"all but JSON":            {[]string{"application/json;q=0, */*"}, response},
		"all but JSON, later":     {[]string{"*/*, application/json;q=0"}, response},
		"rather not JSON":         {[]string{"application/*, application/json;q=0.5"}, response},
		"anything rather":         {[]string{"application/graphql-response+json;q=0.5, */*"}, json},
		"with a charset":          {[]string{"application/json; charset=utf-8"}, json},
		"a broken part":           {[]string{"a/b/c;;, application/json"}, json},
		"a stream":                {[]string{"text/event-stream"}, stream},
		"a stream first":          {[]string{"text/event-stream, multipart/mixed, application/json"}, stream},
		"a stream last":           {[]string{"application/json, text/event-stream"}, either},
		"a stream rather not":     {[]string{"text/event-stream;q=0.1, application/json"}, either},
		"a stream before all":     {[]string{"text/event-stream, */*"}, stream},
		"all before a stream":     {[]string{"*/*, text/event-stream;q=0.5"}, either},
		"no stream":               {[]string{"text/event-stream;q=0, application/json"}, json},
		"any text, any else":      {[]string{"text/*, application/json"}, json},
		"none, a page":            {[]string{"text/html"}, none},
		"none, any text":          {[]string{"text/*"}, none},
		"none, refused":           {[]string{"application/json;q=0"}, none},
		"none, all refused":       {[]string{"*/*;q=0"}, none},
		"none, no stream":         {[]string{"text/event-stream;q=0"}, none},
		"none, not a weight":      {[]string{"application/json;q=much"}, none},
		"none, more than whole":   {[]string{"application/json;q=2"}, none},
		"none, not a number":      {[]string{"application/json;q=NaN"}, none},
	} {
		got, ok := accept.Of(c.headers)
		if ok != (c.want != none) {
			t.Errorf("%s: accepted %v", name, ok)
		}
		if diff := cmp.Diff(c.want, got); ok && diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
