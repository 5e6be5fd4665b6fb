package db

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A pipeline carries tenants' reads of one row over the connections of one login.
// Reads that wait for a connection at the same time travel together, which spares
// both sides most of the system calls: [switch, statement, Sync] of one, then of the
// next. Each Sync ends a transaction, so each read has a role and a transaction of
// its own, and its errors are its own. Only reads travel: the switch makes their
// transactions read-only, so nothing is done twice when one is sent again.
type pipeline struct {
	pool *pgxpool.Pool
	// traced may be nil.
	traced *observer

	mu sync.Mutex
	// waiting are the reads that no connection has taken, oldest first.
	waiting []*read
	// carriers are the goroutines that carry reads, one connection each, at most as
	// many as the pool has connections. Those that had one at last are able.
	carriers, able, conns int
}

// maxTogether bounds the reads of one journey: the first waits for none of them, the
// last for all.
const maxTogether = 16

// enterReadSQL is enterSQL for a transaction that may change nothing.
const enterReadSQL = "SELECT set_config('role', $1, true), set_config('app.tenant_id', $2, true), set_config('transaction_read_only', 'on', true)"

func newPipeline(pool *pgxpool.Pool, conns int, traced *observer) *pipeline {
	return &pipeline{pool: pool, traced: traced, conns: conns}
}

// read is one statement on its way, and then its result. It implements pgx.Row.
type read struct {
	role, tenant string
	sql          *constant
	args         []any
	// again is set on the second try, renewed once its statement was prepared anew.
	again, renewed bool

	// Of the pipeline, under its lock: the journey that has the read, nil while it
	// waits, and whether its caller has left.
	journey *journey
	left    bool

	// over is set by the first of its end and its caller's leaving.
	over atomic.Bool
	// done is closed when what follows is set.
	done   chan struct{}
	fields []pgconn.FieldDescription
	row    [][]byte // nil without one
	err    error
}

// journey is one use of a connection. It is cut short when nobody waits for it.
type journey struct {
	cancel context.CancelFunc
	// awaited are the reads that have neither ended nor lost their callers.
	awaited atomic.Int32
}

// queryRow sends a read and waits for its end, or for that of ctx.
func (p *pipeline) queryRow(ctx context.Context, r *read) pgx.Row {
	if p.traced != nil {
		ctx = p.traced.begin(ctx, r.sql.texts[0], 2)
		p.traced.tell(r.sql.texts[0])
	}
	row := p.await(ctx, r)
	if p.traced != nil {
		p.traced.end(ctx, row.err)
	}
	return row
}

// await returns r, or another read with ctx's error: r is its journey's until then.
func (p *pipeline) await(ctx context.Context, r *read) *read {
	if err := ctx.Err(); err != nil {
		return &read{err: err}
	}
	r.done = make(chan struct{})
	p.mu.Lock()
	p.waiting = append(p.waiting, r)
	more := p.carriers < p.conns
	if more {
		p.carriers++
	}
	p.mu.Unlock()
	if more {
		go p.carry() //nolint:gosec // it carries the reads of others too
	}
	select {
	case <-r.done:
		return r
	case <-ctx.Done():
		p.leave(r)
		return &read{err: ctx.Err()}
	}
}

func (p *pipeline) leave(r *read) {
	p.mu.Lock()
	r.left = true
	journey := r.journey
	if journey == nil {
		p.waiting = slices.DeleteFunc(p.waiting, func(w *read) bool { return w == r })
	}
	p.mu.Unlock()
	if journey != nil && r.over.CompareAndSwap(false, true) && journey.awaited.Add(-1) == 0 {
		journey.cancel()
	}
}

// carry carries reads until none waits. It gives its connection back after each
// journey: transactions wait for one too, and the pool serves in turn.
func (p *pipeline) carry() {
	able := false
	for p.wanted(able) {
		conn, err := p.pool.Acquire(context.Background()) // ends with a connection, the pool, or the failure to connect
		if err != nil {
			if p.leaveToOthers(able) {
				return
			}
			able = false
			p.refuse(err)
			continue
		}
		if !able {
			able = true
			p.enable()
		}
		p.travel(conn)
	}
}

func (p *pipeline) enable() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.able++
}

// leaveToOthers ends a carrier that got no connection, if another one has what waits
// to carry and had one.
func (p *pipeline) leaveToOthers(able bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if able {
		p.able--
	}
	if p.able == 0 {
		return false
	}
	p.carriers--
	return true
}

// refuse ends every read that waits: each waits for the same.
func (p *pipeline) refuse(err error) {
	p.mu.Lock()
	waiting := p.waiting
	p.waiting = nil
	for _, r := range waiting {
		r.journey = &journey{cancel: func() {}}
	}
	p.mu.Unlock()
	for _, r := range waiting {
		r.end(err)
	}
}

// wanted is whether a read waits; the carrier that asks has ended if none does.
func (p *pipeline) wanted(able bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		return true
	}
	p.carriers--
	if able {
		p.able--
	}
	return false
}

// take removes the next reads from those that wait: the connections' even share of
// them, within maxTogether.
func (p *pipeline) take(on *journey) []*read {
	p.mu.Lock()
	defer p.mu.Unlock()
	share := min((len(p.waiting)+p.conns-1)/p.conns, maxTogether)
	taken := slices.Clone(p.waiting[:share])
	p.waiting = slices.Delete(p.waiting, 0, share)
	for _, r := range taken {
		r.journey = on
	}
	on.awaited.Store(int32(share))
	return taken
}

// putBack lets reads go first on another connection.
func (p *pipeline) putBack(reads []*read) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var back []*read
	for _, r := range reads {
		if r.journey = nil; !r.left {
			back = append(back, r)
		}
	}
	p.waiting = append(back, p.waiting...)
}

// travel takes reads, sends them on a connection, and releases it, or closes it if
// it is not to be used again.
func (p *pipeline) travel(conn *pgxpool.Conn) {
	defer conn.Release()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	j := &journey{cancel: cancel}
	reads := p.take(j)
	if len(reads) == 0 {
		return
	}
	unread, sound := exchange(ctx, conn.Conn(), reads)
	if !sound {
		_ = conn.Conn().Close(ctx) // the server notices either way
	}
	if len(unread) > 0 {
		p.putBack(unread)
	}
	if !sound && ctx.Err() != nil {
		stop(conn.Conn().PgConn())
	}
}

// stopEvery is how often PostgreSQL is asked to give up a statement of a journey that
// was cut short.
const stopEvery = 50 * time.Millisecond

// stop waits until PostgreSQL has given up what it has of a journey that was cut short.
// pgconn asks it once, which ends one statement: the next of the pipeline would begin,
// and the connection's place in the pool is free only when all have ended.
func stop(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	tick := time.NewTicker(stopEvery)
	defer tick.Stop()
	for {
		select {
		case <-conn.CleanupDone():
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = conn.CancelRequest(ctx) // the next tick tries again
		}
	}
}

// end gives a read its result, for the caller that waits.
func (r *read) end(err error) {
	if r.over.CompareAndSwap(false, true) {
		r.journey.awaited.Add(-1)
	}
	r.err = translate(err)
	close(r.done)
}

// scanTypes are *pgtype.Map, which one goroutine at a time uses.
var scanTypes = sync.Pool{New: func() any {
	types := pgtype.NewMap()
	registerUUID(types)
	return types
}}

// Scan implements pgx.Row.
func (r *read) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	if r.row == nil {
		return ErrNotFound
	}
	types := scanTypes.Get().(*pgtype.Map)
	defer scanTypes.Put(types)
	return pgx.ScanRow(types, r.fields, r.row, dest...)
}
