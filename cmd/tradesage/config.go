package main

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/origin"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// databaseConfig says where PostgreSQL is and how its logins prove themselves.
type databaseConfig struct {
	URL             string    `name:"database-url" env:"TRADESAGE_DATABASE_URL,DATABASE_URL" help:"PostgreSQL: host, port and database. User and password are ignored, each service has a login of its own."`
	Secret          string    `name:"database-secret" env:"TRADESAGE_DATABASE_SECRET" help:"Derives the logins' passwords: base64 of at least 16 bytes."`
	CredentialsFile string    `name:"database-credentials-file" env:"TRADESAGE_DATABASE_CREDENTIALS_FILE" help:"File that tradesage credentials wrote: this process's logins and keys, in place of TRADESAGE_DATABASE_SECRET and TRADESAGE_MASTER_KEY. Not readable by others."`
	ConnsPerShard   int32     `name:"database-conns-per-shard" env:"TRADESAGE_DATABASE_CONNS_PER_SHARD" default:"2" help:"Most connections of each shard login."`
	ConnsPerService int32     `name:"database-conns-per-service" env:"TRADESAGE_DATABASE_CONNS_PER_SERVICE" default:"4" help:"Most connections of each service login."`
	Pooler          db.Pooler `name:"database-pooler" env:"TRADESAGE_DATABASE_POOLER" enum:",transaction" default:"" help:"Set to transaction behind PgBouncer in transaction mode."`

	// traced is whether statements are part of traces.
	traced bool
}

// secret decodes the secret and says which setting is wrong.
func (c databaseConfig) secret() ([]byte, error) {
	return decodeKey("TRADESAGE_DATABASE_SECRET", c.Secret, 16)
}

func (c databaseConfig) open(logger *slog.Logger) (*db.DB, error) {
	if c.URL == "" {
		return nil, errors.New("TRADESAGE_DATABASE_URL: must be set, as postgres://host:5432/tradesage")
	}
	options := db.Config{
		URL: c.URL, Pooler: c.Pooler, Logger: logger,
		ConnsPerShard: c.ConnsPerShard, ConnsPerService: c.ConnsPerService, Trace: c.traced,
	}
	if c.CredentialsFile != "" {
		given, err := c.credentials()
		if err != nil {
			return nil, err
		}
		options.Passwords = given.Logins
		return db.Open(options)
	}
	var err error
	if options.Secret, err = c.secret(); err != nil {
		return nil, err
	}
	return db.Open(options)
}

// identityConfig concerns sign-in and tokens.
type identityConfig struct {
	MasterKey  string        `name:"master-key" env:"TRADESAGE_MASTER_KEY" help:"Encrypts the token keys at rest: base64 of 32 bytes. It is kept out of the database and its backups."`
	Issuer     string        `name:"issuer" env:"TRADESAGE_ISSUER" help:"Issuer (iss) of access tokens; the public URL if empty."`
	Audience   string        `name:"audience" env:"TRADESAGE_AUDIENCE" default:"tradesage" help:"Audience (aud) of access tokens."`
	AccessTTL  time.Duration `name:"access-token-ttl" env:"TRADESAGE_ACCESS_TOKEN_TTL" default:"5m" help:"Life of an access token, 1m to 1h."`
	SessionTTL time.Duration `name:"session-ttl" env:"TRADESAGE_SESSION_TTL" default:"720h" help:"Life of a session, 1h to 8760h."`
}

// mailConfig says how mail leaves.
type mailConfig struct {
	Host      string `name:"smtp-host" env:"TRADESAGE_SMTP_HOST" help:"SMTP server; without one mail waits."`
	Port      int    `name:"smtp-port" env:"TRADESAGE_SMTP_PORT" default:"587" help:"SMTP port."`
	User      string `name:"smtp-user" env:"TRADESAGE_SMTP_USER" help:"SMTP user."`
	Password  string `name:"smtp-password" env:"TRADESAGE_SMTP_PASSWORD" help:"SMTP password."`
	Plaintext bool   `name:"smtp-plaintext" env:"TRADESAGE_SMTP_PLAINTEXT" help:"Send without TLS, to a server on the same machine."`
	CA        string `name:"smtp-ca" env:"TRADESAGE_SMTP_CA" type:"path" help:"PEM file with the certificates that the SMTP server's may be signed by; the system's if empty."`
	From      string `name:"mail-from" env:"TRADESAGE_MAIL_FROM" default:"TradeSage <no-reply@localhost>" help:"Sender of mail."`
}

// roots reads the certificates that the mail server's may be signed by; nil means
// the system's.
func (c mailConfig) roots() (*x509.CertPool, error) {
	if c.CA == "" {
		return nil, nil //nolint:nilnil // nil is the system's, as in crypto/tls
	}
	text, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("TRADESAGE_SMTP_CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("TRADESAGE_SMTP_CA: %s holds no certificate in PEM", c.CA)
	}
	return roots, nil
}

// config is everything that a serving process can be told; docs/configuration.md
// is written from it.
type config struct {
	Listen          string        `env:"TRADESAGE_LISTEN" default:"127.0.0.1:8001" help:"Address of the public listener, the router's."`
	MetricsListen   string        `env:"TRADESAGE_METRICS_LISTEN" help:"Address of /metrics and pprof: never a public one. If empty 127.0.0.1:9090, or where no router is served 9091 (auth), 9092 (session), 9093 (tenant), 9094 (user)."`
	PublicURL       string        `env:"TRADESAGE_PUBLIC_URL" help:"URL under which people reach this, for links in mail; http:// (https:// with a certificate) and the listener's address if empty."`
	RedisURL        string        `env:"TRADESAGE_REDIS_URL,REDIS_URL" help:"Redis for live sessions, as redis://host:6379/0."`
	LogLevel        string        `env:"TRADESAGE_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"Least level that is logged: debug, info, warn or error."`
	LogFormat       string        `env:"TRADESAGE_LOG_FORMAT" enum:"json,text" default:"json" help:"json or text."`
	Introspection   string        `env:"TRADESAGE_INTROSPECTION" enum:"off,scope,open,false,true" default:"scope" help:"Who may introspect and read /schema.graphql: off for nobody, scope for who holds the permission schema:read, open for everybody; false is off and true is open. The playground is served unless it is off."`
	Blanks          int           `env:"TRADESAGE_BLANKS" default:"50" help:"Ready-made tenants kept in stock, 0 to 1000."`
	Origins         []string      `name:"origin" env:"TRADESAGE_ORIGINS" help:"Origins, beside this one's own, whose pages may use the API (CORS, WebSocket), as https://console.example or *.example; a host alone stands for pages of any scheme."`
	AllowUnhardened bool          `env:"TRADESAGE_ALLOW_UNHARDENED" help:"Serve even though the database lacks protections. Each is named in the log and in /readyz."`
	StartWait       time.Duration `env:"TRADESAGE_START_WAIT" default:"1m" help:"How long to wait at the start for what is not there yet, as the database or its schema. Meanwhile /readyz names it."`
	DrainDelay      time.Duration `env:"TRADESAGE_DRAIN_DELAY" default:"5s" help:"How long, after a signal to end, requests are still taken while /readyz answers 503 already, 0s to 5m: longer than a load balancer takes to notice. A second signal ends at once."`
	DrainTime       time.Duration `env:"TRADESAGE_DRAIN_TIME" default:"10s" help:"How long requests that are under way may go on after that."`

	Parts      servicesConfig   `embed:""`
	Upstream   upstreamConfig   `embed:""`
	Supergraph supergraphConfig `embed:""`
	Streams    streamsConfig    `embed:""`
	Memory     memoryConfig     `embed:""`
	TLS        tlsConfig        `embed:""`
	Database   databaseConfig   `embed:""`
	Identity   identityConfig   `embed:""`
	Mail       mailConfig       `embed:""`
	Limits     limitsConfig     `embed:""`
	Operations operationsConfig `embed:""`

	Observing observingConfig `embed:""`
}

// validate checks what the flags' own types do not, names the bad value and
// fills in what follows from others.
func (c *config) validate() error {
	c.Parts.foreign = c.Supergraph.given()
	if err := errors.Join(c.Parts.validate(), c.TLS.validate(), c.Limits.validate(), c.Operations.validate(), c.Streams.validate(), c.Memory.validate(), c.Observing.validate(), c.validateOrigins()); err != nil {
		return err
	}
	if err := c.Supergraph.validate(c.Parts); err != nil {
		return err
	}
	if remote := c.Parts.remote(); len(remote) > 0 {
		if err := c.Upstream.knows(remote); err != nil {
			return err
		}
	}
	if len(c.Parts.remote()) > 0 || c.Supergraph.given() {
		if err := c.Upstream.validate(); err != nil {
			return err
		}
	}
	if c.MetricsListen == "" {
		c.MetricsListen = c.Parts.metricsListen()
	}
	if c.PublicURL == "" {
		scheme := "http://"
		if c.TLS.enabled() {
			scheme = "https://"
		}
		c.PublicURL = scheme + c.Listen
	}
	if err := c.validatePublicURL(); err != nil {
		return err
	}
	if c.Identity.Issuer == "" {
		c.Identity.Issuer = c.PublicURL
	}
	if c.RedisURL == "" && !c.Supergraph.PublicOnly {
		return errors.New("TRADESAGE_REDIS_URL: must be set, as redis://host:6379/0")
	}
	if c.Blanks < 0 || c.Blanks > 1000 {
		return fmt.Errorf("TRADESAGE_BLANKS: %d is not between 0 and 1000", c.Blanks)
	}
	if t := c.DrainDelay; t < 0 || t > 5*time.Minute {
		return fmt.Errorf("TRADESAGE_DRAIN_DELAY: %s is not between 0s and 5m", t)
	}
	if t := c.Identity.AccessTTL; t < time.Minute || t > time.Hour {
		return fmt.Errorf("TRADESAGE_ACCESS_TOKEN_TTL: %s is not between 1m and 1h", t)
	}
	if t := c.Identity.SessionTTL; t < time.Hour || t > 8760*time.Hour {
		return fmt.Errorf("TRADESAGE_SESSION_TTL: %s is not between 1h and 8760h", t)
	}
	return nil
}

func (c *config) validateOrigins() error {
	if err := origin.Allowed(c.Origins).Validate(); err != nil {
		return fmt.Errorf("TRADESAGE_ORIGINS: %w", err)
	}
	return nil
}

func (c *config) validatePublicURL() error {
	if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("TRADESAGE_PUBLIC_URL: %q is not an http or https URL", c.PublicURL)
	}
	return nil
}

// checkKeys says which secret is missing or wrong before anything is opened.
func (c *config) checkKeys() error {
	if _, err := c.keyOpener(); err != nil {
		return err
	}
	if c.Parts.serves("auth") {
		if _, err := c.masterKey(); err != nil {
			return err
		}
	}
	if c.Parts.serves("auth") || c.Parts.serves("tenant") || c.Parts.serves("user") {
		_, err := c.keyOf(invitationKeyName)
		return err
	}
	return nil
}

// masterKey decodes the key that encrypts token keys at rest.
func (c *config) masterKey() ([]byte, error) {
	if c.Identity.MasterKey == "" && c.Database.CredentialsFile != "" {
		return c.Database.key(masterKeyName)
	}
	key, err := decodeKey("TRADESAGE_MASTER_KEY", c.Identity.MasterKey, 32)
	if err == nil && len(key) != 32 {
		return nil, fmt.Errorf("TRADESAGE_MASTER_KEY: must be 32 bytes, is %d", len(key))
	}
	return key, err
}

// logger writes to w with the request's and the caller's ids.
func (c *config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // one of the enum's
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if c.LogFormat == "text" {
		handler = slog.NewTextHandler(w, options)
	}
	return slog.New(telemetry.NewHandler(handler))
}

func decodeKey(name, value string, least int) ([]byte, error) {
	if value == "" {
		return nil, fmt.Errorf("%s: must be set to base64 of %d random bytes", name, max(least, 32))
	}
	key, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("%s: not base64", name)
	}
	if len(key) < least {
		return nil, fmt.Errorf("%s: %d bytes, at least %d are needed", name, len(key), least)
	}
	return key, nil
}
