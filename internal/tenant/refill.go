package tenant

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
)

// DefaultBlanks is how many blanks are kept ready outside development.
const DefaultBlanks = 50

// refillEvery is how often the blanks are counted when no claim has woken the
// refiller.
const refillEvery = 30 * time.Second

// Refiller keeps blanks ready, so that creating a tenant is one short update.
// Each process that creates tenants may run one; they take turns.
type Refiller struct {
	store  *db.PlatformStore
	target int64
	logger *slog.Logger
	wake   chan struct{}
	blanks atomic.Int64
}

// NewRefiller returns a refiller that keeps target blanks.
func NewRefiller(store *db.PlatformStore, target int, logger *slog.Logger) *Refiller {
	return &Refiller{store: store, target: int64(target), logger: logger, wake: make(chan struct{}, 1)}
}

// Wake makes Run look at once.
func (r *Refiller) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Blanks returns how many blanks there were when they were last counted.
func (r *Refiller) Blanks() int64 { return r.blanks.Load() }

// Run refills until ctx ends.
func (r *Refiller) Run(ctx context.Context) error {
	tick := time.NewTicker(refillEvery)
	defer tick.Stop()
	for {
		made, err := r.Refill(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.logger.ErrorContext(ctx, "blanks not refilled", "blanks", r.Blanks(), "error", err)
		case made > 0:
			r.logger.InfoContext(ctx, "blanks refilled", "made", made, "blanks", r.Blanks())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// Refill makes blanks until there are as many as wanted, and returns how many it
// made. It stops without an error when another process is at it.
func (r *Refiller) Refill(ctx context.Context) (int, error) {
	for made := 0; ; made++ {
		if err := ctx.Err(); err != nil {
			return made, err
		}
		more, err := r.refillOne(ctx)
		if err != nil || !more {
			return made, err
		}
	}
}

// refillOne makes one blank in one short transaction. The count is taken under
// the lock: two processes never make more than is wanted.
func (r *Refiller) refillOne(ctx context.Context) (more bool, err error) {
	err = r.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		locked, err := q.TryRefillLock(ctx)
		if err != nil || !locked {
			return err
		}
		blanks, err := q.CountBlanks(ctx)
		if err != nil {
			return err
		}
		r.blanks.Store(blanks)
		if blanks >= r.target {
			return nil
		}
		if err := newBlank(ctx, q); err != nil {
			return err
		}
		r.blanks.Store(blanks + 1)
		more = true
		return nil
	})
	return more, err
}

// newBlank makes one ready tenant that is nobody's yet. UNAVAILABLE if every
// shard is full.
func newBlank(ctx context.Context, q *platformdb.Queries) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	schema := "tenant_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:]))
	if err := q.NewBlank(ctx, id, schema); err != nil {
		return fmt.Errorf("new blank: %w", err)
	}
	return nil
}
