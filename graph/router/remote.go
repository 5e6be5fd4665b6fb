package router

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"

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
	body := append(make([]byte, 0, len(query)+len(variables)+64), `{"query":`...)
	body = appendJSONString(body, query)
	if len(variables) > 0 {
		body = append(append(body, `,"variables":`...), variables...)
	}
	body = append(body, '}')

	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		r.log.ErrorContext(ctx, "subgraph request", "subgraph", r.name, "error", err)
		return nil
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	if token, ok := ctx.Value(authorizationKey{}).(string); ok {
		request.Header.Set("Authorization", token)
	}
	if id := telemetry.RequestID(ctx); id != "" {
		request.Header.Set(telemetry.HeaderRequestID, id)
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
