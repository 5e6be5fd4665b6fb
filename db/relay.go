package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tradesage/tradesage/db/jobs"
	"github.com/tradesage/tradesage/db/platformdb"
)

// OutboxEvent is a committed change that something must still follow.
type OutboxEvent struct {
	ID int64
	// TenantID is uuid.Nil where no tenant is concerned.
	TenantID  uuid.UUID
	Kind      string
	Body      json.RawMessage
	CreatedAt time.Time
}

// OutboxHandler does what follows. It may be called more than once for one
// event and must then change nothing; an error means that it is called again
// later.
type OutboxHandler func(context.Context, OutboxEvent) error

const (
	// relayPoll is how often the outbox is looked at when nobody nudges.
	relayPoll = 250 * time.Millisecond
	// relayBatch bounds how many events one transaction holds locked.
	relayBatch = 64
	// relayHandlerTime bounds one handler, relayBatchTime the handlers of a batch
	// together: the server ends a transaction that idles for 30 s.
	relayHandlerTime = 10 * time.Second
	relayBatchTime   = 10 * time.Second
	relayMaxDelay    = 5 * time.Minute
)

// Relay delivers the outbox. Any number of processes may run one: each event is
// locked by one of them at a time.
type Relay struct {
	store    *PlatformStore
	handlers map[string]OutboxHandler
	logger   *slog.Logger
	nudge    chan struct{}
	queue    *jobs.Client // nil where every event has a handler
}

// NewRelay returns a relay that knows a handler for each kind of event.
func NewRelay(store *PlatformStore, logger *slog.Logger, handlers map[string]OutboxHandler) *Relay {
	return &Relay{store, handlers, logger, make(chan struct{}, 1), nil}
}

// HandOverTo makes events that are jobs of the queue leave the outbox for it.
// Call it before Run.
func (r *Relay) HandOverTo(queue *jobs.Client) { r.queue = queue }

// Nudge makes the relay look at once, after a commit of this process.
func (r *Relay) Nudge() {
	select {
	case r.nudge <- struct{}{}:
	default: // it will look anyway
	}
}

// Run delivers events until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	tick := time.NewTicker(relayPoll)
	defer tick.Stop()
	for failing := false; ; {
		n, err := r.Deliver(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing: // once, not four times a second
			r.logger.ErrorContext(ctx, "outbox not readable", "error", err)
		case err == nil && failing:
			r.logger.InfoContext(ctx, "outbox readable again")
		}
		failing = err != nil
		if n == relayBatch && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.nudge:
		}
	}
}

// Deliver takes one batch of due events that are jobs, and one of the others:
// the first go to the queue, each of the second to its handler. It returns how
// many the larger batch had. What failed stays in the outbox for a later time.
func (r *Relay) Deliver(ctx context.Context) (int, error) {
	moved, err := r.handOver(ctx)
	taken, handleErr := r.handleDue(ctx)
	return max(moved, taken), errors.Join(err, handleErr)
}

// handOver moves a batch of events into the queue, in one transaction: an event
// is in exactly one of the two.
func (r *Relay) handOver(ctx context.Context) (int, error) {
	if r.queue == nil {
		return 0, nil
	}
	pool, err := r.store.db.loginPool(string(r.store.service))
	if err != nil {
		return 0, err
	}
	moved := 0
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		taken, err := platformdb.New(tx).TakeOutbox(ctx, r.queue.Kinds(), relayBatch)
		if err != nil {
			return err
		}
		moved = len(taken)
		all := make([]jobs.NewJob, 0, len(taken))
		for _, row := range taken {
			job := jobs.NewJob{Kind: row.Kind, Body: row.Body, CausedAt: row.CreatedAt}
			if row.TenantID != nil {
				job.TenantID = *row.TenantID
			}
			all = append(all, job)
		}
		return r.queue.InsertTx(ctx, tx, all)
	})
	return moved, translate(err)
}

// handleDue hands a batch of events that are no jobs to their handlers.
func (r *Relay) handleDue(ctx context.Context) (int, error) {
	taken := 0
	notThese := []string{}
	if r.queue != nil {
		notThese = r.queue.Kinds()
	}
	err := r.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		due, err := q.LockDueOutbox(ctx, notThese, relayBatch)
		if err != nil {
			return err
		}
		taken = len(due)
		done := make([]int64, 0, len(due))
		began := time.Now()
		for _, row := range due {
			if time.Since(began) > relayBatchTime {
				break // the rest stays due
			}
			event := OutboxEvent{ID: row.ID, Kind: row.Kind, Body: row.Body, CreatedAt: row.CreatedAt}
			if row.TenantID != nil {
				event.TenantID = *row.TenantID
			}
			failure := r.handle(ctx, event)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if failure == nil {
				done = append(done, row.ID)
				continue
			}
			r.logger.WarnContext(ctx, "outbox event not delivered", "event", row.ID, "kind", row.Kind, "attempt", row.Attempts+1, "error", failure)
			if err := q.DelayOutbox(ctx, platformdb.DelayOutboxParams{ID: row.ID, Delay: retryDelay(row.Attempts), LastError: note(failure)}); err != nil {
				return err
			}
		}
		if len(done) == 0 {
			return nil
		}
		return q.DeleteOutbox(ctx, done)
	})
	return taken, err
}

func (r *Relay) handle(ctx context.Context, event OutboxEvent) (err error) {
	handler, ok := r.handlers[event.Kind]
	if !ok {
		return fmt.Errorf("no handler for %s", event.Kind)
	}
	ctx, cancel := context.WithTimeout(ctx, relayHandlerTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler of %s panicked: %v", event.Kind, p)
		}
	}()
	return handler(ctx, event)
}

// Backlog is what waits in the outbox, of one kind.
type Backlog struct {
	Kind string
	Rows int64
	// Oldest is the age of the first of them.
	Oldest time.Duration
}

// Backlog asks what waits in the outbox.
func (r *Relay) Backlog(ctx context.Context) ([]Backlog, error) {
	rows, err := r.store.Platform().OutboxBacklog(ctx)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	backlog := make([]Backlog, 0, len(rows))
	for _, row := range rows {
		backlog = append(backlog, Backlog{row.Kind, row.Waiting, time.Duration(row.OldestSeconds * float64(time.Second))})
	}
	return backlog, nil
}

// retryDelay doubles from one second up to relayMaxDelay.
func retryDelay(attempts int32) pgtype.Interval {
	delay := min(time.Second<<min(attempts, 16), relayMaxDelay)
	return pgtype.Interval{Microseconds: delay.Microseconds(), Valid: true}
}

func note(err error) *string {
	text := strings.ToValidUTF8(err.Error(), "?")
	text = strings.ReplaceAll(text, "\x00", "?")
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "")
	}
	return &text
}
