// Package automatic keeps documents that clients have sent with their hashes, so
// that they may send the hash alone from then on (automatic persisted queries). It
// does not know what is in a document, nor whether it was good: register what was.
//
// A document is found by its SHA-256 alone, so that nobody can put one in the place
// of another, and by the tenant that sent it, so that nobody learns what others ask.
// All is bounded: the size of a document, how many a tenant has, how long they are
// kept, and what a process keeps of them in memory.
package automatic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	_ "embed"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// MaxText bounds a document that is kept, in bytes. Larger ones are always sent
// whole.
const MaxText = 16 << 10

// redisTimeout bounds the wait for Redis.
const redisTimeout = 250 * time.Millisecond

// Options is what New needs.
type Options struct {
	// Redis keeps the documents for all processes; nil leaves each its memory.
	Redis redis.UniversalClient
	// Prefix begins each key; "tradesage:apq:" if empty.
	Prefix string
	// TTL is how long the documents of a tenant are kept that registers none; 24 h if
	// zero.
	TTL time.Duration
	// PerTenant bounds the documents of a tenant, the oldest go; 1,000 if zero. Who is
	// not signed in is one tenant together.
	PerTenant int
	// MemoryBytes bounds what this process keeps; 16 MiB if zero.
	MemoryBytes uint64
	// Clock is time.Now if nil. What is kept expires by the machine's.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Metrics is where the metrics are registered; nil for nowhere.
	Metrics prometheus.Registerer
}

// Store keeps documents. It is safe for concurrent use.
type Store struct {
	options Options
	memory  *otter.Cache[key, document]
	uses    *prometheus.CounterVec
}

type key struct {
	tenant uuid.UUID
	hash   [sha256.Size]byte
}

// entryOverhead is about what the cache adds to a text.
const entryOverhead = 200

// New returns a store. It does not connect.
func New(o Options) (*Store, error) {
	if o.Prefix == "" {
		o.Prefix = "tradesage:apq:"
	}
	if o.TTL <= 0 {
		o.TTL = 24 * time.Hour
	}
	if o.PerTenant <= 0 {
		o.PerTenant = 1000
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 16 << 20
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Store{options: o, uses: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tradesage_router_automatic_queries_total",
		Help: "Automatic persisted queries: found in memory or redis, missed, registered, oversized (not kept), failed (Redis did not answer).",
	}, []string{"result"})}
	var err error
	if s.memory, err = otter.New(&otter.Options[key, document]{
		MaximumWeight:    o.MemoryBytes,
		Weigher:          func(_ key, d document) uint32 { return uint32(len(d.text)) + entryOverhead },
		ExpiryCalculator: otter.ExpiryWriting[key, document](o.TTL),
	}); err != nil {
		return nil, fmt.Errorf("automatic persisted queries: %w", err)
	}
	if o.Metrics != nil {
		err = o.Metrics.Register(s.uses)
	}
	return s, err
}

// parse reads a hash as clients send it.
func parse(tenant uuid.UUID, hash string) (key, bool) {
	k := key{tenant: tenant}
	if len(hash) != 2*sha256.Size {
		return k, false
	}
	_, err := hex.Decode(k.hash[:], []byte(hash))
	return k, err == nil
}

// document is what a process has in memory.
type document struct {
	text string
	// again is when a client's registration is told to Redis again, in Unix nanoseconds:
	// soon if Redis did not answer, later if it did. A client that registers what is
	// known here has asked a process that did not find it.
	again int64
}

const (
	againAfterFailure = time.Second
	againAfterSuccess = time.Minute
)

// Find returns the tenant's document of a hash, in hexadecimal. Where Redis does not
// answer there is none: the client sends the text then.
func (s *Store) Find(ctx context.Context, tenant uuid.UUID, hash string) (string, bool) {
	k, ok := parse(tenant, hash)
	if !ok {
		s.uses.WithLabelValues("missed").Inc()
		return "", false
	}
	if known, ok := s.memory.GetIfPresent(k); ok {
		s.uses.WithLabelValues("memory").Inc()
		return known.text, true
	}
	if s.options.Redis == nil {
		s.uses.WithLabelValues("missed").Inc()
		return "", false
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	text, err := s.options.Redis.HGet(ctx, s.texts(tenant), string(k.hash[:])).Result()
	switch {
	case errors.Is(err, redis.Nil), err == nil && sha256.Sum256([]byte(text)) != k.hash:
		s.uses.WithLabelValues("missed").Inc()
		return "", false
	case err != nil:
		s.failed(ctx, err)
		return "", false
	}
	s.memory.Set(k, document{text, s.in(againAfterSuccess)})
	s.uses.WithLabelValues("redis").Inc()
	return text, true
}

//go:embed register.lua
var registerText string

var register = redis.NewScript(registerText)

// Register keeps a document for a tenant. Where Redis does not answer, this process
// alone knows it.
func (s *Store) Register(ctx context.Context, tenant uuid.UUID, text string) {
	if len(text) > MaxText {
		s.uses.WithLabelValues("oversized").Inc()
		return
	}
	k := key{tenant, sha256.Sum256([]byte(text))}
	d, known := s.memory.GetIfPresent(k)
	if known && (s.options.Redis == nil || s.in(0) < d.again) {
		return
	}
	if !known {
		d.text = strings.Clone(text) // it may be part of a request's buffer
	}
	d.again = s.in(againAfterFailure)
	s.memory.Set(k, d)
	if s.options.Redis == nil {
		s.uses.WithLabelValues("registered").Inc()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	err := register.Run(ctx, s.options.Redis, []string{s.texts(tenant), s.order(tenant)},
		string(k.hash[:]), text, s.options.PerTenant, s.options.TTL.Milliseconds()).Err()
	if err != nil {
		s.failed(ctx, err)
		return
	}
	d.again = s.in(againAfterSuccess)
	s.memory.Set(k, d)
	s.uses.WithLabelValues("registered").Inc()
}

// in is a moment from now.
func (s *Store) in(d time.Duration) int64 { return s.options.Clock().Add(d).UnixNano() }

func (s *Store) failed(ctx context.Context, err error) {
	s.uses.WithLabelValues("failed").Inc()
	s.options.Logger.DebugContext(ctx, "automatic persisted queries: Redis does not answer", "error", err)
}

// The braces keep both keys of a tenant on one node of a cluster.
func (s *Store) texts(tenant uuid.UUID) string {
	return s.options.Prefix + "{" + tenant.String() + "}:texts"
}

func (s *Store) order(tenant uuid.UUID) string {
	return s.options.Prefix + "{" + tenant.String() + "}:order"
}
