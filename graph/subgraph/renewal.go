package subgraph

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// streamCaller is whose stream it is, with the newest token.
type streamCaller struct {
	now atomic.Pointer[identity.Caller]
}

func newStreamCaller(ctx context.Context) *streamCaller {
	c := &streamCaller{}
	if caller, err := identity.FromContext(ctx); err == nil {
		c.now.Store(caller)
	}
	return c
}

// serveRenewedStream answers a request of sse.MediaRenewed: its body's first line
// is the request, and newer tokens follow for as long as the stream is open.
func (s *Server) serveRenewedStream(ctx context.Context, w http.ResponseWriter, req *http.Request) {
	control := http.NewResponseController(w)
	// HTTP/2 is read and written at once anyway.
	if err := control.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.log.WarnContext(ctx, "a stream could not begin", "error", err)
		return
	}
	lines := bufio.NewScanner(req.Body)
	lines.Buffer(nil, int(s.options.MaxBodyBytes))
	if !lines.Scan() {
		if errors.Is(lines.Err(), bufio.ErrTooLong) {
			s.refuse(ctx, w, http.StatusRequestEntityTooLarge, s.tooLarge())
			return
		}
		s.refuse(ctx, w, http.StatusBadRequest, errBrokeOff)
		return
	}
	params, err := readParams(lines.Bytes(), req.Header)
	if err != nil {
		s.refuse(ctx, w, http.StatusBadRequest, err)
		return
	}
	s.serveStream(ctx, w, params, func(of *streamCaller) error {
		for lines.Scan() {
			if err := s.renew(ctx, req, lines.Bytes(), of); err != nil {
				return err
			}
		}
		return nil // the body's end: no more tokens will come, and the last one counts
	})
}

var errOtherCaller = fault.Forbidden("a stream keeps its session; subscribe again to change it")

// renew takes over a newer token of the same session.
func (s *Server) renew(ctx context.Context, req *http.Request, line []byte, of *streamCaller) error {
	var renewal struct{ Authorization string }
	if err := json.Unmarshal(line, &renewal); err != nil || renewal.Authorization == "" {
		return fault.InvalidInput("", "a line of this body must hold an authorization")
	}
	old := of.now.Load()
	if s.options.Authenticate == nil || old == nil {
		return errOtherCaller
	}
	again := req.Clone(ctx)
	again.Header = http.Header{"Authorization": {renewal.Authorization}}
	caller, err := s.options.Authenticate(again)
	if err != nil {
		if fault.Is(err, fault.CodeUnavailable) && time.Now().Before(old.Expires) {
			return nil // what it had still counts
		}
		return err
	}
	if caller == nil || caller.Subject != old.Subject || caller.Session != old.Session || caller.Tenant != old.Tenant {
		return errOtherCaller
	}
	of.now.Store(caller)
	return nil
}
