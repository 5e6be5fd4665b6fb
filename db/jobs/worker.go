package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
)

// task is what River keeps of a job.
type task struct {
	kind string

	Tenant   uuid.UUID       `json:"tenant" river:"unique"`
	Body     json.RawMessage `json:"body" river:"unique"`
	CausedAt time.Time       `json:"caused_at"`
}

// Kind implements river.JobArgs.
func (t task) Kind() string { return t.kind }

// worker runs the jobs of one kind.
type worker struct {
	river.WorkerDefaults[task]
	client *Client
	kind   *Kind
}

// Timeout implements river.Worker.
func (w *worker) Timeout(*river.Job[task]) time.Duration { return w.kind.Timeout }

// NextRetry implements river.Worker.
func (w *worker) NextRetry(j *river.Job[task]) time.Time {
	return time.Now().Add(w.kind.delay(j.Attempt))
}

// Work implements river.Worker.
func (w *worker) Work(ctx context.Context, j *river.Job[task]) error {
	c := w.client
	job := Job{
		ID: j.ID, Kind: w.kind.Name, TenantID: j.Args.Tenant, Body: j.Args.Body, CausedAt: j.Args.CausedAt,
		Attempt: j.Attempt, MaxAttempts: j.MaxAttempts,
	}
	began := time.Now()
	if j.Attempt == 1 {
		c.metrics.wait.WithLabelValues(job.Kind).Observe(began.Sub(job.CausedAt).Seconds())
	}
	err := w.handle(ctx, job)
	var permanent *permanentError
	outcome := "done"
	switch {
	case err == nil:
	case errors.Is(ctx.Err(), context.Canceled) && errors.Is(err, context.Canceled):
		outcome = "stopped"
		c.logger.InfoContext(ctx, "job stopped", "job", job.ID, "kind", job.Kind)
	case errors.As(err, &permanent):
		outcome = "given_up"
		w.giveUp(ctx, job, "permanent", err)
		err = river.JobCancel(err)
	case job.Attempt >= job.MaxAttempts:
		outcome = "given_up"
		w.giveUp(ctx, job, "attempts", err)
	default:
		outcome = "failed"
		c.logger.WarnContext(ctx, "job failed", "job", job.ID, "kind", job.Kind, "attempt", job.Attempt, "of", job.MaxAttempts, "error", err)
	}
	c.metrics.run.WithLabelValues(job.Kind, outcome).Observe(time.Since(began).Seconds())
	return err
}

func (w *worker) handle(ctx context.Context, job Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler of %s panicked: %v", job.Kind, p)
		}
	}()
	return w.kind.Handle(ctx, job)
}

func (w *worker) giveUp(ctx context.Context, job Job, reason string, err error) {
	c := w.client
	c.metrics.givenUp.WithLabelValues(job.Kind, reason).Inc()
	c.logger.ErrorContext(ctx, "job given up", "job", job.ID, "kind", job.Kind, "reason", reason, "attempts", job.Attempt, "error", err)
	if c.givenUp == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	c.givenUp(ctx, job, err)
}
