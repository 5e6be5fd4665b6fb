package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// Schema holds River's tables, and nothing else.
const Schema = "river"

const (
	// rescueAfter is when a job that seems to run belonged to a killed process.
	rescueAfter = 2 * MaxTimeout
	// keepCompleted is short because bodies carry codes; keepGivenUp is how long
	// an operator has to look at what was given up.
	keepCompleted = 10 * time.Minute
	keepGivenUp   = 7 * 24 * time.Hour
	// fetchPoll is how often a queue is looked at when nothing was announced.
	fetchPoll         = time.Second
	fetchPollNoListen = 250 * time.Millisecond
)

// Options say which work a process does.
type Options struct {
	// Kinds are all kinds that this version knows, whether its queues run here or
	// not: a process hands over and rescues the jobs of all of them.
	Kinds []Kind
	// Queues says how many jobs of a queue run here at once; the jobs of a queue
	// that is not named wait for another process.
	Queues map[string]int
	// PollOnly is for a pooler in transaction mode, which LISTEN does not pass.
	PollOnly bool
	// Drain is how long running jobs may go on when Run ends; then their contexts
	// end, and the jobs wait for the next process. 10 s if zero.
	Drain time.Duration
	// GivenUp is told of each job that will not run again because of err, after
	// its last attempt; it may be nil. Jobs that died with their process at their
	// last attempt are not told of, only counted.
	GivenUp func(ctx context.Context, j Job, err error)
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Metrics takes the package's metrics; nil for none.
	Metrics prometheus.Registerer
}

// Client hands jobs over and runs them.
type Client struct {
	river   *river.Client[pgx.Tx]
	pool    *pgxpool.Pool
	kinds   map[string]*Kind
	logger  *slog.Logger
	drain   time.Duration
	givenUp func(context.Context, Job, error)
	metrics *metrics
}

// New returns a client on the pool of the relay's login. Use DB.Jobs.
func New(pool *pgxpool.Pool, o Options) (*Client, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	c := &Client{
		pool: pool, kinds: map[string]*Kind{}, logger: o.Logger, drain: o.Drain, givenUp: o.GivenUp, metrics: newMetrics(o.Metrics),
	}
	workers := river.NewWorkers()
	var periodic []*river.PeriodicJob
	for _, kind := range o.Kinds {
		if err := kind.complete(); err != nil {
			return nil, err
		}
		if c.kinds[kind.Name] != nil {
			return nil, fmt.Errorf("jobs: kind %s is there twice", kind.Name)
		}
		c.kinds[kind.Name] = &kind
		river.AddWorkerArgs(workers, task{kind: kind.Name}, &worker{client: c, kind: &kind})
		if kind.Every > 0 {
			periodic = append(periodic, c.periodic(&kind))
		}
	}
	config := &river.Config{
		Schema: Schema, Workers: workers, PeriodicJobs: periodic, PollOnly: o.PollOnly,
		FetchOnlyKnownKinds: true, FetchPollInterval: fetchPoll,
		JobTimeout: MaxTimeout, RescueStuckJobsAfter: rescueAfter, SoftStopTimeout: o.Drain,
		CompletedJobRetentionPeriod: keepCompleted, CancelledJobRetentionPeriod: keepGivenUp, DiscardedJobRetentionPeriod: keepGivenUp,
		// Rebuilding an index takes its owner, which no login is.
		ReindexerIndexNames: []string{},
		Logger:              slog.New(warnings{o.Logger.Handler()}),
		Queues:              map[string]river.QueueConfig{},
	}
	if o.PollOnly {
		config.FetchPollInterval = fetchPollNoListen
	}
	for name, n := range o.Queues {
		config.Queues[name] = river.QueueConfig{MaxWorkers: n}
	}
	var err error
	if c.river, err = river.NewClient(riverpgxv5.New(pool), config); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return c, nil
}

// periodic makes a job each period; it is dropped while the one before waits.
func (c *Client) periodic(kind *Kind) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(kind.Every), func() (river.JobArgs, *river.InsertOpts) {
		options := insertOptions(kind)
		options.UniqueOpts = river.UniqueOpts{ByQueue: true, ByState: unfinished}
		return task{kind: kind.Name, Body: json.RawMessage("null"), CausedAt: time.Now().UTC()}, options
	}, &river.PeriodicJobOpts{RunOnStart: true})
}

// Knows reports whether events of this outbox kind are jobs.
func (c *Client) Knows(kind string) bool { return c.kinds[kind] != nil }

// Kinds returns the outbox kinds that are jobs.
func (c *Client) Kinds() []string {
	names := make([]string, 0, len(c.kinds))
	for name := range c.kinds {
		names = append(names, name)
	}
	return names
}

// NewJob is what InsertTx takes.
type NewJob struct {
	Kind     string
	TenantID uuid.UUID
	Body     json.RawMessage
	CausedAt time.Time
}

// unfinished are the states in which a job keeps an equal one out.
var unfinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

func insertOptions(kind *Kind) *river.InsertOpts {
	options := &river.InsertOpts{Queue: kind.Queue, MaxAttempts: kind.MaxAttempts}
	if kind.Unique {
		options.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: unfinished}
	}
	return options
}

// InsertTx hands jobs over in the caller's transaction: they run once it has
// committed. It fails if a kind is unknown.
func (c *Client) InsertTx(ctx context.Context, tx pgx.Tx, all []NewJob) error {
	params, seen := make([]river.InsertManyParams, 0, len(all)), map[string]bool{}
	for _, j := range all {
		kind := c.kinds[j.Kind]
		if kind == nil {
			return fmt.Errorf("jobs: unknown kind %s", j.Kind)
		}
		// River's statement cannot meet one unique job twice.
		if key := j.Kind + " " + j.TenantID.String() + " " + string(j.Body); kind.Unique && seen[key] {
			continue
		} else if kind.Unique {
			seen[key] = true
		}
		params = append(params, river.InsertManyParams{
			Args:       task{kind: j.Kind, Tenant: j.TenantID, Body: j.Body, CausedAt: j.CausedAt},
			InsertOpts: insertOptions(kind),
		})
	}
	if len(params) == 0 {
		return nil
	}
	if _, err := c.river.InsertManyTx(ctx, tx, params); err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	return nil
}

// Run works until ctx ends, then lets running jobs finish within the drain time
// and returns. It fails if the queue cannot be reached at the start.
func (c *Client) Run(ctx context.Context) error {
	if err := c.river.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	<-ctx.Done()
	// Past the drain time River ends the jobs' contexts; the rest is for handlers
	// that end a little late and for writing down how jobs ended.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.drain+5*time.Second)
	defer cancel()
	if err := c.river.Stop(stop); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("jobs were still running after %s: %w", c.drain, err)
	}
	return nil
}

// warnings passes on what River says from the level of a warning on: how each
// job ended is this package's to log.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}
func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
