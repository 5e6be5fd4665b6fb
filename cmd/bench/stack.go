package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/backing"
)

// stack is a PostgreSQL and a Redis of this run, which lose nothing in a crash,
// the seeded tenants in them, and the built program that serves them.
type stack struct {
	options  options
	dir      string
	services *backing.Services
	// secret and master are random keys, as base64.
	secret, master string
	// shards are how many logins share the tenants.
	shards int
	seeded seeded
	server *server
}

const (
	database = "tradesage"
	// stackShards is what migrate makes if it is told nothing.
	stackShards = 16
)

// openStack starts the databases, migrates, seeds and builds; the server starts
// with the first benchmark that asks for it.
func openStack(ctx context.Context, o options) (_ *stack, err error) {
	s := &stack{options: o, secret: randomKey(), master: randomKey(), shards: stackShards}
	if slices.Contains(o.names, scaleName) {
		s.shards = scaleShards
	}
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "tradesage-bench-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(s.dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's user goes through it
		return nil, err
	}
	if err := buildProgram(ctx, s.program()); err != nil {
		return nil, err
	}
	if s.services, err = backing.Start(ctx, backing.Options{Dir: filepath.Join(s.dir, "data"), Postgres: true, Redis: true}); err != nil {
		return nil, err
	}
	if _, err := s.migrate(ctx, db.MigrateOptions{}); err != nil {
		return nil, err
	}
	s.seeded, err = s.seed(ctx)
	return s, err
}

// buildProgram builds tradesage.
func buildProgram(ctx context.Context, to string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", to, "./cmd/tradesage") //nolint:gosec // our own program
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build of tradesage, from the repository's root: %w", err)
	}
	return nil
}

func (s *stack) program() string { return filepath.Join(s.dir, "tradesage") }

func (s *stack) databaseURL() string { return s.services.PostgresURL("nobody", "", database) }

func (s *stack) databaseSecret() []byte {
	secret, _ := base64.StdEncoding.DecodeString(s.secret) // made by randomKey
	return secret
}

// migrate runs the migrations; o may replace the sets.
func (s *stack) migrate(ctx context.Context, o db.MigrateOptions) (db.MigrateReport, error) {
	o.URL, o.Secret, o.Shards, o.Logger = s.databaseURL(), s.databaseSecret(), s.shards, slog.New(slog.DiscardHandler)
	o.OwnerSecret = append([]byte("owner "), o.Secret...)
	if s.seeded.tenants == nil {
		o.AdminURL = s.services.PostgresURL("postgres", s.services.SuperuserPassword(), database)
	}
	report, err := db.Migrate(ctx, o)
	if err == nil && len(report.Failures) > 0 {
		err = fmt.Errorf("tenant %s: %s", report.Failures[0].Tenant, report.Failures[0].Message)
	}
	return report, err
}

func (s *stack) close() error {
	err := s.stopServer()
	if s.services != nil {
		_ = s.services.Close() // by force if they take long: their data go anyway
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func randomKey() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return base64.StdEncoding.EncodeToString(key[:])
}

// server is the built program as it is deployed: tradesage serve, configured by
// its environment, in a process of its own.
type server struct {
	*process
	// operations is where its metrics and profiles are.
	operations string
}

// startServer starts the program with the settings added to those of every run.
func (s *stack) startServer(ctx context.Context, settings ...string) error {
	if err := s.stopServer(); err != nil {
		return err
	}
	public, err := freeAddress()
	if err != nil {
		return err
	}
	operations, err := freeAddress()
	if err != nil {
		return err
	}
	settings = append([]string{
		"TRADESAGE_LISTEN=" + public, "TRADESAGE_METRICS_LISTEN=" + operations,
		"TRADESAGE_DATABASE_URL=" + s.databaseURL(), "TRADESAGE_DATABASE_SECRET=" + s.secret,
		"TRADESAGE_MASTER_KEY=" + s.master, "TRADESAGE_REDIS_URL=" + s.services.RedisURL(),
		// The limits are in the way that is measured, and wide enough not to be met.
		"TRADESAGE_RATE_IP=100000000/1m", "TRADESAGE_RATE_SOCKETS=100000000/1m", "TRADESAGE_RATE_USER=100000000/1m",
		"TRADESAGE_RATE_TENANT=100000000/1m", "TRADESAGE_RATE_USER_COST=1000000000/1m", "TRADESAGE_RATE_TENANT_COST=1000000000/1m",
		"TRADESAGE_RATE_SECRETS=off", "TRADESAGE_RATE_LOGIN=off",
		"TRADESAGE_ACCESS_TOKEN_TTL=1h", "TRADESAGE_BLANKS=0", "TRADESAGE_LOG_LEVEL=warn",
	}, settings...)
	ready := []byte("GET /readyz HTTP/1.1\r\nHost: " + public + "\r\n\r\n")
	started, err := startProcess(ctx, exec.Command(s.program(), "serve"), public, filepath.Join(s.dir, "serve.log"), ready, settings...) //nolint:gosec // our own program
	if err != nil {
		return err
	}
	s.server = &server{process: started, operations: operations}
	return nil
}

// stopServer ends the program in an orderly way.
func (s *stack) stopServer() error {
	if s.server == nil {
		return nil
	}
	defer func() { s.server = nil }()
	return s.server.close()
}

// usage is the CPU time of the processes that take part.
type usage struct{ server, postgres, generator time.Duration }

func (u usage) minus(v usage) usage {
	return usage{u.server - v.server, u.postgres - v.postgres, u.generator - v.generator}
}

// note tells what a request cost whom, and how many requests a second that would
// be if nothing else ran on these cores.
func (u usage) note(count, cores int) string {
	if count == 0 {
		return ""
	}
	all := u.server + u.postgres + u.generator
	each := func(d time.Duration) float64 { return micros(d) / float64(count) }
	return fmt.Sprintf("CPU a request: server %.0f µs, PostgreSQL %.0f µs, generator %.0f µs: %d cores of their own would do %.0f/s",
		each(u.server), each(u.postgres), each(u.generator), cores, float64(cores)*1e6/each(all))
}

func (s *stack) usage() (u usage, err error) {
	if u.server, err = processCPU(s.server.cmd.Process.Pid); err != nil {
		return u, err
	}
	if u.generator, err = processCPU(os.Getpid()); err != nil {
		return u, err
	}
	u.postgres, err = s.postgresCPU()
	return u, err
}

// postgresCPU adds up the postmaster and its present children.
func (s *stack) postgresCPU() (time.Duration, error) {
	matches, err := filepath.Glob(filepath.Join(s.services.Dir(), "*", "postmaster.pid"))
	if err != nil || len(matches) == 0 {
		return 0, fmt.Errorf("no postmaster.pid in %s: %w", s.services.Dir(), err)
	}
	file, err := os.ReadFile(matches[0])
	if err != nil {
		return 0, err
	}
	first, _, _ := bytes.Cut(file, []byte("\n"))
	postmaster := string(first)
	status, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, path := range status {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, rest, _ := strings.Cut(string(text), " ")
		// The name in brackets may hold spaces; state and parent follow it.
		fields := strings.Fields(rest[strings.LastIndex(rest, ")")+1:])
		if len(fields) < 2 || pid != postmaster && fields[1] != postmaster {
			continue
		}
		n, err := strconv.Atoi(pid)
		if err != nil {
			return 0, err
		}
		if cpu, err := processCPU(n); err == nil {
			total += cpu
		}
	}
	return total, nil
}

// signIn returns an access token.
func (s *stack) signIn(c *client, email, tenant string) (string, error) {
	variables, err := json.Marshal(map[string]string{"email": email, "password": password, "tenant": tenant})
	if err != nil {
		return "", err
	}
	body, err := c.ask(graphqlRequest(s.server.addr, "", loginMutation, string(variables)))
	if err != nil {
		return "", err
	}
	var answer struct {
		Data struct{ Login struct{ AccessToken string } }
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&answer); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return answer.Data.Login.AccessToken, nil
}

const loginMutation = `mutation ($email: String!, $password: String!, $tenant: String) {
  login(input: {email: $email, password: $password, tenant: $tenant}) { accessToken } }`
