package resume_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tradesage/tradesage/graph/router/internal/resume"
	"github.com/tradesage/tradesage/internal/fault"
)

const (
	leaving = `{"errors":[{"message":"about to end","extensions":{"code":"UNAVAILABLE"}}],"data":null}`
	first   = `{"data":{"renamed":{"id":"1","__cursor":"one"}}}`
	second  = `{"data":{"renamed":{"id":"2","__cursor":"two"}}}`
)

var errBroken = &resume.BrokenOff{Cause: errors.New("connection reset")}

// stretch is what one asking brings, and how it ends.
type stretch struct {
	events []string
	ends   error
}

// followed plays stretches and tells what was asked and delivered.
func followed(t *testing.T, p resume.Policy, stretches ...stretch) (asked, delivered []string, err error) {
	t.Helper()
	p.Subgraph, p.Log = "user", slog.New(slog.DiscardHandler)
	resumed := prometheus.NewCounter(prometheus.CounterOpts{Name: "resumed"})
	p.Resumed = resumed
	err = resume.Follow(t.Context(), p, func(_ context.Context, query string, _ []byte, deliver func([]byte) error) error {
		asked = append(asked, strings.Join(strings.Fields(query), " "))
		if len(asked) > len(stretches) {
			return errBroken
		}
		s := stretches[len(asked)-1]
		for _, e := range s.events {
			if err := deliver([]byte(e)); err != nil {
				return err
			}
		}
		return s.ends
	}, `subscription { renamed { id } }`, nil, func(event []byte) error {
		delivered = append(delivered, string(event))
		return nil
	})
	if got := testutil.ToFloat64(resumed); int(got) != len(asked)-1 {
		t.Errorf("%v resumptions of %d askings", got, len(asked))
	}
	return asked, delivered, err
}

func TestFollow(t *testing.T) {
	t.Parallel()
	const (
		plain  = `subscription { renamed { id } }`
		marked = `subscription { renamed { id __cursor: cursor } }`
		after1 = `subscription { renamed(after: "one") { id __cursor: cursor } }`
	)
	ours := resume.Policy{Within: time.Hour, Arguments: map[string]string{"renamed": "after"}, Cursor: "cursor"}
	for name, c := range map[string]struct {
		policy    resume.Policy
		stretches []stretch
		asked     []string
		delivered []string
		err       error
	}{
		"goes on after the last event": {
			ours, []stretch{{[]string{first}, errBroken}, {nil, errBroken}, {[]string{second}, nil}},
			[]string{marked, after1, after1}, []string{first, second}, nil,
		},
		"begins anew without cursors": {
			resume.Policy{Within: time.Hour}, []stretch{{[]string{first}, errBroken}, {[]string{second}, nil}},
			[]string{plain, plain}, []string{first, second}, nil,
		},
		"who leaves and comes back is not heard of": {
			ours, []stretch{{[]string{first, leaving}, nil}, {[]string{second}, nil}},
			[]string{marked, after1}, []string{first, second}, nil,
		},
		"a refusal that the stream outlives is passed on": {
			ours, []stretch{{[]string{first, leaving, second}, nil}},
			[]string{marked}, []string{first, leaving, second}, nil,
		},
		"does not wait for what has not begun": {
			ours, []stretch{{nil, errBroken}}, []string{marked}, nil, fault.Unavailable("the user service does not answer"),
		},
		"does not wait where it may not": {
			resume.Policy{Within: -1}, []stretch{{[]string{first}, errBroken}},
			[]string{plain}, []string{first}, fault.Unavailable("the user service does not answer"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, delivered, err := followed(t, c.policy, c.stretches...)
			if diff := cmp.Diff(c.asked, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.delivered, delivered); diff != "" {
				t.Errorf("delivered (-want +got):\n%s", diff)
			}
			if c.err == nil && err != nil || c.err != nil && !fault.Is(err, fault.CodeUnavailable) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}
