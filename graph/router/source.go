package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/datasource/httpclient"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/conform"
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/graph/router/internal/entities"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// fetcher sends one GraphQL request to one subgraph. It reports failures as
// GraphQL errors in the response; a nil response is a subgraph that gave none.
type fetcher interface {
	fetch(ctx context.Context, query string, variables []byte) []byte
	follower
}

// source is the data source of one fetch of one plan. It stands where the planner
// put the engine's HTTP source and never fails or panics: what goes wrong becomes
// a GraphQL error with a code and a path, so that it reaches the client typed.
type source struct {
	subgraph string
	fetcher  fetcher
	log      *slog.Logger
	boxes    bool // lists within lists are boxed
	// number is the fetch's in the plan, -1 where answers need not be kept.
	number int
	// path is where the fetch's data goes in the response, up to the first list.
	path []string
	// span is the name of a fetch in a trace, took how long fetches take.
	span string
	took prometheus.Observer
	// schema is what the answers of a subgraph that is not ours are held against; nil
	// for those that keep to theirs by construction.
	schema *ast.Document
	// query remembers the decoded query text: it is the same in each input.
	query atomic.Pointer[decodedQuery]
}

type decodedQuery struct {
	raw  []byte
	text string
	// shape is nil where answers are not looked at.
	shape *conform.Shape
	// fields are the names of its root fields in the response, for when they fail.
	fields func() []string
}

var _ resolve.DataSource = (*source)(nil)

// Load runs the fetch. The headers of the engine are not used: what a remote
// subgraph needs travels in ctx.
func (s *source) Load(ctx context.Context, _ http.Header, input []byte) ([]byte, error) {
	var answer []byte
	if s.boxes {
		answer = boxed(s.load(ctx, unboxed(input), s.fetcher.fetch))
	} else {
		answer = s.load(ctx, input, s.fetcher.fetch)
	}
	if s.number < 0 {
		return answer, nil
	}
	return entities.Kept(ctx).Add(s.number, answer), nil
}

// loadExact runs the fetch on its subgraph, known to be exact.
func (s *source) loadExact(ctx context.Context, subgraph ExactSubgraph, input []byte) (data []byte, clean bool) {
	data = s.load(ctx, input, func(ctx context.Context, query string, variables []byte) (answer []byte) {
		answer, clean = subgraph.ExecuteExact(ctx, query, "", variables)
		return answer
	})
	return data, clean
}

func (s *source) load(ctx context.Context, input []byte, fetch func(context.Context, string, []byte) []byte) (data []byte) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "panic in fetch",
				"subgraph", s.subgraph, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			data = s.failure(fault.CodeInternal, clienterr.InternalMessage)
		}
	}()
	request, ok := readFetchInput(input)
	if !ok {
		s.log.ErrorContext(ctx, "unreadable fetch input", "subgraph", s.subgraph)
		return s.failure(fault.CodeInternal, clienterr.InternalMessage)
	}
	query, err := s.decodeQuery(request.query)
	if err != nil {
		s.log.ErrorContext(ctx, "unreadable fetch query", "subgraph", s.subgraph, "error", err)
		return s.failure(fault.CodeInternal, clienterr.InternalMessage)
	}
	start := time.Now()
	ctx, span := telemetry.Span(ctx, s.span)
	response := fetch(ctx, query.text, request.definedVariables())
	span.End()
	took := time.Since(start)
	s.took.Observe(took.Seconds())
	telemetry.RequestFrom(ctx).Fetched(s.subgraph, took)
	if len(response) == 0 {
		return s.failure(fault.CodeUnavailable, "the "+s.subgraph+" service does not answer", s.places(query)...)
	}
	return s.conforming(ctx, query.shape, response)
}

// LoadWithFiles refuses: uploads are no part of the API.
func (s *source) LoadWithFiles(context.Context, http.Header, []byte, []*httpclient.FileUpload) ([]byte, error) {
	return s.failure(fault.CodeInvalidInput, "file uploads are not supported"), nil
}

func (s *source) decodeQuery(raw []byte) (*decodedQuery, error) {
	if known := s.query.Load(); known != nil && bytes.Equal(known.raw, raw) {
		return known, nil
	}
	text, err := rawjson.DecodeString(raw)
	if err != nil {
		return nil, err
	}
	found := &decodedQuery{raw: bytes.Clone(raw), text: text, fields: sync.OnceValue(func() []string { return document.RootNames(text) })}
	if s.schema != nil {
		found.shape = conform.Compile(s.schema, text)
	}
	s.query.Store(found)
	return found, nil
}

// conforming takes out of a response what the schema does not allow.
func (s *source) conforming(ctx context.Context, shape *conform.Shape, response []byte) []byte {
	if shape == nil {
		return response
	}
	response, wrong := shape.Answer(response)
	if len(wrong) > 0 {
		s.log.ErrorContext(ctx, "a subgraph answers what its schema does not allow", "subgraph", s.subgraph, "values", len(wrong), "first", wrong[0])
	}
	return response
}

// places are the paths of what is missing without an answer to a query: each of its
// fields where they are the operation's own, else the object that they are of.
func (s *source) places(query *decodedQuery) [][]string {
	if len(s.path) > 0 {
		return [][]string{s.path}
	}
	var out [][]string
	for _, name := range query.fields() {
		out = append(out, []string{name})
	}
	return out
}

// failure renders a response without data and with an error at each of some places,
// or one without a place.
func (s *source) failure(code fault.Code, message string, places ...[]string) []byte {
	if len(places) == 0 {
		places = [][]string{s.path}
	}
	out := []byte(clienterr.ErrorsFirst + `[`)
	for i, place := range places {
		if i > 0 {
			out = append(out, ',')
		}
		out = rawjson.AppendString(append(out, `{"message":`...), message)
		if len(place) > 0 {
			out = append(out, `,"path":[`...)
			for i, element := range place {
				if i > 0 {
					out = append(out, ',')
				}
				out = rawjson.AppendString(out, element)
			}
			out = append(out, ']')
		}
		out = fmt.Appendf(out, `,"extensions":{"code":%q}}`, code)
	}
	return append(out, `],"data":null}`...)
}

// attachSources gives each fetch of a finished plan its source.
func (r *generation) attachSources(node *resolve.FetchTreeNode, op *operation) {
	if node == nil {
		return
	}
	if node.Item != nil && node.Item.Fetch != nil {
		r.attachSource(node.Item, op)
	}
	for _, child := range node.ChildNodes {
		r.attachSources(child, op)
	}
}

func (r *generation) attachSource(item *resolve.FetchItem, op *operation) {
	info := item.Fetch.FetchInfo()
	if info == nil {
		return
	}
	fetcher, ok := r.sources[info.DataSourceName]
	if !ok {
		return
	}
	s := &source{
		subgraph: info.DataSourceName, fetcher: fetcher, log: r.log, boxes: op.boxes,
		number: op.entities.Number(item),
		schema: r.heldAgainst(fetcher),
		span:   "fetch " + info.DataSourceName, took: r.metrics.fetches.WithLabelValues(info.DataSourceName),
	}
	for _, element := range item.ResponsePathElements {
		if element == "@" || element == "" { // "@" stands for each item of a list
			break
		}
		s.path = append(s.path, element)
	}
	switch fetch := item.Fetch.(type) {
	case *resolve.SingleFetch:
		fetch.DataSource = s
	case *resolve.EntityFetch:
		fetch.DataSource = s
	case *resolve.BatchEntityFetch:
		fetch.DataSource = s
	case *resolve.MultiEntityFetch:
		fetch.DataSource = s
	}
}

// heldAgainst is the schema that a subgraph's answers are held against: those of
// services of ours follow from theirs.
func (r *generation) heldAgainst(f fetcher) *ast.Document {
	if remote, ok := f.(*remoteFetcher); ok && !remote.way.Renews {
		return r.graph.Router
	}
	return nil
}

// localFetcher calls a subgraph of this process. The caller's identity is in ctx.
type localFetcher struct{ subgraph LocalSubgraph }

// follow implements follower. A subgraph without subscriptions has no field that
// could bring anyone here.
func (l localFetcher) follow(ctx context.Context, query string, variables []byte, deliver func([]byte) error) error {
	streaming, ok := l.subgraph.(LocalStreams)
	if !ok {
		return fault.Internal(errors.New("the subgraph has no subscriptions"))
	}
	return streaming.Subscribe(ctx, query, "", variables, deliver)
}

func (l localFetcher) fetch(ctx context.Context, query string, variables []byte) []byte {
	return l.subgraph.Execute(ctx, query, "", variables)
}
