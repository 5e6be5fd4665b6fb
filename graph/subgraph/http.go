package subgraph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/99designs/gqlgen/graphql"

	"github.com/tradesage/tradesage/graph/sse"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// ServeHTTP answers the subgraph's own port: POST with an application/json body.
// A request that accepts text/event-stream gets a stream, for subscriptions too.
// A document that is refused answers 200 with errors, as application/json does;
// other statuses are 400 for a body that is no GraphQL request, 401 and 503 from
// Options.Authenticate, 405, 413 and 415. An inbound X-Request-Id is kept.
func (s *Server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ctx := req.Context()
	if id := req.Header.Get(telemetry.HeaderRequestID); telemetry.RequestID(ctx) == "" && telemetry.ValidRequestID(id) {
		ctx = telemetry.WithRequestID(ctx, id)
	}
	ctx, _ = telemetry.EnsureRequestID(ctx)
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.refuse(ctx, w, http.StatusMethodNotAllowed, fault.InvalidInput("", "send operations with POST"))
		return
	}
	media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	renewed := err == nil && media == sse.MediaRenewed && sse.Accepted(req)
	if !renewed && (err != nil || media != "application/json") {
		s.refuse(ctx, w, http.StatusUnsupportedMediaType, fault.InvalidInput("", "the Content-Type must be application/json"))
		return
	}
	if s.options.Authenticate != nil {
		caller, err := s.options.Authenticate(req)
		if err != nil {
			s.refuseCaller(ctx, w, err)
			return
		}
		if caller != nil {
			ctx = identity.NewContext(ctx, caller)
		}
	}
	if renewed {
		s.serveRenewedStream(ctx, w, req)
		return
	}
	body, status, err := s.readBody(w, req)
	if err != nil {
		s.refuse(ctx, w, status, err)
		return
	}
	params, err := readParams(body, req.Header)
	if err != nil {
		s.refuse(ctx, w, http.StatusBadRequest, err)
		return
	}
	if sse.Accepted(req) {
		s.serveStream(ctx, w, params, nil)
		return
	}
	answer := encode(s.run(ctx, params, s.options.MaxFields))
	if answer == nil { // the client is gone
		return
	}
	write(w, http.StatusOK, answer)
}

func (s *Server) readBody(w http.ResponseWriter, req *http.Request) (_ []byte, status int, _ error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, s.options.MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge, s.tooLarge()
	case err != nil:
		return nil, http.StatusBadRequest, errBrokeOff
	}
	return body, http.StatusOK, nil
}

var errBrokeOff = fault.InvalidInput("", "the request body broke off")

func (s *Server) tooLarge() error {
	return fault.InvalidInput("", fmt.Sprintf("the request body is larger than %d bytes", s.options.MaxBodyBytes))
}

func readParams(body []byte, header http.Header) (*graphql.RawParams, error) {
	var request struct {
		Query         string          `json:"query"`
		OperationName string          `json:"operationName"`
		Variables     json.RawMessage `json:"variables"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, fault.InvalidInput("", "the request body is not a GraphQL request")
	}
	params := &graphql.RawParams{Query: request.Query, OperationName: request.OperationName, Headers: header}
	if len(request.Variables) > 0 {
		if err := decodeObject(request.Variables, &params.Variables); err != nil {
			return nil, fault.InvalidInput("variables", "variables must be an object")
		}
	}
	return params, nil
}

func (s *Server) refuseCaller(ctx context.Context, w http.ResponseWriter, err error) {
	status := http.StatusUnauthorized
	f, ok := fault.As(err)
	switch {
	case !ok:
		s.log.WarnContext(ctx, "authentication failed", "error", err)
		f = fault.Unauthenticated("sign in first")
	case f.Code == fault.CodeUnavailable:
		status = http.StatusServiceUnavailable
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	s.refuse(ctx, w, status, f)
}

func (s *Server) refuse(ctx context.Context, w http.ResponseWriter, status int, err error) {
	write(w, status, encode(s.failed(ctx, err)))
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}
