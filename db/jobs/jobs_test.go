package jobs_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/jobs"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// A tenant's committed event becomes one job with all that the event said.
func TestAnEventBecomesAJob(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.New(t), t.Context()
	tenant := env.Tenant(t)
	ran := make(chan jobs.Job, 8)
	client, _ := start(t, env.DB, jobs.Options{Queues: map[string]int{"event": 2}, Kinds: []jobs.Kind{{
		Name: "test.event", Queue: "event", Handle: func(_ context.Context, j jobs.Job) error { ran <- j; return nil },
	}}})
	q := env.DB.Store(db.ServiceUser).Tenant(tenant)
	if err := q.Tx(ctx, func(q *tenantdb.Queries) error { return q.Emit(ctx, "test.event", []byte(`{"n":1}`)) }); err != nil {
		t.Fatal(err)
	}
	errRolledBack := errors.New("rolled back")
	if err := q.Tx(ctx, func(q *tenantdb.Queries) error {
		return errors.Join(q.Emit(ctx, "test.event", []byte(`{"n":2}`)), errRolledBack)
	}); !errors.Is(err, errRolledBack) {
		t.Fatal(err)
	}
	deliver(t, env.DB, client)
	deliver(t, env.DB, client)
	got := receive(t, ran, "the job")
	want := jobs.Job{ID: got.ID, Kind: "test.event", TenantID: tenant.ID(), Body: []byte(`{"n": 1}`), CausedAt: got.CausedAt, Attempt: 1, MaxAttempts: 25}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.CausedAt.IsZero() {
		t.Error("the job does not know since when")
	}
	until(t, "the job is done", func() bool { s, _ := state(t, client, "test.event"); return s == "" })
	if n := len(ran); n != 0 {
		t.Errorf("ran %d times more", n)
	}
}

// A handover that fails leaves the event in the outbox.
func TestAnEventIsInOneOfTheTwo(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	client, err := env.DB.Jobs(jobs.Options{Kinds: []jobs.Kind{{Name: "test.one", Queue: "one", Handle: func(context.Context, jobs.Job) error { return nil }}}})
	if err != nil {
		t.Fatal(err)
	}
	emit(t, env.DB, "test.one", `{}`)
	admin := env.Connect(t, "postgres")
	count := func(table string) (n int) {
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := admin.Exec(t.Context(), "REVOKE INSERT ON river.river_job FROM svc_relay"); err != nil {
		t.Fatal(err)
	}
	relay := db.NewRelay(env.DB.PlatformStore(db.ServiceRelay), nil, nil)
	relay.HandOverTo(client)
	if _, err := relay.Deliver(t.Context()); err == nil {
		t.Error("a handover into a closed queue went well")
	}
	if outbox, queue := count("platform.outbox"), count("river.river_job"); outbox != 1 || queue != 0 {
		t.Errorf("%d in the outbox, %d in the queue; want 1 and 0", outbox, queue)
	}
	if _, err := admin.Exec(t.Context(), "GRANT INSERT ON river.river_job TO svc_relay"); err != nil {
		t.Fatal(err)
	}
	if _, err := relay.Deliver(t.Context()); err != nil {
		t.Error(err)
	}
	if outbox, queue := count("platform.outbox"), count("river.river_job"); outbox != 0 || queue != 1 {
		t.Errorf("%d in the outbox, %d in the queue; want 0 and 1", outbox, queue)
	}
}

func TestFailuresAreRetriedUntilTheyAreGivenUp(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	var flaky, permanent, hopeless, panics, slow atomic.Int32
	type ending struct {
		Kind     string
		Attempts int
	}
	givenUp := make(chan ending, 8)
	done := make(chan string, 8)
	registry := prometheus.NewPedanticRegistry()
	fast := func(name string, attempts int, handle jobs.Handler) jobs.Kind {
		return jobs.Kind{Name: name, Queue: "retry", MaxAttempts: attempts, FirstDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond, Timeout: 200 * time.Millisecond, Handle: handle}
	}
	client, _ := start(t, env.DB, jobs.Options{
		Queues: map[string]int{"retry": 4}, Metrics: registry,
		GivenUp: func(_ context.Context, j jobs.Job, err error) {
			if err == nil {
				t.Error("given up without an error")
			}
			givenUp <- ending{j.Kind, j.Attempt}
		},
		Kinds: []jobs.Kind{
			fast("test.flaky", 5, func(context.Context, jobs.Job) error {
				if flaky.Add(1) < 3 {
					return errors.New("not yet")
				}
				done <- "flaky"
				return nil
			}),
			fast("test.permanent", 5, func(context.Context, jobs.Job) error {
				permanent.Add(1)
				return jobs.Permanent(errors.New("never"))
			}),
			fast("test.hopeless", 2, func(context.Context, jobs.Job) error { hopeless.Add(1); return errors.New("no") }),
			fast("test.panics", 2, func(context.Context, jobs.Job) error { panics.Add(1); panic("broken") }),
			fast("test.slow", 1, func(ctx context.Context, _ jobs.Job) error { slow.Add(1); <-ctx.Done(); return ctx.Err() }),
		},
	})
	for _, kind := range []string{"test.flaky", "test.permanent", "test.hopeless", "test.panics", "test.slow"} {
		emit(t, env.DB, kind, `{}`)
	}
	deliver(t, env.DB, client)
	receive(t, done, "the third try")
	ended := map[string]int{}
	for range 4 {
		e := receive(t, givenUp, "the end of a job")
		ended[e.Kind] = e.Attempts
	}
	if diff := cmp.Diff(map[string]int{"test.permanent": 1, "test.hopeless": 2, "test.panics": 2, "test.slow": 1}, ended); diff != "" {
		t.Error(diff)
	}
	if got := []int32{flaky.Load(), permanent.Load(), hopeless.Load(), panics.Load(), slow.Load()}; !cmp.Equal([]int32{3, 1, 2, 2, 1}, got) {
		t.Errorf("runs %v", got)
	}

	// Operators see what was given up, and run it again.
	var failed []jobs.Unfinished
	until(t, "four jobs are given up", func() bool {
		var err error
		if failed, err = client.Unfinished(t.Context(), true, 10); err != nil {
			t.Fatal(err)
		}
		return len(failed) == 4
	})
	states := map[string]string{}
	for _, j := range failed {
		states[j.Kind] = j.State + ": " + j.LastError
	}
	for kind, want := range map[string]string{
		"test.permanent": "cancelled: JobCancelError: never", "test.hopeless": "discarded: no",
		"test.panics": "discarded: handler of test.panics panicked: broken", "test.slow": "discarded: context deadline exceeded",
	} {
		if states[kind] != want {
			t.Errorf("%s: %q, want %q", kind, states[kind], want)
		}
	}
	for _, j := range failed {
		if j.Kind == "test.hopeless" {
			if err := client.Retry(t.Context(), j.ID); err != nil {
				t.Error(err)
			}
		}
		if j.Kind == "test.panics" {
			if err := client.Delete(t.Context(), j.ID); err != nil {
				t.Error(err)
			}
			if err := client.Retry(t.Context(), j.ID); !errors.Is(err, jobs.ErrNoJob) {
				t.Errorf("retry of a deleted job: %v", err)
			}
		}
	}
	if e := receive(t, givenUp, "the end of the retried job"); e.Kind != "test.hopeless" || hopeless.Load() != 3 {
		t.Errorf("%+v after %d runs", e, hopeless.Load())
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP tradesage_jobs_given_up_total Jobs that will not run again although they failed, by reason: permanent or attempts.
# TYPE tradesage_jobs_given_up_total counter
tradesage_jobs_given_up_total{kind="test.hopeless",reason="attempts"} 2
tradesage_jobs_given_up_total{kind="test.panics",reason="attempts"} 1
tradesage_jobs_given_up_total{kind="test.permanent",reason="permanent"} 1
tradesage_jobs_given_up_total{kind="test.slow",reason="attempts"} 1
`), "tradesage_jobs_given_up_total"); err != nil {
		t.Error(err)
	}
}

// A queue that is blocked, or that nobody runs, holds up no other.
func TestQueuesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	release, inside, ran := make(chan struct{}), make(chan struct{}, 1), make(chan string, 4)
	done := func(_ context.Context, j jobs.Job) error { ran <- j.Kind; return nil }
	o := jobs.Options{
		Queues: map[string]int{"blocked": 1, "free": 1},
		Kinds: []jobs.Kind{
			{Name: "test.blocked", Queue: "blocked", Handle: func(ctx context.Context, _ jobs.Job) error {
				inside <- struct{}{}
				select {
				case <-release:
				case <-ctx.Done():
				}
				return ctx.Err()
			}},
			{Name: "test.free", Queue: "free", Handle: done},
			{Name: "test.elsewhere", Queue: "elsewhere", Handle: done},
		},
	}
	client, stop := start(t, env.DB, o)
	for _, kind := range []string{"test.elsewhere", "test.blocked", "test.free"} {
		emit(t, env.DB, kind, `{}`)
	}
	deliver(t, env.DB, client)
	receive(t, inside, "the job that blocks")
	if kind := receive(t, ran, "the free job"); kind != "test.free" {
		t.Errorf("%s ran", kind)
	}
	if s, attempts := state(t, client, "test.elsewhere"); s != "available" || attempts != 0 {
		t.Errorf("the job of a queue that nobody runs is %s after %d attempts", s, attempts)
	}
	close(release)
	stop()
	o.Queues = map[string]int{"elsewhere": 1}
	o.PollOnly = true
	start(t, env.DB, o)
	if kind := receive(t, ran, "the job of the other queue, by polling"); kind != "test.elsewhere" {
		t.Errorf("%s ran", kind)
	}
}

func TestUniqueJobsAreOne(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	handle := func(context.Context, jobs.Job) error { return nil }
	client, err := env.DB.Jobs(jobs.Options{Kinds: []jobs.Kind{
		{Name: "test.unique", Queue: "q", Unique: true, Handle: handle}, {Name: "test.many", Queue: "q", Handle: handle},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"test.unique", "test.many"} {
		for _, body := range []string{`{"id":1}`, `{"id":1}`, `{"id":2}`} {
			emit(t, env.DB, kind, body)
		}
	}
	deliver(t, env.DB, client)
	counts, err := client.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range counts {
		counts[i].Overdue = 0
	}
	if diff := cmp.Diff([]jobs.Count{{Kind: "test.many", State: "available", Jobs: 3}, {Kind: "test.unique", State: "available", Jobs: 2}}, counts); diff != "" {
		t.Error(diff)
	}
}

func TestPeriodicJobsRun(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	ran := make(chan jobs.Job, 64)
	start(t, env.DB, jobs.Options{Queues: map[string]int{"tick": 1}, Kinds: []jobs.Kind{{
		Name: "test.tick", Queue: "tick", Every: time.Second, Handle: func(_ context.Context, j jobs.Job) error { ran <- j; return nil },
	}}})
	first, second := receive(t, ran, "the first run"), receive(t, ran, "the second run")
	if first.ID == second.ID || string(first.Body) != "null" || first.TenantID != uuid.Nil {
		t.Errorf("%+v, %+v", first, second)
	}
}

func TestKindsAreChecked(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	handle := func(context.Context, jobs.Job) error { return nil }
	good := jobs.Kind{Name: "a", Queue: "q", Handle: handle}
	for name, change := range map[string]func(*jobs.Kind){
		"name": func(k *jobs.Kind) { k.Name = "" }, "queue": func(k *jobs.Kind) { k.Queue = "" }, "handler": func(k *jobs.Kind) { k.Handle = nil },
		"attempts": func(k *jobs.Kind) { k.MaxAttempts = 1001 }, "timeout": func(k *jobs.Kind) { k.Timeout = time.Minute },
		"delays": func(k *jobs.Kind) { k.FirstDelay = time.Hour }, "period": func(k *jobs.Kind) { k.Every = -1 },
	} {
		bad := good
		change(&bad)
		if _, err := env.DB.Jobs(jobs.Options{Kinds: []jobs.Kind{bad}}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := env.DB.Jobs(jobs.Options{Kinds: []jobs.Kind{good, good}}); err == nil {
		t.Error("a kind was accepted twice")
	}
}
