package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router/internal/accept"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/graph/router/internal/resume"
	"github.com/tradesage/tradesage/graph/sse"
	"github.com/tradesage/tradesage/graph/upstream"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// remoteFetcher calls a subgraph over HTTP.
type remoteFetcher struct {
	name     string
	way      Remote
	upstream *upstream.Subgraph
	log      *slog.Logger
	streams  *Streams
	resuming resume.Policy
	slow     prometheus.Counter
	opened   prometheus.Gauge
	sockets  sockets
}

// fetch returns nil if the subgraph cannot be reached or answers with something
// else than GraphQL. What changes nothing is tried again.
func (r *remoteFetcher) fetch(ctx context.Context, query string, variables []byte) []byte {
	body := graphQLRequest(query, variables)
	answer, err := r.upstream.Call(ctx, !strings.HasPrefix(query, "mutation"), func(ctx context.Context) (*http.Request, error) {
		return r.request(ctx, accept.JSON, bytes.NewReader(body))
	})
	if err != nil && !errors.Is(err, upstream.ErrCircuitOpen) && !errors.Is(err, context.Canceled) {
		r.log.WarnContext(ctx, "subgraph does not answer", "subgraph", r.name, "error", err)
	}
	return answer
}

// graphQLRequest is the body of a request.
func graphQLRequest(query string, variables []byte) []byte {
	body := append(make([]byte, 0, len(query)+len(variables)+64), `{"query":`...)
	body = rawjson.AppendString(body, query)
	if len(variables) > 0 {
		body = append(append(body, `,"variables":`...), variables...)
	}
	return append(body, '}')
}

// request is a POST with what the subgraph may know of the client: the token,
// which it verifies again, and what a record of the request needs.
func (r *remoteFetcher) request(ctx context.Context, media string, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.way.URL, body) //nolint:gosec // whom the configuration names, no client
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", media)
	request.Header.Set("Accept", accept.JSON)
	if token, _ := bearerFrom(ctx).token(); token != "" {
		request.Header.Set("Authorization", token)
	}
	if id := telemetry.RequestID(ctx); id != "" {
		request.Header.Set(telemetry.HeaderRequestID, id)
	}
	telemetry.Inject(ctx, request.Header)
	identity.ClientFrom(ctx).Forward(request.Header)
	return request, nil
}

// follow implements follower. A subscription that has begun outlives its subgraph for
// Streams.ResumeWithin.
func (r *remoteFetcher) follow(ctx context.Context, query string, variables []byte, deliver func([]byte) error) error {
	return resume.Follow(ctx, r.resuming, r.subscribed, query, variables, deliver)
}

// maxRemoteEvent bounds one event of a remote subgraph, in bytes.
const maxRemoteEvent = 1 << 20

// streamed asks for a subscription over server-sent events and hands on what comes.
// Where the subgraph renews, the client's newer tokens follow on the request's body;
// else the stream ends with the token that it began with. The error is nil for a
// subscription that is complete, deliver's own, and otherwise a *resume.BrokenOff.
func (r *remoteFetcher) streamed(ctx context.Context, query string, variables []byte, deliver func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	media, body := accept.JSON, io.Reader(bytes.NewReader(graphQLRequest(query, variables)))
	if r.way.Renews {
		media, body = sse.MediaRenewed, bearerFrom(ctx).stream(ctx, graphQLRequest(query, variables))
	}
	request, err := r.request(ctx, media, body)
	if err != nil {
		return &resume.BrokenOff{Cause: err}
	}
	request.Header.Set("Accept", sse.MediaType)
	response, err := r.upstream.Open(request)
	if err != nil {
		return &resume.BrokenOff{Cause: err}
	}
	defer response.Body.Close()
	if media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || media != sse.MediaType {
		answer, err := io.ReadAll(io.LimitReader(response.Body, maxRemoteEvent))
		if answer = bytes.TrimSpace(answer); err != nil || response.StatusCode >= 500 || !rawjson.IsResponse(answer) {
			return &resume.BrokenOff{Cause: fmt.Errorf("status %d without a GraphQL response", response.StatusCode)}
		}
		return deliver(answer)
	}
	var refused error // by deliver, which the stream's own errors must not hide
	err = sse.Read(response.Body, maxRemoteEvent, func(event []byte) error {
		if !rawjson.IsResponse(event) {
			return errors.New("an event is no GraphQL response")
		}
		refused = deliver(event)
		return refused
	})
	switch {
	case refused != nil || err == nil:
		return refused
	default:
		return &resume.BrokenOff{Cause: err}
	}
}
