package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/db"
)

const (
	// defaultKept is about how many events of a tenant can be resumed from.
	defaultKept = 1000
	// keptFor is how long a tenant's stream outlives its last event.
	keptFor = 24 * time.Hour
	// appendWithin bounds the wait for Redis for one event.
	appendWithin = 2 * time.Second
	// feedLength is about how many events of all tenants a process may be behind.
	feedLength = 20_000
	// restFor is how long Append does not try again where Redis did not answer: one
	// wait is enough for a whole batch of the outbox.
	restFor = time.Second
	// maxReading bounds how many streams are read at once, so that those who share
	// the client are not kept waiting when all subscriptions read.
	maxReading = 8
)

// Hub appends events to Redis and hands those of Redis to the subscriptions of
// this process.
type Hub struct {
	redis  redis.UniversalClient
	keys   keys
	kept   int
	logger *slog.Logger

	mu      sync.RWMutex
	tenants map[uuid.UUID]map[*Subscription]struct{}

	reading chan struct{} // holds one for each stream that is read now
	resting atomic.Pointer[time.Time]

	metrics metrics
}

// Options are what New needs.
type Options struct {
	// Redis is a client that keeps deadlines (ContextTimeoutEnabled): else a Redis
	// that hangs holds up for as long as the client's own patience lasts.
	Redis redis.UniversalClient
	// Prefix begins every key; DefaultPrefix if empty. Processes that serve the
	// same database share it.
	Prefix string
	// Kept is about how many events of each tenant can be resumed from, for a day
	// after the last one; 1,000 if zero.
	Kept int
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Metrics is where the hub's metrics are registered; nil for nowhere.
	Metrics prometheus.Registerer
}

// New returns a hub. Its Run must run where Subscribe is called.
func New(o Options) (*Hub, error) {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Kept <= 0 {
		o.Kept = defaultKept
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	h := &Hub{
		redis: o.Redis, keys: keys{o.Prefix}, kept: o.Kept, logger: o.Logger,
		tenants: map[uuid.UUID]map[*Subscription]struct{}{}, reading: make(chan struct{}, maxReading),
		metrics: newMetrics(),
	}
	if err := h.metrics.register(o.Metrics); err != nil {
		return nil, fmt.Errorf("metrics of events: %w", err)
	}
	return h, nil
}

// appendScript adds an event to its tenant's stream and to the feed, once. A
// script runs as a whole or not at all, so the two never differ.
var appendScript = redis.NewScript(`
if redis.call('ZADD', KEYS[2], 'NX', ARGV[1], ARGV[2]) == 0 then return '' end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -ARGV[5] - 1)
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], '*', 'event', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
local n = redis.call('INCR', KEYS[4])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], '*', 'n', n, 'tenant', ARGV[3], 'id', id, 'event', ARGV[4])
return id
`)

// headScript returns the last position of a tenant's stream. An empty stream
// gets an entry that says nothing: every position that is ever given away is
// that of an entry, and as long as this is there, all later ones are.
var headScript = redis.NewScript(`
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if last[1] then return last[1][1] end
local id = redis.call('XADD', KEYS[1], '*', 'event', '')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return id
`)

// feedHeadScript returns the id and the number of the feed's last entry. An empty
// feed gets an entry that says nothing: a process that has read none could not tell
// the first entry of all from the first one after Redis began anew.
var feedHeadScript = redis.NewScript(`
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if last[1] then return {last[1][1], last[1][2][2]} end
local n = redis.call('INCR', KEYS[2])
return {redis.call('XADD', KEYS[1], '*', 'n', n), tostring(n)}
`)

// Handle appends the event of an outbox row of KindLive. It may run any number
// of times for the same row.
func (h *Hub) Handle(ctx context.Context, row db.OutboxEvent) error {
	var e Event
	if err := json.Unmarshal(row.Body, &e); err != nil {
		return fmt.Errorf("%s: %w", KindLive, err)
	}
	return h.Append(ctx, row.TenantID, e)
}

// Append makes an event known to all processes. tenant is the outbox row's,
// which the database has checked. An event with the id of an earlier one is
// dropped, as far as the tenant's events are kept. Where Redis has not answered,
// it fails for a second without trying.
func (h *Hub) Append(ctx context.Context, tenant uuid.UUID, e Event) error {
	if tenant == uuid.Nil {
		return errors.New("an event needs a tenant")
	}
	if until := h.resting.Load(); until != nil && time.Now().Before(*until) {
		return errResting
	}
	if err := e.complete(); err != nil {
		return err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("event %s: %w", e.ID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, appendWithin) // others wait behind it in the outbox
	defer cancel()
	names := []string{h.keys.stream(tenant), h.keys.seen(tenant), h.keys.feed(), h.keys.count()}
	err = appendScript.Run(ctx, h.redis, names,
		time.Now().UnixMilli(), e.ID.String(), tenant.String(), body, h.kept, keptFor.Milliseconds(), feedLength).Err()
	if err != nil {
		var answer redis.Error // it is there, and says no
		if !errors.As(err, &answer) {
			until := time.Now().Add(restFor)
			h.resting.Store(&until)
		}
		return fmt.Errorf("event %s: %w", e.ID, err)
	}
	h.metrics.appended.Inc()
	return nil
}

var errResting = errors.New("there was no answer of Redis a moment ago")

// head returns the position after which the tenant's next event comes.
func (h *Hub) head(ctx context.Context, tenant uuid.UUID) (position, error) {
	text, err := headScript.Run(ctx, h.redis, []string{h.keys.stream(tenant)}, keptFor.Milliseconds()).Text()
	if err != nil {
		return position{}, err
	}
	p, ok := parsePosition(text)
	if !ok {
		return position{}, fmt.Errorf("unreadable position %.40q", text)
	}
	return p, nil
}

// errMissed says that the entry at a position is gone, and others perhaps too.
var errMissed = errors.New("no longer kept")

// readBatch bounds the entries of one reading of a tenant's stream.
const readBatch = 100

// read returns the entries after a position, oldest first; none means that there
// are none yet. It fails with errMissed if the entry at the position is gone.
func (h *Hub) read(ctx context.Context, tenant uuid.UUID, from position) ([]entry, error) {
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	found, err := h.redis.XRangeN(ctx, h.keys.stream(tenant), from.String(), "+", readBatch+1).Result()
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].ID != from.String() {
		return nil, errMissed
	}
	entries := make([]entry, 0, len(found)-1)
	for _, message := range found[1:] {
		at, ok := parsePosition(message.ID)
		if !ok {
			return nil, fmt.Errorf("unreadable position %.40q", message.ID)
		}
		entries = append(entries, h.decode(ctx, at, message.Values))
	}
	return entries, nil
}

// entry is an event and its place. The event is nil where an entry says nothing;
// it is shared by all subscriptions and never changed.
type entry struct {
	at    position
	event *Event
}

func (h *Hub) decode(ctx context.Context, at position, values map[string]any) entry {
	text, _ := values["event"].(string)
	if text == "" {
		return entry{at: at}
	}
	var e Event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		h.logger.ErrorContext(ctx, "events: unreadable entry in Redis", "id", at.String(), "error", err)
		return entry{at: at}
	}
	return entry{at, &e}
}
