package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/internal/tenant"
)

const (
	defaultSessionLifetime = 30 * 24 * time.Hour
	// keepRevocations is for processes that are slow to poll.
	keepRevocations = time.Hour
)

// Auth signs people in and out.
type Auth struct {
	store           *db.PlatformStore
	sealer          *Sealer
	issuer          *Issuer
	passwords       *Passwords
	revocations     *session.Revocations
	found           func(context.Context, tenant.Founding) error
	publicURL       string
	sessionLifetime time.Duration
	clock           func() time.Time
	logger          *slog.Logger
}

// Options are what New needs.
type Options struct {
	// Store is of the service svc_auth.
	Store       *db.PlatformStore
	Sealer      *Sealer
	Issuer      *Issuer
	Passwords   *Passwords
	Revocations *session.Revocations
	// Found makes the tenant of a registration: tenant.Tenants.Found. Without it
	// they are left to the outbox.
	Found func(context.Context, tenant.Founding) error
	// PublicURL is where people reach the console, for links in mails;
	// http://localhost if empty.
	PublicURL string
	// SessionLifetime is how long a session lives without a new sign-in; 30 days
	// if zero, at least an access token's lifetime.
	SessionLifetime time.Duration
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// New returns the service of sign-in.
func New(o Options) (*Auth, error) {
	if o.SessionLifetime == 0 {
		o.SessionLifetime = defaultSessionLifetime
	}
	if o.SessionLifetime < o.Issuer.Lifetime() {
		return nil, errors.New("auth: a session must live at least as long as an access token")
	}
	if o.PublicURL == "" {
		o.PublicURL = "http://localhost"
	}
	if o.Found == nil {
		o.Found = func(context.Context, tenant.Founding) error { return errors.New("tenants are made elsewhere") }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Auth{
		store: o.Store, sealer: o.Sealer, issuer: o.Issuer, passwords: o.Passwords, revocations: o.Revocations,
		found: o.Found, publicURL: strings.TrimSuffix(o.PublicURL, "/"),
		sessionLifetime: o.SessionLifetime, clock: o.Clock, logger: o.Logger,
	}, nil
}

// Housekeep deletes what no longer matters: expired revocations, refresh tokens
// and login tickets. It may run at once with another.
func (a *Auth) Housekeep(ctx context.Context) error {
	q, now := a.store.Platform(), a.clock()
	var failed []error
	for _, table := range []struct {
		name   string
		delete func() (int64, error)
	}{
		{"revocations", func() (int64, error) { return q.DeleteRevocations(ctx, now.Add(-keepRevocations)) }},
		{"refresh tokens", func() (int64, error) { return q.DeleteRefreshTokens(ctx, now, now.Add(-keepUsed)) }},
		{"challenges", func() (int64, error) { return q.DeleteChallenges(ctx, now) }},
		{"login tickets", func() (int64, error) { return q.DeleteLoginTickets(ctx, now) }},
	} {
		n, err := table.delete()
		if err != nil {
			failed = append(failed, fmt.Errorf("delete %s: %w", table.name, err))
		} else if n > 0 {
			a.logger.InfoContext(ctx, "expired rows deleted", "what", table.name, "rows", n)
		}
	}
	return errors.Join(failed...)
}

// newID makes a UUIDv7 of the given time; those of one moment still differ and
// sort as they were made.
func newID(now time.Time) (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, err
	}
	ms := now.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id, nil
}
