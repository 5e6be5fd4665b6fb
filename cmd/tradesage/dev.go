package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/internal/backing"
)

// devCommand serves everything on this machine. Its databases, secrets and
// accounts are private to the data folder, and known passwords work here only.
type devCommand struct {
	Listen        string `env:"TRADESAGE_LISTEN" default:"127.0.0.1:8001" help:"Address to serve at."`
	MetricsListen string `env:"TRADESAGE_METRICS_LISTEN" default:"127.0.0.1:9090" help:"Address of /metrics and pprof."`
	Data          string `env:"TRADESAGE_DATA" default:".tradesage" type:"path" help:"Folder of the private databases."`
	Reset         bool   `help:"Remove the data first."`
	LogLevel      string `env:"TRADESAGE_LOG_LEVEL" enum:"debug,info,warn,error" default:"warn" help:"Least level that is logged: debug, info, warn or error."`

	Origins []string `name:"origin" env:"TRADESAGE_ORIGINS" help:"Origins, beside this one's own, whose pages may use the API, as http://localhost:5173."`

	Streams    streamsConfig    `embed:""`
	Memory     memoryConfig     `embed:""`
	Observing  observingConfig  `embed:""`
	Limits     limitsConfig     `embed:""`
	Operations operationsConfig `embed:""`
}

const (
	devShards   = 4
	devBlanks   = 8
	devDatabase = "tradesage"
)

// Run starts, serves until ctx ends, and stops its databases.
func (d devCommand) Run(ctx context.Context, unknown strangerVariables) (err error) {
	out := &steps{w: os.Stdout, began: time.Now()}
	c := config{
		Listen: d.Listen, MetricsListen: d.MetricsListen, LogLevel: d.LogLevel, LogFormat: "text",
		Introspection: introspectionOpen, Blanks: devBlanks, DrainTime: 10 * time.Second, Origins: d.Origins, Observing: d.Observing, Limits: d.Limits, Operations: d.Operations,
		Identity: identityConfig{Audience: "tradesage", AccessTTL: 15 * time.Minute, SessionTTL: 720 * time.Hour},
		Streams:  d.Streams, Memory: d.Memory,
	}
	if err := errors.Join(c.validateOrigins(), c.Streams.validate(), c.Memory.validate(), c.Limits.validate(), c.Operations.validate(), c.Observing.validate()); err != nil {
		return err
	}
	logger := c.logger(os.Stderr)
	unknown.tell(ctx, logger)
	// Take the ports first: a busy one should cost nobody a start of databases.
	listeners, err := listen(c)
	if err != nil {
		return err
	}
	defer listeners.close()

	if d.Reset {
		if err := backing.Reset(ctx, d.Data, out.logger()); err != nil {
			return err
		}
	}
	services, err := backing.Start(ctx, backing.Options{Dir: d.Data, Postgres: true, Redis: true, Logger: out.logger()})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, services.Close())
		fmt.Println("stopped")
	}()
	out.say("PostgreSQL and Redis answer, data in %s", services.Dir())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-services.Done():
			cancel(services.Err())
		case <-ctx.Done():
		}
	}()

	ownerSecret, err := devSecrets(services.Dir(), &c)
	if err != nil {
		return err
	}
	c.RedisURL = services.RedisURL()
	c.Database.URL = services.PostgresURL("nobody", "", devDatabase)
	c.Database.ConnsPerShard, c.Database.ConnsPerService = 4, 4
	if err := c.validate(); err != nil {
		return err
	}
	secret, err := c.Database.secret()
	if err != nil {
		return err
	}
	report, err := db.Migrate(ctx, db.MigrateOptions{
		AdminURL: services.PostgresURL("postgres", services.SuperuserPassword(), devDatabase),
		URL:      c.Database.URL, Secret: secret, OwnerSecret: ownerSecret, Shards: devShards, Logger: logger,
	})
	if err != nil {
		return err
	}
	if len(report.Failures) > 0 {
		return fmt.Errorf("tenant %s: %s", report.Failures[0].Tenant, report.Failures[0].Message)
	}
	out.say("schemas are up to date (%d platform and %d tenant migrations new)", report.Platform, report.Blueprints)

	err = serve(ctx, c, listeners, logger, func(ctx context.Context) (*app, error) {
		return out.build(ctx, c, services.Dir(), logger)
	}, func() { out.welcome(c) })
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// build makes the process and its accounts.
func (s *steps) build(ctx context.Context, c config, dir string, logger *slog.Logger) (*app, error) {
	a, err := build(ctx, c, logger, modeDev)
	if errors.Is(err, auth.ErrSealed) {
		return nil, fmt.Errorf("the keys in the database were sealed with other secrets than those in %s: bring that file back, or start with --reset",
			filepath.Join(dir, secretsName))
	}
	if err != nil {
		return nil, err
	}
	if err := a.seed(ctx); err != nil {
		a.close()
		return nil, fmt.Errorf("seed: %w", err)
	}
	s.say("tenants and accounts are seeded")
	return a, nil
}

// secretsName is the file of the data folder's secrets.
const secretsName = "secrets.json"

// devSecrets reads or makes the folder's secrets, and returns the one that is not
// for serving: the schemas' owner's.
func devSecrets(dir string, c *config) (owner []byte, err error) {
	path := filepath.Join(dir, secretsName)
	var kept struct{ Database, DatabaseOwner, MasterKey string }
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kept.Database, kept.DatabaseOwner, kept.MasterKey = randomKey(), randomKey(), randomKey()
		if text, err = json.Marshal(kept); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(text, &kept); err != nil {
			return nil, fmt.Errorf("%s is damaged; start with --reset: %w", path, err)
		}
	}
	c.Database.Secret, c.Identity.MasterKey = kept.Database, kept.MasterKey
	_, secretErr := c.Database.secret()
	_, keyErr := c.masterKey()
	owner, ownerErr := decodeKey(secretsName, kept.DatabaseOwner, 16)
	if secretErr != nil || keyErr != nil || ownerErr != nil {
		return nil, fmt.Errorf("%s is damaged; start with --reset", path)
	}
	return owner, nil
}

func randomKey() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return base64.StdEncoding.EncodeToString(key[:])
}

// steps tells a person at a terminal how the start goes on.
type steps struct {
	w     io.Writer
	began time.Time
}

func (s *steps) say(format string, args ...any) {
	fmt.Fprintf(s.w, "%6.2fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// logger turns another package's progress into steps.
func (s *steps) logger() *slog.Logger {
	return slog.New(stepHandler{s})
}

type stepHandler struct{ *steps }

func (stepHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (h stepHandler) Handle(_ context.Context, r slog.Record) error {
	h.say("%s", r.Message)
	return nil
}
func (h stepHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h stepHandler) WithGroup(string) slog.Handler      { return h }

// welcome ends the start with what one needs next.
func (s *steps) welcome(c config) {
	s.say("ready")
	base := c.PublicURL
	fmt.Fprintf(s.w, `
  GraphQL   %[1]s/graphql          SDL      %[1]s/schema.graphql
  Try it    %[1]s/playground       Mail     %[1]s/dev/mail
  Ready?    %[1]s/readyz           Metrics  http://%[2]s/metrics

  Accounts, all with the password %[3]s:
%[4]s
  Sign in, and read who you are:

  TOKEN=$(curl -s %[1]s/graphql -H 'Content-Type: application/json' -d '{"query":"mutation { login(input: {email: \"owner@acme.test\", password: \"%[3]s\"}) { accessToken } }"}' | sed 's/.*"accessToken":"\([^"]*\)".*/\1/')
  curl -s %[1]s/graphql -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"query":"{ me { id email tenant { id name } sessions(first: 5) { edges { node { id device { name } current lastSeenAt } } } } }"}'

  Ctrl-C stops everything.
`, base, c.MetricsListen, seedPassword, accountList())
}

func accountList() string {
	var b strings.Builder
	for _, account := range seedAccounts {
		fmt.Fprintf(&b, "    %-24s %s of %s\n", account.email, account.role, account.tenant)
	}
	return b.String()
}

// sockets are the listeners of one process.
type sockets struct {
	public   net.Listener // where the router is served
	metrics  net.Listener
	services map[string]net.Listener
}

// addresses are where the process answers, by service, for the log.
func (s sockets) addresses() map[string]string {
	at := map[string]string{"metrics": s.metrics.Addr().String()}
	if s.public != nil {
		at[serviceRouter] = s.public.Addr().String()
	}
	for service, l := range s.services {
		at[service] = l.Addr().String()
	}
	return at
}

func (s sockets) close() {
	for _, l := range append(slices.Collect(maps.Values(s.services)), s.public, s.metrics) {
		if l != nil { // it was opened
			_ = l.Close() // closed already after serving
		}
	}
}

// listen opens the process's listeners, or says which address is taken.
func listen(c config) (_ sockets, err error) {
	s := sockets{services: map[string]net.Listener{}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	open := func(address, flag string) (net.Listener, error) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("cannot listen at %s (choose another with --%s): %w", address, flag, err)
		}
		return l, nil
	}
	if c.Parts.serves(serviceRouter) {
		if s.public, err = open(c.Listen, "listen"); err != nil {
			return s, err
		}
	}
	for _, service := range c.Parts.apart() {
		if s.services[service], err = open(c.Parts.listen(service), service+"-listen"); err != nil {
			return s, err
		}
	}
	if s.metrics, err = open(c.MetricsListen, "metrics-listen"); err != nil {
		return s, err
	}
	return s, nil
}
