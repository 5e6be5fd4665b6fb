package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Count is how many jobs of one kind are in one state. Completed jobs are kept
// for ten minutes, discarded and cancelled ones for a week.
type Count struct {
	Kind, State string
	Jobs        int64
	// Overdue is how long the oldest of them could have run already; 0 unless they
	// wait.
	Overdue time.Duration
}

const countSQL = `
SELECT kind, state::text, count(*),
       CASE WHEN state = 'available' THEN greatest(extract(epoch FROM now() - min(scheduled_at)), 0)::float8 ELSE 0 END
FROM river.river_job GROUP BY kind, state ORDER BY kind, state`

// Counts asks how many jobs there are.
func (c *Client) Counts(ctx context.Context) ([]Count, error) {
	rows, err := c.pool.Query(ctx, countSQL)
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Count, error) {
		var count Count
		var seconds float64
		err := row.Scan(&count.Kind, &count.State, &count.Jobs, &seconds)
		count.Overdue = time.Duration(seconds * float64(time.Second))
		return count, err
	})
}

// Unfinished is a job that has not been done: it waits, runs, or was given up.
// Its body is not told, since it may carry a secret.
type Unfinished struct {
	ID                   int64
	Kind, State          string
	TenantID             uuid.UUID
	CausedAt             time.Time
	Attempt, MaxAttempts int
	// NextAt is when it runs again, or was given up.
	NextAt time.Time
	// LastError is of its last run; empty before one failed.
	LastError string
}

const unfinishedSQL = `
SELECT id, kind, state::text, (args->>'tenant')::uuid, (args->>'caused_at')::timestamptz, attempt, max_attempts,
       coalesce(finalized_at, scheduled_at), coalesce(errors[cardinality(errors)]->>'error', '')
FROM river.river_job
WHERE state <> 'completed' AND (NOT $1::boolean OR state IN ('discarded', 'cancelled'))
ORDER BY id DESC LIMIT $2`

// Unfinished lists jobs that are not done, the newest first, or of them only
// those that were given up. At most 1000.
func (c *Client) Unfinished(ctx context.Context, onlyGivenUp bool, limit int) ([]Unfinished, error) {
	rows, err := c.pool.Query(ctx, unfinishedSQL, onlyGivenUp, min(max(limit, 1), 1000))
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Unfinished])
}

// ErrNoJob says that there is no job of that id, or not any more.
var ErrNoJob = errors.New("jobs: no such job")

// Retry makes a job run at once, once more than it might have, whatever became
// of it; one that runs is left alone. It fails with ErrNoJob.
func (c *Client) Retry(ctx context.Context, id int64) error {
	_, err := c.river.JobRetry(ctx, id)
	return translate(err)
}

// Delete drops a job that must never run. It fails with ErrNoJob, and for a job
// that runs now.
func (c *Client) Delete(ctx context.Context, id int64) error {
	_, err := c.river.JobDelete(ctx, id)
	return translate(err)
}

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, river.ErrNotFound), errors.Is(err, rivertype.ErrNotFound):
		return ErrNoJob
	}
	return fmt.Errorf("jobs: %w", err)
}
