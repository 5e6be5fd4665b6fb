package backing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	postgresDir = "postgres"
	postgresLog = "postgres.log"
	// PostgresPort is the port number in the name of PostgreSQL's unix socket.
	PostgresPort = 5432
	// stopPatience is how long a service may take to stop when told to.
	stopPatience = 10 * time.Second
)

// postgresServer is the running PostgreSQL.
type postgresServer struct {
	*process
	password string
	sockets  string
}

// serverSettings are the parameters of the server, given at each start so that
// a change here reaches existing data folders.
func serverSettings(sockets string, noSync bool) []string {
	settings := []string{
		"listen_addresses=",
		"port=" + strconv.Itoa(PostgresPort),
		// A list: quoting keeps a comma in the path from splitting it.
		`unix_socket_directories="` + strings.ReplaceAll(sockets, `"`, `""`) + `"`,
		"unix_socket_permissions=0700",
		"shared_buffers=128MB",
		"max_connections=200",
		"max_locks_per_transaction=256",
		"password_encryption=scram-sha-256",
		"timezone=UTC",
		"log_timezone=UTC",
		"log_line_prefix=%m [%p] %q%u@%d ",
		"logging_collector=off",
	}
	if noSync {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	} else {
		settings = append(settings, "fsync=on", "synchronous_commit=on")
	}
	args := make([]string, 0, 2*len(settings))
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// startPostgres starts the server on the data of f, which it makes if need be,
// and returns when it answers.
func startPostgres(ctx context.Context, f *folder, pg postgresql, o Options, log *slog.Logger) (*postgresServer, error) {
	began := time.Now()
	data := filepath.Join(f.path, postgresDir)
	password, err := ensureCluster(ctx, f, pg, o, log)
	if err != nil {
		return nil, err
	}
	args := append([]string{"-D", data}, serverSettings(f.sockets, o.noSync())...)
	// A backend of a killed postmaster may live a moment longer and hold its
	// shared memory; PostgreSQL then refuses to start and is right.
	deadline := time.Now().Add(stopPatience)
	for {
		logged, err := openLog(filepath.Join(f.path, postgresLog))
		if err != nil {
			return nil, err
		}
		cmd := f.account.command(f.sockets, filepath.Join(pg.bin, "postgres"), args...)
		cmd.Stdout, cmd.Stderr = logged.file, logged.file
		child, err := startProcess("PostgreSQL", cmd, o.bequest())
		_ = logged.file.Close() // the child has its own
		if err != nil {
			return nil, problemf(ErrFailed, "cannot start %s: %v", cmd.Path, err)
		}
		server := &postgresServer{process: child, password: password, sockets: f.sockets}
		err = server.awaitReady(ctx, logged, log)
		if err == nil {
			log.Info(fmt.Sprintf("PostgreSQL %d is ready (%v)", pg.major, time.Since(began).Round(time.Millisecond)))
			return server, nil
		}
		_ = child.stop(stopPatience, syscall.SIGINT, syscall.SIGQUIT)
		if !logged.mentions("pre-existing shared memory block", `lock file "postmaster.pid" already exists`) || time.Now().After(deadline) {
			return nil, err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// awaitReady connects until the server lets the superuser in.
func (p *postgresServer) awaitReady(ctx context.Context, logged *logFile, log *slog.Logger) error {
	began, nextWord := time.Now(), 2*time.Second
	dsn := p.url("postgres", p.password, "postgres")
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		conn, err := pgx.Connect(attempt, dsn)
		if err == nil {
			err = conn.Close(attempt)
			cancel()
			return err
		}
		cancel()
		var refusal *pgconn.PgError
		// 57P03 cannot_connect_now: starting up, or recovering after a crash.
		if errors.As(err, &refusal) && refusal.Code != "57P03" {
			return problemf(ErrFailed, "PostgreSQL refuses its own superuser: %s", refusal.Message)
		}
		select {
		case <-p.done:
			return logged.explain("PostgreSQL", p.err)
		default:
		}
		if waited := time.Since(began); waited > nextWord {
			log.Info(fmt.Sprintf("PostgreSQL is still starting after %v: %s", waited.Round(time.Second), logged.lastLine()))
			nextWord *= 2
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for PostgreSQL to start: %w", err)
		}
	}
}

// url is the connection URL of a user in a database, with the password if any.
func (p *postgresServer) url(user, password, database string) string {
	u := url.URL{
		Scheme: "postgres", Host: "", Path: "/" + database,
		RawQuery: url.Values{"host": {p.sockets}, "port": {strconv.Itoa(PostgresPort)}}.Encode(),
	}
	if password != "" {
		u.User = url.UserPassword(user, password)
	} else {
		u.User = url.User(user)
	}
	return u.String()
}

// ensureCluster makes the data folder of a new server and returns the
// superuser's password; of an existing one it checks the version.
func ensureCluster(ctx context.Context, f *folder, pg postgresql, o Options, log *slog.Logger) (string, error) {
	data := filepath.Join(f.path, postgresDir)
	passwordFile := filepath.Join(f.path, passwordName)
	made, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	switch {
	case err == nil:
		if err := f.account.owns(data); err != nil {
			return "", err
		}
		if major := strings.TrimSpace(string(made)); major != strconv.Itoa(pg.major) {
			return "", problemf(ErrVersion, "the data in %s was made by PostgreSQL %s and PostgreSQL %d is installed: apt-get install postgresql-%s, or start anew with a reset",
				f.path, major, pg.major, major)
		}
		password, err := os.ReadFile(passwordFile)
		if err != nil {
			return "", folderProblem(passwordFile, err)
		}
		return strings.TrimSpace(string(password)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", folderProblem(data, err)
	}
	if err := checkRoom(f.path, minFree); err != nil {
		return "", err
	}
	if o.Temporary {
		return fromTemplate(ctx, f, pg, log)
	}
	log.Info("creating a new PostgreSQL cluster in " + data)
	return initCluster(ctx, f, pg, true)
}
