package upstream_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tradesage/tradesage/graph/upstream"
)

// Streams take no connection from calls where the number of connections is bounded.
func TestStreamsDoNotHoldUpCalls(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	url, _ := server(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			_, _ = w.Write([]byte(good))
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	s := open(t, func(o *upstream.Options) {
		few, many := upstream.Pool{Connections: 1}.Transport(), upstream.Pool{}.Transport()
		t.Cleanup(few.CloseIdleConnections)
		o.Transport, o.Streams = few, many
	})
	for range 3 {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/stream", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.Open(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
	}
	if answer, err := call(ctx, s, url, true); err != nil || answer != good {
		t.Errorf("%q, %v", answer, err)
	}
	cancel()
}
