package session

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/db"
)

const (
	// liveTTL is how long Redis remembers when a session was last seen; the row
	// is at most durableEvery behind.
	liveTTL = 15 * time.Minute
	// flushEvery is how often what was seen goes to Redis.
	flushEvery = time.Second
	// durableEvery is how often it goes to PostgreSQL.
	durableEvery = time.Minute
	// maxPending bounds what waits to be written; more sessions than that in one
	// interval are not noted.
	maxPending = 100_000
	// readTimeout bounds the wait for Redis where the answer only adds detail.
	readTimeout = 150 * time.Millisecond
	// writeBatch bounds one pipeline and one statement.
	writeBatch = 1000
)

// Live notes when sessions are used. Writes are gathered and sent in the
// background, so that no request ever waits for them.
type Live struct {
	redis  redis.UniversalClient
	keys   keys
	store  *db.PlatformStore
	wait   time.Duration // how long LastSeen waits
	logger *slog.Logger

	mu      sync.Mutex
	fresh   map[uuid.UUID]time.Time // not yet in Redis
	durable map[uuid.UUID]time.Time // not yet in PostgreSQL
}

// LiveOptions are what NewLive needs.
type LiveOptions struct {
	Redis redis.UniversalClient
	// Prefix begins every key; DefaultPrefix if empty.
	Prefix string
	// Store writes the rows' last_seen_at; of the service svc_router. A process
	// that verifies no tokens leaves it nil.
	Store *db.PlatformStore
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// NewLive returns the live state of sessions. Its Run must run wherever Touch is
// called.
func NewLive(o LiveOptions) *Live {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Live{
		redis: o.Redis, keys: keys{o.Prefix}, store: o.Store, wait: readTimeout, logger: o.Logger,
		fresh: map[uuid.UUID]time.Time{}, durable: map[uuid.UUID]time.Time{},
	}
}

// Touch notes that the session was used. It never blocks on anything outside
// the process; callers touch each session about every 30 s, not every request.
func (l *Live) Touch(id uuid.UUID, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	note(l.fresh, id, at)
	if l.store != nil {
		note(l.durable, id, at)
	}
}

func note(pending map[uuid.UUID]time.Time, id uuid.UUID, at time.Time) {
	if seen, ok := pending[id]; ok && !at.After(seen) || !ok && len(pending) >= maxPending {
		return
	}
	pending[id] = at
}

// LastSeen returns when Redis last saw each session, in the order of ids; the
// zero time where it does not know. Without Redis, or when Redis takes longer
// than 150 ms, it knows nothing.
func (l *Live) LastSeen(ctx context.Context, ids []uuid.UUID) []time.Time {
	seen := make([]time.Time, len(ids))
	if len(ids) == 0 {
		return seen
	}
	values, err := within(ctx, l.wait, func(ctx context.Context) ([]*redis.StringCmd, error) {
		pipeline := l.redis.Pipeline()
		values := make([]*redis.StringCmd, len(ids))
		for i, id := range ids {
			values[i] = pipeline.Get(ctx, l.keys.session(id))
		}
		_, err := pipeline.Exec(ctx)
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		return values, err
	})
	if err != nil {
		l.logger.WarnContext(ctx, "last seen times of sessions", "error", err)
		return seen
	}
	for i, value := range values {
		if ms, err := value.Int64(); err == nil {
			seen[i] = time.UnixMilli(ms).UTC()
		}
	}
	return seen
}

// Run writes what Touch notes until ctx ends, and once more then.
func (l *Live) Run(ctx context.Context) error {
	flush, durable := time.NewTicker(flushEvery), time.NewTicker(durableEvery)
	defer flush.Stop()
	defer durable.Stop()
	for {
		select {
		case <-flush.C:
			l.flush(ctx)
		case <-durable.C:
			l.flushDurable(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			l.flush(last)
			l.flushDurable(last)
			return nil
		}
	}
}

// flush sends to Redis; what cannot be sent is dropped, for PostgreSQL has it too.
func (l *Live) flush(ctx context.Context) {
	l.mu.Lock()
	fresh := l.fresh
	l.fresh = make(map[uuid.UUID]time.Time, len(fresh))
	l.mu.Unlock()
	if len(fresh) == 0 {
		return
	}
	pipeline := l.redis.Pipeline()
	for id, at := range fresh {
		pipeline.Set(ctx, l.keys.session(id), strconv.FormatInt(at.UnixMilli(), 10), liveTTL)
		if pipeline.Len() >= writeBatch {
			l.exec(ctx, pipeline)
			pipeline = l.redis.Pipeline()
		}
	}
	l.exec(ctx, pipeline)
}

func (l *Live) exec(ctx context.Context, pipeline redis.Pipeliner) {
	if pipeline.Len() == 0 {
		return
	}
	if _, err := pipeline.Exec(ctx); err != nil {
		l.logger.WarnContext(ctx, "live sessions to Redis", "error", err)
	}
}

// flushDurable sends to PostgreSQL; what cannot be sent is noted again.
func (l *Live) flushDurable(ctx context.Context) {
	l.mu.Lock()
	durable := l.durable
	l.durable = make(map[uuid.UUID]time.Time, len(durable))
	l.mu.Unlock()
	ids := make([]uuid.UUID, 0, len(durable))
	for id := range durable {
		ids = append(ids, id)
	}
	for batch := range slices.Chunk(ids, writeBatch) {
		times := make([]time.Time, len(batch))
		for i, id := range batch {
			times[i] = durable[id]
		}
		if err := l.store.Platform().TouchSessions(ctx, batch, times); err != nil {
			l.logger.WarnContext(ctx, "live sessions to PostgreSQL", "error", err)
			l.mu.Lock()
			for i, id := range batch {
				note(l.durable, id, times[i])
			}
			l.mu.Unlock()
		}
	}
}

// within runs fn in the time given, even where fn itself does not heed its
// context, as the Redis client may not; fn then goes on alone until its own
// timeouts end it.
func within[T any](ctx context.Context, limit time.Duration, fn func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer cancel()
		value, err := fn(ctx)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		select { // fn's end cancels ctx too
		case r := <-done:
			return r.value, r.err
		default:
			var none T
			return none, ctx.Err()
		}
	}
}
