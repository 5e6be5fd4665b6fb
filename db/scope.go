package db

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// enterSQL is the switch: the first statement of every pipeline and transaction
// that concerns one tenant. Both settings end with the transaction.
const enterSQL = "SELECT set_config('role', $1, true), set_config('app.tenant_id', $2, true)"

// rollbackTimeout bounds the rollback of a transaction whose context has ended.
const rollbackTimeout = 5 * time.Second

// scope runs the generated queries of one store. With a role it enters that
// role and tenant before each statement; without one it is the login itself.
type scope struct {
	pool   *login
	role   string
	tenant string
	err    error // refuses every use: there is no tenant, or no pool
}

func (s *scope) switched() bool { return s.role != "" }

// send queues [switch, statement] as one pipeline with one Sync, which
// PostgreSQL runs as one implicit transaction in one round trip.
func (s *scope) send(ctx context.Context, sql string, args []any) (conn *pgxpool.Conn, results pgx.BatchResults, err error) {
	err = s.switching(ctx, func(c *pgxpool.Conn) error {
		batch := &pgx.Batch{}
		batch.Queue(enterSQL, s.role, s.tenant)
		batch.Queue(variantOn(c.Conn(), s.role).text(sql), args...)
		conn, results = c, c.SendBatch(ctx, batch)
		_, err := results.Exec()
		if err != nil {
			_ = results.Close() // reports the same error
		}
		return err
	})
	return conn, results, translate(err)
}

// switching runs fn, which begins with the switch and does nothing if that fails, on
// a connection, and keeps the connection for the caller unless it fails.
//
// A connection on which it fails is closed: whatever state keeps a login from
// switching would fail every later use in the same way. One that may not switch to
// the role is given one more try with another connection: a backend that reads its
// login's memberships while one is granted may go on without that one.
func (s *scope) switching(ctx context.Context, fn func(*pgxpool.Conn) error) error {
	for again := true; ; again = false {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		if err = fn(conn); err == nil {
			return nil
		}
		_ = conn.Conn().Close(ctx) // the server notices either way
		conn.Release()
		if !again || !refusesRole(err) {
			return err
		}
	}
}

// refusesRole is whether the login may not switch to the role: the answer of the
// check of the setting itself, and of no other check.
func refusesRole(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42501" && pg.Routine == "call_string_check_hook"
}

// Exec implements the generated DBTX.
func (s *scope) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if s.err != nil {
		return pgconn.CommandTag{}, s.err
	}
	if !s.switched() {
		tag, err := s.pool.Exec(ctx, sql, args...)
		return tag, translate(err)
	}
	conn, results, err := s.send(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer conn.Release()
	tag, err := results.Exec()
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return tag, translate(err)
}

// Query implements the generated DBTX.
func (s *scope) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if s.err != nil {
		return nil, s.err
	}
	if !s.switched() {
		r, err := s.pool.Query(ctx, sql, args...)
		if err != nil {
			return nil, translate(err)
		}
		return &rows{Rows: r}, nil
	}
	conn, results, err := s.send(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	r, err := results.Query()
	if err != nil {
		_ = results.Close() // reports the same error
		conn.Release()
		return nil, translate(err)
	}
	return &rows{Rows: r, results: results, conn: conn}, nil
}

// QueryRow implements the generated DBTX.
func (s *scope) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if s.err == nil && s.switched() && s.pool.reads != nil {
		if statement := constantOf(sql); statement.travels {
			return s.pool.reads.queryRow(ctx, &read{role: s.role, tenant: s.tenant, sql: statement, args: args})
		}
	}
	r, err := s.Query(ctx, sql, args...)
	return row{r, err}
}

// rows releases the connection once the batch has ended, and never hands the
// connection itself to a caller.
type rows struct {
	pgx.Rows
	results pgx.BatchResults
	conn    *pgxpool.Conn
	closed  bool
	end     error
}

func (r *rows) Conn() *pgx.Conn { return nil }

func (r *rows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *rows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.Rows.Close()
	if r.results != nil {
		r.end = r.results.Close()
		r.conn.Release()
	}
}

// Err includes what only the end of the implicit transaction tells, as a
// deferred constraint does.
func (r *rows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return translate(err)
	}
	return translate(r.end)
}

type row struct {
	rows pgx.Rows
	err  error
}

func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNotFound
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// tx runs fn in one transaction: begin and the switch travel together, fn's
// queries after them, then commit. An error or a panic of fn rolls back; the
// panic goes on.
func (s *scope) tx(ctx context.Context, fn func(*txScope) error) (err error) {
	if s.err != nil {
		return s.err
	}
	var conn *pgxpool.Conn
	err = s.switching(ctx, func(c *pgxpool.Conn) error {
		conn = c
		batch := &pgx.Batch{}
		batch.Queue("begin")
		if s.switched() {
			batch.Queue(enterSQL, s.role, s.tenant)
		}
		return c.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return translate(err)
	}
	t := &txScope{conn: conn.Conn(), variant: variantOn(conn.Conn(), s.role)}
	committed := false
	defer func() {
		t.done.Store(true)
		if !committed {
			rollback(ctx, conn)
		}
		conn.Release()
	}()
	if err := fn(t); err != nil {
		return err
	}
	tag, err := conn.Exec(ctx, "commit")
	if err != nil {
		return translate(err)
	}
	if tag.String() != "COMMIT" { // a statement failed and fn swallowed its error
		return pgx.ErrTxCommitRollback
	}
	committed = true
	return nil
}

// rollback ends the transaction even when ctx has ended; a connection on which
// that fails is closed, which ends it on the server.
func rollback(ctx context.Context, conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if conn.Conn().IsClosed() {
		return
	}
	if _, err := conn.Exec(ctx, "rollback"); err != nil {
		_ = conn.Conn().Close(ctx) // the pool drops it either way
	}
}

// txScope is what the queries inside a transaction run on. It refuses use
// after the end, when its connection may already serve another tenant.
type txScope struct {
	conn    *pgx.Conn
	variant variant
	done    atomic.Bool
}

func (t *txScope) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if t.done.Load() {
		return pgconn.CommandTag{}, ErrTxDone
	}
	tag, err := t.conn.Exec(ctx, t.variant.text(sql), args...)
	return tag, translate(err)
}

func (t *txScope) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if t.done.Load() {
		return nil, ErrTxDone
	}
	r, err := t.conn.Query(ctx, t.variant.text(sql), args...)
	if err != nil {
		return nil, translate(err)
	}
	return &rows{Rows: r}, nil
}

func (t *txScope) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	r, err := t.Query(ctx, sql, args...)
	return row{r, err}
}
