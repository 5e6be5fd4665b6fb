package backing

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// helperDir makes the test binary a parent of its own when set: it starts the
// services on that folder, and what happens to it then is the test.
const helperDir = "BACKING_HELPER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		if err := helper(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// helper serves until SIGINT and then closes in an orderly way.
func helper(dir string) error {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT)
	ctx := context.Background()
	s, err := Start(ctx, Options{Dir: dir, Postgres: true, Redis: true})
	if err != nil {
		return err
	}
	if err := write(ctx, s, "helper"); err != nil {
		return err
	}
	fmt.Println("ready", s.postgres.cmd.Process.Pid, s.redis.cmd.Process.Pid, os.Geteuid())
	<-interrupted
	// Both must still answer: the interrupt was the parent's alone.
	if err := write(ctx, s, "interrupted"); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	fmt.Println("closed")
	return nil
}

// parent is a helper process with services.
type parent struct {
	cmd                       *exec.Cmd
	output                    *bufio.Scanner
	postgresPid, redisPid, id int
}

// startParent runs the test binary as helper, as the given user if any, in a
// process group of its own as a shell would.
func startParent(t *testing.T, dir string, who *syscall.Credential) *parent {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if who != nil {
		program = reachableCopy(t, program)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &parent{cmd: cmd, output: bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line := p.line(t)
	if _, err := fmt.Sscanf(line, "ready %d %d %d", &p.postgresPid, &p.redisPid, &p.id); err != nil {
		t.Fatalf("helper said %q", line)
	}
	return p
}

func (p *parent) line(t *testing.T) string {
	t.Helper()
	if !p.output.Scan() {
		t.Fatalf("helper ended without a word: %v", p.output.Err())
	}
	return p.output.Text()
}

// reachableCopy puts the test binary where other users may run it.
func reachableCopy(t *testing.T, program string) string {
	t.Helper()
	// By cp: a file that this process wrote could still be open in a child that
	// another test is forking, and then does not run ("text file busy").
	path := filepath.Join(openDir(t), "helper")
	if out, err := exec.Command("cp", program, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// openDir is a folder that every user may enter; t.TempDir lies in a private one.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "backing-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// testContext ends long before the test binary's own limit.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// start starts both services and closes them with the test.
func start(t *testing.T, o Options) *Services {
	t.Helper()
	o.Postgres, o.Redis = true, true
	s, err := Start(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// write leaves a word in both services.
func write(ctx context.Context, s *Services, word string) error {
	conn, err := pgx.Connect(ctx, s.PostgresURL("postgres", s.SuperuserPassword(), "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS words (word text)`); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `INSERT INTO words VALUES ($1)`, word); err != nil {
		return err
	}
	options, err := redis.ParseURL(s.RedisURL())
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	defer client.Close()
	return client.RPush(ctx, "words", word).Err()
}

// words are what earlier calls of write left.
func words(t *testing.T, s *Services) (inPostgres, inRedis []string) {
	t.Helper()
	ctx := testContext(t)
	conn, err := pgx.Connect(ctx, s.PostgresURL("postgres", s.SuperuserPassword(), "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT word FROM words`)
	if err != nil {
		t.Fatal(err)
	}
	inPostgres, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	options, err := redis.ParseURL(s.RedisURL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	inRedis, err = client.LRange(ctx, "words", 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	return inPostgres, inRedis
}

// eventually polls until ok, or fails the test after a generous while.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("after 30 s still not: %s", what)
		case <-tick.C:
		}
	}
}

// gone reports whether the process has ended; a zombie has.
func gone(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}

// told collects what a logger was told.
func told(lines *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(lines, nil))
}
