package backing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Options say what to start and where.
type Options struct {
	// Dir is the data folder. It is made if it does not exist; it must be empty
	// or made by an earlier Start.
	Dir string
	// Temporary starts on a fresh folder of its own instead of Dir, without any
	// care for crashes, and removes it on Close: what tests need.
	Temporary bool
	// NoSync trades the safety of the data for speed: a crash of the machine may
	// destroy them, and Redis keeps nothing.
	NoSync bool
	// Postgres and Redis choose the services.
	Postgres, Redis bool
	// Logger gets one line a step; nil is silence.
	Logger *slog.Logger

	search *search // where tests look for programs
}

func (o Options) noSync() bool { return o.Temporary || o.NoSync }

// bequest is the signal that ends PostgreSQL when its parent dies: fast
// shutdown, or no ceremony for data that nobody will read again.
func (o Options) bequest() syscall.Signal {
	if o.Temporary {
		return syscall.SIGQUIT
	}
	return syscall.SIGINT
}

// Services are the running child processes.
type Services struct {
	folder   *folder
	options  Options
	postgres *postgresServer
	redis    *redisServer

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	done      chan struct{}
	err       error // why it ended by itself; read after done
}

// Start starts the services and returns when they answer. ctx bounds the start
// only; the services run until Close, or until this process ends by whatever
// cause. Errors are one line for a person and match the Err values above.
func Start(ctx context.Context, o Options) (*Services, error) {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	where := defaultSearch()
	if o.search != nil {
		where = *o.search
	}
	var pg postgresql
	var redisProgram string
	var err error
	if o.Postgres {
		if pg, err = where.postgresql(); err != nil {
			return nil, err
		}
	}
	if o.Redis {
		if redisProgram, err = where.redis(); err != nil {
			return nil, err
		}
	}
	f, err := open(ctx, o, log)
	if err != nil {
		return nil, err
	}
	s := &Services{folder: f, options: o, closing: make(chan struct{}), done: make(chan struct{})}
	group, groupCtx := errgroup.WithContext(ctx)
	if o.Postgres {
		group.Go(func() (err error) {
			s.postgres, err = startPostgres(groupCtx, f, pg, o, log)
			return err
		})
	}
	if o.Redis {
		group.Go(func() (err error) {
			s.redis, err = startRedis(groupCtx, f, redisProgram, o, log)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		_ = s.stop()
		return nil, err
	}
	go s.watch()
	return s, nil
}

// open makes the folder ready: locked, free of earlier children, with a place
// for sockets.
func open(ctx context.Context, o Options, log *slog.Logger) (*folder, error) {
	who, err := childAccount()
	if err != nil {
		return nil, err
	}
	var f *folder
	if o.Temporary {
		f, err = openTemporary(who)
	} else {
		f, err = openFolder(o.Dir, who, log)
	}
	if err != nil {
		return nil, err
	}
	if !o.Temporary {
		err = awaitEarlier(ctx, f.path, log)
	}
	if err == nil {
		err = f.openSockets(shortFolders(who)...)
	}
	if err != nil {
		_ = f.close()
		return nil, err
	}
	return f, nil
}

// watch notices a child that ends by itself.
func (s *Services) watch() {
	var postgresDone, redisDone chan struct{}
	if s.postgres != nil {
		postgresDone = s.postgres.done
	}
	if s.redis != nil {
		redisDone = s.redis.done
	}
	select {
	case <-s.closing:
		return
	case <-postgresDone:
		s.ended(s.postgres.process, postgresLog)
	case <-redisDone:
		s.ended(s.redis.process, redisLog)
	}
}

func (s *Services) ended(p *process, logName string) {
	select {
	case <-s.closing: // it ended because it was told to
		return
	default:
	}
	logged := &logFile{path: s.folder.path + "/" + logName}
	s.err = problemf(ErrFailed, "%s ended by itself (%v): %s (log: %s)", p.name, p.cmd.ProcessState, logged.lastLine(), logged.path)
	close(s.done)
}

// Done is closed when a service ended by itself; Err then says which and why.
// It stays open through Close.
func (s *Services) Done() <-chan struct{} { return s.done }

// Err is why a service ended by itself, or nil.
func (s *Services) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Close stops the services, lets the folder go, and removes it if it was
// temporary. It may be called again.
func (s *Services) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.closeErr = s.stop()
	})
	return s.closeErr
}

func (s *Services) stop() error {
	var group errgroup.Group
	if s.postgres != nil {
		// Fast shutdown ends sessions and writes everything out; temporary data
		// are not worth the wait.
		signals := []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT}
		if s.options.Temporary {
			signals = signals[1:]
		}
		group.Go(func() error { return s.postgres.stop(stopPatience, signals...) })
	}
	if s.redis != nil {
		group.Go(func() error { return s.redis.stop(stopPatience, syscall.SIGTERM) })
	}
	err := group.Wait()
	return errors.Join(err, s.folder.close())
}

// Dir is the folder that holds the data: Options.Dir as an absolute path, or
// where they had to go instead.
func (s *Services) Dir() string { return s.folder.path }

// PostgresSocketDir is the folder of PostgreSQL's socket, which clients take for
// a host name.
func (s *Services) PostgresSocketDir() string { return s.folder.sockets }

// PostgresURL is the connection URL of a user in a database; an empty password
// is left out.
func (s *Services) PostgresURL(user, password, database string) string {
	if s.postgres == nil {
		return ""
	}
	return s.postgres.url(user, password, database)
}

// SuperuserPassword is the password of the superuser postgres.
func (s *Services) SuperuserPassword() string {
	if s.postgres == nil {
		return ""
	}
	return s.postgres.password
}

// RedisURL is the connection URL of Redis.
func (s *Services) RedisURL() string {
	if s.redis == nil {
		return ""
	}
	return s.redis.url()
}
