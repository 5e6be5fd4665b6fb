package router

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime"
	"net/http"

	"github.com/tradesage/tradesage/graph/sse"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// maxRemoteResponse bounds a remote subgraph's answer, in bytes.
const maxRemoteResponse = 32 << 20

type authorizationKey struct{}

// withAuthorization carries the client's bearer token to remote subgraphs, which
// verify it again.
func withAuthorization(ctx context.Context, header string) context.Context {
	if header == "" {
		return ctx
	}
	return context.WithValue(ctx, authorizationKey{}, header)
}

// remoteFetcher calls a subgraph over HTTP.
type remoteFetcher struct {
	name   string
	url    string
	client *http.Client
	log    *slog.Logger
}

// fetch returns nil if the subgraph cannot be reached or answers with something
// else than GraphQL.
func (r *remoteFetcher) fetch(ctx context.Context, query string, variables []byte) []byte {
	request, err := r.request(ctx, query, variables, "application/json")
	if err != nil {
		r.log.ErrorContext(ctx, "subgraph request", "subgraph", r.name, "error", err)
		return nil
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.log.WarnContext(ctx, "subgraph does not answer", "subgraph", r.name, "error", err)
		return nil
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxRemoteResponse+1))
	switch {
	case err != nil:
		r.log.WarnContext(ctx, "subgraph broke off", "subgraph", r.name, "error", err)
		return nil
	case len(answer) > maxRemoteResponse:
		r.log.ErrorContext(ctx, "subgraph's answer is too large", "subgraph", r.name, "limit", maxRemoteResponse)
		return nil
	}
	// A refused token comes as 401 with a GraphQL body: that is an answer. A proxy's
	// error page is not.
	if answer = bytes.TrimSpace(answer); response.StatusCode >= 500 || !bytes.HasPrefix(answer, []byte("{")) {
		r.log.WarnContext(ctx, "subgraph fails", "subgraph", r.name, "status", response.StatusCode)
		return nil
	}
	return answer
}

func (r *remoteFetcher) request(ctx context.Context, query string, variables []byte, accept string) (*http.Request, error) {
	body := append(make([]byte, 0, len(query)+len(variables)+64), `{"query":`...)
	body = appendJSONString(body, query)
	if len(variables) > 0 {
		body = append(append(body, `,"variables":`...), variables...)
	}
	body = append(body, '}')
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", accept)
	if token, ok := ctx.Value(authorizationKey{}).(string); ok {
		request.Header.Set("Authorization", token)
	}
	if id := telemetry.RequestID(ctx); id != "" {
		request.Header.Set(telemetry.HeaderRequestID, id)
	}
	return request, nil
}

// maxRemoteEvent bounds one event of a remote subgraph, in bytes.
const maxRemoteEvent = 1 << 20

// follow implements follower over server-sent events. The stream carries the token
// that it began with: it ends when that one has expired. A subgraph that does not
// answer is UNAVAILABLE.
func (r *remoteFetcher) follow(ctx context.Context, query string, variables []byte, deliver func([]byte) error) error {
	away := fault.Unavailable("the " + r.name + " service does not answer")
	request, err := r.request(ctx, query, variables, sse.MediaType)
	if err != nil {
		return away.Because(err)
	}
	client := *r.client
	client.Timeout = 0 // it would bound the whole stream
	response, err := client.Do(request)
	if err != nil {
		return away.Because(err)
	}
	defer response.Body.Close()
	if media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || media != sse.MediaType {
		answer, err := io.ReadAll(io.LimitReader(response.Body, maxRemoteEvent))
		if answer = bytes.TrimSpace(answer); err != nil || response.StatusCode >= 500 || !bytes.HasPrefix(answer, []byte("{")) {
			r.log.WarnContext(ctx, "subgraph fails", "subgraph", r.name, "status", response.StatusCode)
			return away
		}
		return deliver(answer)
	}
	var refused error // by deliver, which the stream's own errors must not hide
	err = sse.Read(response.Body, maxRemoteEvent, func(event []byte) error {
		refused = deliver(event)
		return refused
	})
	if refused != nil || err == nil {
		return refused
	}
	r.log.WarnContext(ctx, "subgraph broke off", "subgraph", r.name, "error", err)
	return away.Because(err)
}
