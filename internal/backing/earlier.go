package backing

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// A child of a killed parent has had its signal and is on its way out; it
	// gets this long before it is told again, and as long once more.
	earlierPatience = 5 * time.Second
	redisPidFile    = "redis.pid"
)

// awaitEarlier waits until the children of an earlier, killed parent have left
// the data folder. The folder's lock is held, so nobody else can need them.
func awaitEarlier(ctx context.Context, path string, log *slog.Logger) error {
	for _, service := range []struct{ name, program, dir, pidFile string }{
		{"PostgreSQL", "postgres", filepath.Join(path, postgresDir), "postmaster.pid"},
		{"Redis", "redis-server", filepath.Join(path, redisDir), redisPidFile},
	} {
		alive := func() int {
			pid := readPid(filepath.Join(service.dir, service.pidFile))
			if pid > 0 && runsIn(pid, service.program, service.dir) {
				return pid
			}
			return 0
		}
		began, said := time.Now(), false
		reminders := []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT}
		for pid := alive(); pid != 0; pid = alive() {
			if time.Since(began) > earlierPatience {
				if len(reminders) == 0 {
					return problemf(ErrLocked, "an earlier %s (pid %d) still runs in %s and does not stop: end it first", service.name, pid, path)
				}
				_ = syscall.Kill(pid, reminders[0])
				reminders, began = reminders[1:], time.Now()
			}
			if !said {
				log.Info(fmt.Sprintf("waiting for the earlier %s (pid %d) to stop", service.name, pid))
				said = true
			}
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return fmt.Errorf("waiting for the earlier %s (pid %d) to stop: %w", service.name, pid, err)
			}
		}
	}
	return nil
}

// readPid reads the first line of a pid file; 0 says that there is none.
func readPid(path string) int {
	file, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Scan()
	pid, err := strconv.Atoi(strings.TrimSpace(scanner.Text()))
	if err != nil || pid < 2 {
		return 0
	}
	return pid
}

// runsIn reports whether pid is a live process of the program with dir as its
// working folder; a number that was given to another process since is not.
func runsIn(pid int, program, dir string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	cmdline, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil || len(cmdline) == 0 {
		return false // gone, or a zombie
	}
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	if err != nil {
		return false
	}
	return cwd == dir && strings.Contains(string(cmdline), program)
}
