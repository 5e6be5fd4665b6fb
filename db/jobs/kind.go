package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// Job is one run of one piece of work.
type Job struct {
	ID   int64
	Kind string
	// TenantID is uuid.Nil where no tenant is concerned.
	TenantID uuid.UUID
	// Body is the outbox event's; null for a periodic job.
	Body json.RawMessage
	// CausedAt is when the change was made that the job follows from.
	CausedAt time.Time
	// Attempt counts the runs from 1 to MaxAttempts.
	Attempt, MaxAttempts int
}

// Handler does the work. It may run more than once for one job, after a kill
// even though it had finished, and must then change nothing more. An error means
// that it runs again later, one made by Permanent that it does not.
type Handler func(context.Context, Job) error

// Kind says how the jobs of one kind are run.
type Kind struct {
	// Name is the outbox kind, as "mail.send".
	Name string
	// Queue is where its jobs wait; queues do not wait for each other.
	Queue string
	// MaxAttempts is how often a job runs at most, 1 to 1000; a job that failed as
	// often is discarded. 25 if zero.
	MaxAttempts int
	// Timeout bounds one run, up to MaxTimeout; 20 s if zero.
	Timeout time.Duration
	// FirstDelay is the pause after the first failure, 1 s if zero. It doubles up
	// to MaxDelay, 5 min if zero; each pause varies by a fifth, so that what failed
	// together does not come back together.
	FirstDelay, MaxDelay time.Duration
	// Unique drops a job while one of this kind with the same tenant and body
	// waits or runs.
	Unique bool
	// Every makes one job a period, by one process of all; 0 for none. Such a job
	// has no body, and the first comes soon after a start.
	Every  time.Duration
	Handle Handler
}

// MaxTimeout is the longest that one run may take: a job that seems to run for
// longer than twice as long belonged to a killed process, and is taken over.
const MaxTimeout = 30 * time.Second

func (k *Kind) complete() error {
	if k.MaxAttempts == 0 {
		k.MaxAttempts = 25
	}
	if k.Timeout == 0 {
		k.Timeout = 20 * time.Second
	}
	if k.FirstDelay == 0 {
		k.FirstDelay = time.Second
	}
	if k.MaxDelay == 0 {
		k.MaxDelay = 5 * time.Minute
	}
	switch {
	case k.Name == "" || k.Queue == "":
		return errors.New("jobs: a kind needs a name and a queue")
	case k.Handle == nil:
		return fmt.Errorf("jobs: kind %s has no handler", k.Name)
	case k.MaxAttempts < 1 || k.MaxAttempts > 1000:
		return fmt.Errorf("jobs: kind %s: %d attempts are not between 1 and 1000", k.Name, k.MaxAttempts)
	case k.Timeout < 0 || k.Timeout > MaxTimeout:
		return fmt.Errorf("jobs: kind %s: a timeout of %s is more than %s", k.Name, k.Timeout, MaxTimeout)
	case k.FirstDelay < 0 || k.MaxDelay < k.FirstDelay:
		return fmt.Errorf("jobs: kind %s: delays from %s to %s", k.Name, k.FirstDelay, k.MaxDelay)
	case k.Every < 0:
		return fmt.Errorf("jobs: kind %s: a period of %s", k.Name, k.Every)
	}
	return nil
}

// delay is the pause after the attempt of that number failed.
func (k *Kind) delay(attempt int) time.Duration {
	pause := k.MaxDelay
	if doublings := max(attempt, 1) - 1; doublings < 32 && k.FirstDelay < k.MaxDelay>>doublings {
		pause = k.FirstDelay << doublings
	}
	return time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // no secret
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that another run would meet again: the job is given
// up at once.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}
