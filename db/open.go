package db

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Pooler says what stands between this process and PostgreSQL.
type Pooler string

const (
	// PoolerNone is a direct connection.
	PoolerNone Pooler = ""
	// PoolerTransaction is a pooler in transaction mode, as PgBouncer.
	PoolerTransaction Pooler = "transaction"
)

// Config says where the database is and how many connections to keep.
type Config struct {
	// URL names host, port and database; a user or password in it is ignored,
	// because each service and shard has a login of its own.
	URL string
	// Secret derives every login's password. At least 16 bytes.
	Secret []byte
	// Passwords are those of the logins that this process may use, in the
	// secret's place: see Passwords.
	Passwords map[string]string
	// ConnsPerShard bounds the connections of each shard login; 2 by default.
	ConnsPerShard int32
	// ConnsPerService bounds the connections of each service login; 4 by default.
	ConnsPerService int32
	// Pooler names the kind of pooler in between, if any.
	Pooler Pooler
	// Observe is told of the text of each statement, from many goroutines: tests
	// count them with it. Nil tells nobody.
	Observe func(sql string)
	// Trace makes a span of each statement in a request that is traced
	// (OpenTelemetry): it has the statement's name and text, never its arguments.
	Trace bool
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// idlePing is how long a connection may rest before its next use begins with a
// ping, a round trip of its own.
const idlePing = 30 * time.Second

// connectTimeout bounds an attempt to connect where the URL names no
// connect_timeout.
const connectTimeout = 10 * time.Second

// DB holds the connection pools of one process. It is safe for concurrent use.
type DB struct {
	config Config
	base   *pgxpool.Config

	// observed may be nil.
	observed *observer

	mu     sync.Mutex
	pools  map[string]*login
	shards sync.Map // int16 → *login, read on every query
	closed bool
}

// login is what one login's queries run on.
type login struct {
	*pgxpool.Pool
	// reads is nil where nothing may stay prepared: through a pooler.
	reads *pipeline
}

// Open checks the configuration and returns a DB whose pools connect on first
// use. It opens no connection itself; use Hardening or Ping for that.
func Open(config Config) (*DB, error) {
	if len(config.Passwords) > 0 && len(config.Secret) > 0 {
		return nil, errors.New("database: the secret and the logins' own passwords are both given; one is enough")
	}
	if len(config.Passwords) == 0 && len(config.Secret) < 16 {
		return nil, errors.New("database secret: at least 16 bytes are needed")
	}
	base, err := pgxpool.ParseConfig(config.URL)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	if config.ConnsPerShard <= 0 {
		config.ConnsPerShard = 2
	}
	if config.ConnsPerService <= 0 {
		config.ConnsPerService = 4
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	switch config.Pooler {
	case PoolerNone:
	case PoolerTransaction:
		base.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	default:
		return nil, fmt.Errorf("database pooler %q: must be empty or %q", config.Pooler, PoolerTransaction)
	}
	var observed *observer
	if config.Observe != nil || config.Trace {
		observed = &observer{config.Observe}
		base.ConnConfig.Tracer = observed
	}
	if base.ConnConfig.ConnectTimeout == 0 {
		base.ConnConfig.ConnectTimeout = connectTimeout
	}
	base.MinConns = 0
	base.MaxConnIdleTime = 5 * time.Minute
	base.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > idlePing }
	base.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		registerUUID(c.TypeMap())
		if config.Pooler == PoolerNone {
			keepServed(c)
		}
		return nil
	}
	return &DB{config: config, base: base, observed: observed, pools: map[string]*login{}}, nil
}

// Store returns what a service needs for its tenants' data.
func (d *DB) Store(service Service) *Store { return &Store{d, service} }

// PlatformStore returns what auth, tenant administration, the router's token
// check and the relay need. Give it to nobody else.
func (d *DB) PlatformStore(service Service) *PlatformStore { return &PlatformStore{Store{d, service}} }

// Close ends every connection and waits for those in use.
func (d *DB) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, pool := range d.pools {
		pool.Close()
	}
}

// Ping asks PostgreSQL for one answer through the service's login.
func (d *DB) Ping(ctx context.Context, service Service) error {
	pool, err := d.loginPool(string(service))
	if err != nil {
		return err
	}
	return translate(pool.Ping(ctx))
}

// Password derives a login's password: whoever holds the secret can, the
// database keeps only its SCRAM verifier.
func Password(secret []byte, login string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("tradesage database login " + login))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func shardLogin(shard int16) string { return fmt.Sprintf("app_s%02d", shard) }

func (d *DB) shardPool(shard int16) (*login, error) {
	if pool, ok := d.shards.Load(shard); ok {
		return pool.(*login), nil
	}
	pool, err := d.loginPool(shardLogin(shard))
	if err != nil {
		return nil, err
	}
	d.shards.Store(shard, pool)
	return pool, nil
}

func (d *DB) loginPool(name string) (*login, error) {
	if len(name) > 5 && name[:5] == "app_s" {
		return d.pool(name, name, d.config.ConnsPerShard)
	}
	return d.pool(name, name, d.config.ConnsPerService)
}

// pool returns the connections of that name, made on its first use.
func (d *DB) pool(name, user string, conns int32) (*login, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.pools[name]; ok {
		return known, nil
	}
	if d.closed {
		return nil, errors.New("db: closed")
	}
	config := d.base.Copy()
	if err := d.authenticate(config.ConnConfig, user); err != nil {
		return nil, err
	}
	config.MaxConns = conns
	// No connection is opened here: MinConns is 0.
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("login %s: %w", user, err)
	}
	made := &login{Pool: pool}
	if d.config.Pooler == PoolerNone {
		made.reads = newPipeline(pool, int(conns), d.observed)
	}
	d.pools[name] = made
	return made, nil
}

// Passwords are what a process needs that runs these services, and the shards'
// logins where it works in tenants' schemas (shards is 0 otherwise). The owner's
// is never among them.
func Passwords(secret []byte, shards int, of ...Service) map[string]string {
	all := map[string]string{}
	for _, s := range of {
		all[string(s)] = Password(secret, string(s))
	}
	for i := range shards {
		login := shardLogin(int16(i))
		all[login] = Password(secret, login)
	}
	return all
}

// authenticate is the one place that knows how a login proves itself.
func (d *DB) authenticate(c *pgx.ConnConfig, login string) error {
	c.User = login
	if d.config.Passwords == nil {
		c.Password = Password(d.config.Secret, login)
		return nil
	}
	var ok bool
	if c.Password, ok = d.config.Passwords[login]; !ok {
		return fmt.Errorf("login %s: this process was not given its password", login)
	}
	return nil
}
