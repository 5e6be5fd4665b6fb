package jobs_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/jobs"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// At the end running jobs finish within the drain time; one that does not waits
// for the next process, and has lost no attempt.
func TestStopping(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	inside, release, finished := make(chan string, 2), make(chan struct{}), make(chan struct{})
	o := jobs.Options{
		Drain: 500 * time.Millisecond, Queues: map[string]int{"stop": 2},
		Kinds: []jobs.Kind{
			{Name: "test.finishes", Queue: "stop", MaxAttempts: 1, Handle: func(context.Context, jobs.Job) error {
				inside <- "finishes"
				<-release
				close(finished)
				return nil
			}},
			{Name: "test.hangs", Queue: "stop", MaxAttempts: 1, Handle: func(ctx context.Context, _ jobs.Job) error {
				inside <- "hangs"
				<-ctx.Done()
				return fmt.Errorf("waiting: %w", ctx.Err())
			}},
		},
	}
	client, stop := start(t, env.DB, o)
	emit(t, env.DB, "test.finishes", `{}`)
	emit(t, env.DB, "test.hangs", `{}`)
	deliver(t, env.DB, client)
	receive(t, inside, "the first job")
	receive(t, inside, "the second job")
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	close(release)
	receive(t, stopped, "the end")
	select {
	case <-finished:
	default:
		t.Error("the running job did not finish")
	}
	if s, _ := state(t, client, "test.finishes"); s != "" {
		t.Errorf("the job that finished is %s", s)
	}
	if s, attempts := state(t, client, "test.hangs"); s != "available" || attempts != 0 {
		t.Errorf("the job that hung is %s after %d attempts, want available after 0", s, attempts)
	}
	ran := make(chan struct{}, 1)
	o.Kinds[1].Handle = func(context.Context, jobs.Job) error { ran <- struct{}{}; return nil }
	start(t, env.DB, o)
	receive(t, ran, "the job in the next process")
}

// victimURL tells this test's own binary to be the process that is killed.
const victimURL = "TRADESAGE_TEST_VICTIM_URL"

// victim runs jobs that never end, and says when one began.
func victim() {
	d, err := db.Open(db.Config{URL: os.Getenv(victimURL), Secret: dbtest.Secret})
	if err == nil {
		var client *jobs.Client
		client, err = d.Jobs(jobs.Options{Queues: map[string]int{"kill": 1}, Logger: slog.New(slog.DiscardHandler), Kinds: []jobs.Kind{{
			Name: "test.killed", Queue: "kill",
			Handle: func(ctx context.Context, _ jobs.Job) error { fmt.Println("began"); <-ctx.Done(); return ctx.Err() },
		}}})
		if err == nil {
			err = client.Run(context.Background())
		}
	}
	fmt.Println(errors.Join(err, errors.New("the victim ended by itself")))
}

// What a killed process was doing is done by another.
func TestAKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	ran := make(chan jobs.Job, 1)
	o := jobs.Options{Queues: map[string]int{"kill": 1}, Kinds: []jobs.Kind{{
		Name: "test.killed", Queue: "kill", Handle: func(_ context.Context, j jobs.Job) error { ran <- j; return nil },
	}}}
	client, err := env.DB.Jobs(o)
	if err != nil {
		t.Fatal(err)
	}
	emit(t, env.DB, "test.killed", `{"n":1}`)
	deliver(t, env.DB, client)

	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), victimURL+"="+env.URL)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "began\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	if err := child.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if s, attempts := state(t, client, "test.killed"); s != "running" || attempts != 1 {
		t.Fatalf("after the kill the job is %s after %d attempts, want running after 1", s, attempts)
	}

	// A minute later, without waiting for it: the job's attempt and the child's
	// lease as the leader are that old.
	admin := env.Connect(t, "postgres")
	for _, sql := range []string{
		"UPDATE river.river_job SET attempted_at = attempted_at - interval '61 seconds'",
		"UPDATE river.river_leader SET elected_at = elected_at - interval '61 seconds', expires_at = expires_at - interval '61 seconds'",
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	start(t, env.DB, o)
	if j := receive(t, ran, "the job in another process"); j.Attempt != 2 || string(j.Body) != `{"n": 1}` {
		t.Errorf("%+v", j)
	}
}
