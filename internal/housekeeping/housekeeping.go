// Package housekeeping deletes rows of the platform's schema that have long
// expired and that no other package looks after. What it may delete is bounded by the database too: the login's
// policies show it expired rows only.
package housekeeping

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tradesage/tradesage/db"
)

// Kind is the job that runs Sweep.
const Kind = "housekeeping.sweep"

// How long rows are kept after they have expired, or have been made.
const (
	// keepSessions leaves time to look into what happened in a session.
	keepSessions = 30 * 24 * time.Hour
	// keepIdempotencyKeys is how long a repeated call gets the first answer.
	keepIdempotencyKeys = 24 * time.Hour
	// keepOutbox is how long an event may wait for a version that knows it.
	keepOutbox = 30 * 24 * time.Hour
)

// batch bounds what one statement deletes; Sweep goes on until nothing is left.
const batch = 1000

// Options are what Sweeper needs.
type Options struct {
	// Store is the relay's.
	Store  *db.PlatformStore
	Now    func() time.Time
	Logger *slog.Logger
}

// Sweeper deletes what has expired.
type Sweeper struct{ o Options }

// New returns a Sweeper.
func New(o Options) *Sweeper { return &Sweeper{o} }

// Sweep deletes everything that has long expired, or as much as it can until ctx
// ends; what is left goes with the next run. It may run at once with another.
func (s *Sweeper) Sweep(ctx context.Context) error {
	q, now := s.o.Store.Platform(), s.o.Now()
	for _, sweep := range []struct {
		what string
		rows func(context.Context, time.Time, int32) (int64, error)
		keep time.Duration
	}{
		{"sessions", q.SweepSessions, keepSessions},
		{"idempotency keys", q.SweepIdempotencyKeys, keepIdempotencyKeys},
		{"outbox events", s.dropEvents, keepOutbox},
	} {
		total := int64(0)
		for {
			n, err := sweep.rows(ctx, now.Add(-sweep.keep), batch)
			if err != nil {
				return fmt.Errorf("expired %s: %w", sweep.what, err)
			}
			total += n
			if n < batch {
				break
			}
		}
		if total > 0 {
			s.o.Logger.InfoContext(ctx, "expired rows deleted", "what", sweep.what, "rows", total)
		}
	}
	return nil
}

// dropEvents says what is lost, an event a line: it should never be any.
func (s *Sweeper) dropEvents(ctx context.Context, before time.Time, limit int32) (int64, error) {
	dropped, err := s.o.Store.Platform().SweepOutbox(ctx, before, limit)
	for _, row := range dropped {
		s.o.Logger.ErrorContext(ctx, "outbox event dropped, nobody could deliver it",
			"event", row.ID, "kind", row.Kind, "since", row.CreatedAt, "attempts", row.Attempts)
	}
	return int64(len(dropped)), err
}
