package db

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrNoTenant is the answer to every query through a zero Tenant.
	ErrNoTenant = errors.New("db: no tenant")
	// ErrNotFound says that a query for one row found none.
	ErrNotFound = errors.New("db: no such row")
	// ErrTxDone says that queries were used after their transaction had ended.
	ErrTxDone = errors.New("db: the transaction has ended")
)

// Violates reports whether err is the violation of the named constraint:
// unique, check, foreign key or exclusion.
func Violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && strings.HasPrefix(pg.Code, "23") && pg.ConstraintName == constraint
}

// unavailableError marks an error as PostgreSQL being out of reach, full or
// shutting down: trying again later may help.
type unavailableError struct{ err error }

func (e *unavailableError) Error() string   { return "db: unavailable: " + oneLine(e.err) }
func (e *unavailableError) Unwrap() error   { return e.err }
func (*unavailableError) Unavailable() bool { return true }

// connectError is pgx's account of a failed connection in one line: pgx gives a
// line for each address and each way of encryption that it tried.
type connectError struct {
	login string
	err   *pgconn.ConnectError
}

func (e *connectError) Unwrap() error { return e.err }

func (e *connectError) Error() string {
	var pg *pgconn.PgError
	if !errors.As(e.err, &pg) {
		lines := strings.Split(strings.TrimSpace(e.err.Error()), "\n")
		return "cannot connect as " + e.login + ": " + strings.TrimSpace(lines[len(lines)-1])
	}
	text := "PostgreSQL refuses " + e.login + ": " + pg.Message
	switch pg.Code {
	case "28P01": // invalid_password, which an unknown login gives too
		text += " (this login gets its password from tradesage migrate: is the secret the same?)"
	case "3D000": // invalid_catalog_name
		text += " (tradesage migrate with an administrator's URL makes it)"
	}
	return text
}

// explainConnect makes the failure of a connection readable.
func explainConnect(err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return &connectError{connect.Config.User, connect}
	}
	return err
}

func oneLine(err error) string { return explainConnect(err).Error() }

// translate turns pgx's errors into this package's sentinels, keeping the
// original in the chain for the log.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotFound
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// 08 connection, 53 out of resources, 57P administrator shut it down.
		if strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P") {
			return &unavailableError{err}
		}
		return explainConnect(err)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return &unavailableError{err}
	}
	return err
}
