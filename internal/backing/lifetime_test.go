package backing

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

func TestTemporaryServicesAnswerAndLeaveNothing(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Temporary: true})
	ctx := testContext(t)
	if err := write(ctx, s, "hello"); err != nil {
		t.Fatal(err)
	}
	inPostgres, inRedis := words(t, s)
	if diff := cmp.Diff([]string{"hello"}, inPostgres); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"hello"}, inRedis); diff != "" {
		t.Error(diff)
	}
	pids := []int{s.postgres.cmd.Process.Pid, s.redis.cmd.Process.Pid}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if !gone(pid) {
			t.Errorf("process %d runs on after Close", pid)
		}
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary folder stays: %v", err)
	}
	if err := s.Err(); err != nil {
		t.Errorf("Close counts as a failure: %v", err)
	}
}

func TestServerSettings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options Options
		fsync   string
	}{
		{"named folder", Options{Dir: filepath.Join(openDir(t), "data")}, "on"},
		{"temporary", Options{Temporary: true}, "off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, test.options)
			ctx := testContext(t)
			conn, err := pgx.Connect(ctx, s.PostgresURL("postgres", s.SuperuserPassword(), "postgres"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(ctx)
			got := map[string]string{}
			want := map[string]string{
				"listen_addresses": "", "fsync": test.fsync, "synchronous_commit": test.fsync,
				"max_connections": "200", "max_locks_per_transaction": "256", "shared_buffers": "128MB",
				"server_encoding": "UTF8", "lc_collate": "C.UTF-8", "TimeZone": "UTC",
			}
			for name := range want {
				var value string
				if err := conn.QueryRow(ctx, `SELECT current_setting($1)`, name).Scan(&value); err != nil {
					t.Fatal(err)
				}
				got[name] = value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			// Who reaches the socket still needs the password.
			if _, err := pgx.Connect(ctx, s.PostgresURL("postgres", "guessed", "postgres")); err == nil {
				t.Error("a wrong password is let in")
			}
			info, err := os.Stat(s.PostgresSocketDir())
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o700 {
				t.Errorf("the sockets' folder has mode %v", info.Mode().Perm())
			}
		})
	}
}

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "a folder, with \"odd\" signs", "data")
	ctx := testContext(t)
	first := start(t, Options{Dir: dir})
	if err := write(ctx, first, "kept"); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := start(t, Options{Dir: dir})
	if first.SuperuserPassword() != second.SuperuserPassword() {
		t.Error("the superuser's password changed")
	}
	inPostgres, inRedis := words(t, second)
	if diff := cmp.Diff([][]string{{"kept"}, {"kept"}}, [][]string{inPostgres, inRedis}); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(filepath.Join(dir, passwordName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the password's file has mode %v", info.Mode().Perm())
	}
}

func TestKilledParentLeavesNoChildrenAndTheNextStartFindsTheData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "data")
	p := startParent(t, dir, nil)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	// At once: the children may still be writing their last.
	s := start(t, Options{Dir: dir})
	for name, pid := range map[string]int{"PostgreSQL": p.postgresPid, "Redis": p.redisPid} {
		eventually(t, name+" ended with its parent", func() bool { return gone(pid) })
	}
	inPostgres, inRedis := words(t, s)
	if diff := cmp.Diff([][]string{{"helper"}, {"helper"}}, [][]string{inPostgres, inRedis}); diff != "" {
		t.Error(diff)
	}
}

func TestChildOutlivesTheThreadThatCalledStart(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		child  *process
		err    error
		thread int
	}
	started := make(chan result)
	var startAndEnd func()
	startAndEnd = func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread never ends; while it is held, another is taken.
			go startAndEnd()
			<-t.Context().Done()
			runtime.UnlockOSThread()
			return
		}
		child, err := startProcess("cat", cmd, syscall.SIGKILL)
		// Ending while locked ends the thread too.
		started <- result{child, err, unix.Gettid()}
	}
	go startAndEnd()
	got := <-started
	if got.err != nil {
		t.Fatal(got.err)
	}
	eventually(t, "the thread ended", func() bool {
		_, err := os.Stat(filepath.Join("/proc/self/task", strconv.Itoa(got.thread)))
		return errors.Is(err, os.ErrNotExist)
	})
	if _, err := in.Write([]byte("alive\n")); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "alive\n" {
		t.Errorf("the child answers %q, %v", line, err)
	}
	if err := got.child.stop(stopPatience, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

func TestCtrlCReachesOnlyTheParent(t *testing.T) {
	t.Parallel()
	p := startParent(t, filepath.Join(openDir(t), "data"), nil)
	// What a terminal does: the signal goes to the whole foreground group.
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if line := p.line(t); line != "closed" {
		t.Fatalf("helper said %q", line)
	}
	for _, pid := range []int{p.postgresPid, p.redisPid} {
		eventually(t, "child ended", func() bool { return gone(pid) })
	}
}

func TestAServiceThatDiesIsNoticedAndTheNextStartRecovers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"PostgreSQL", "Redis"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(openDir(t), "data")
			s := start(t, Options{Dir: dir})
			if err := write(testContext(t), s, "before"); err != nil {
				t.Fatal(err)
			}
			victim := s.postgres.process
			if name == "Redis" {
				victim = s.redis.process
			}
			if err := victim.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-s.Done():
			case <-testContext(t).Done():
				t.Fatal("nobody noticed")
			}
			if err := s.Err(); !errors.Is(err, ErrFailed) || !strings.HasPrefix(err.Error(), name+" ended by itself (signal: killed)") {
				t.Errorf("got %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			inPostgres, _ := words(t, start(t, Options{Dir: dir}))
			if diff := cmp.Diff([]string{"before"}, inPostgres); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCancelledStartLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "data")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{Dir: dir, Postgres: true, Redis: true}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context canceled", err)
	}
	for _, service := range []string{filepath.Join(postgresDir, "postmaster.pid"), filepath.Join(redisDir, redisPidFile)} {
		if pid := readPid(filepath.Join(dir, service)); pid != 0 && !gone(pid) {
			t.Errorf("%s: process %d runs", service, pid)
		}
	}
	start(t, Options{Dir: dir})
}

func TestNormalUser(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	var who *syscall.Credential
	want := os.Geteuid()
	if os.Geteuid() == 0 {
		who = &syscall.Credential{Uid: 65534, Gid: 65534}
		want = 65534
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	p := startParent(t, filepath.Join(dir, "data"), who)
	for name, pid := range map[string]int{"PostgreSQL": p.postgresPid, "Redis": p.redisPid} {
		info, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid)))
		if err != nil {
			t.Fatal(err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || int(stat.Uid) != want || p.id != want {
			t.Errorf("%s runs as %+v, want user %d", name, stat, want)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if line := p.line(t); line != "closed" {
		t.Fatalf("helper said %q", line)
	}
}
