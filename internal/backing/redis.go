package backing

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	redisDir = "redis"
	redisLog = "redis.log"
)

// redisServer is the running Redis.
type redisServer struct {
	*process
	socket string
}

// startRedis starts the server on the data of f and returns when it has loaded
// them.
func startRedis(ctx context.Context, f *folder, program string, o Options, log *slog.Logger) (*redisServer, error) {
	began := time.Now()
	dir := filepath.Join(f.path, redisDir)
	if err := f.account.makeFolder(dir); err != nil {
		return nil, err
	}
	socket := filepath.Join(f.sockets, redisSocket)
	args := []string{
		"--port", "0", "--unixsocket", socket, "--unixsocketperm", "700",
		"--dir", dir, "--pidfile", filepath.Join(dir, redisPidFile),
		"--daemonize", "no", "--save", "", "--maxmemory-policy", "noeviction",
	}
	if o.noSync() {
		args = append(args, "--appendonly", "no")
	} else {
		args = append(args, "--appendonly", "yes", "--appendfsync", "everysec")
	}
	logged, err := openLog(filepath.Join(f.path, redisLog))
	if err != nil {
		return nil, err
	}
	cmd := f.account.command(dir, program, args...)
	cmd.Stdout, cmd.Stderr = logged.file, logged.file
	child, err := startProcess("Redis", cmd, syscall.SIGTERM)
	_ = logged.file.Close() // the child has its own
	if err != nil {
		return nil, problemf(ErrFailed, "cannot start %s: %v", program, err)
	}
	server := &redisServer{process: child, socket: socket}
	if err := server.awaitReady(ctx, logged); err != nil {
		_ = child.stop(stopPatience, syscall.SIGTERM)
		return nil, err
	}
	log.Info(fmt.Sprintf("Redis is ready (%v)", time.Since(began).Round(time.Millisecond)))
	return server, nil
}

// awaitReady pings until the answer is no longer that data are being loaded.
func (r *redisServer) awaitReady(ctx context.Context, logged *logFile) error {
	for {
		if r.ping(ctx) {
			return nil
		}
		select {
		case <-r.done:
			return logged.explain("Redis", r.err)
		default:
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for Redis to start: %w", err)
		}
	}
}

func (r *redisServer) ping(ctx context.Context) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "unix", r.socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.HasPrefix(answer, "+PONG")
}

func (r *redisServer) url() string {
	return (&url.URL{Scheme: "unix", Path: r.socket}).String()
}
