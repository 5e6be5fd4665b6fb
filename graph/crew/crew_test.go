package crew_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/crew"
)

// patience bounds every wait for what must happen; machines are busy.
const patience = 30 * time.Second

type task func()

func (t task) Run() { t() }

// await fails the test if done does not come to its end.
func await(t *testing.T, what string, done *sync.WaitGroup) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
	}
}

func TestEachTaskRunsOnce(t *testing.T) {
	t.Parallel()
	var c crew.Crew
	var done sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	want := map[int]int{}
	for i := range 5000 {
		want[i] = 1
		done.Add(1)
		c.Add(task(func() {
			defer done.Done()
			mu.Lock()
			defer mu.Unlock()
			got[i]++
		}))
	}
	await(t, "all tasks", &done)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("runs of tasks (-want +got):\n%s", diff)
	}
}

func TestStuckTasksHoldUpNobody(t *testing.T) {
	t.Parallel()
	var c crew.Crew
	const stuck = 200 // far more than run at once
	free := make(chan struct{})
	var stuckDone, done sync.WaitGroup
	stuckDone.Add(stuck)
	for range stuck {
		c.Add(task(func() {
			defer stuckDone.Done()
			<-free
		}))
	}
	done.Add(100)
	for range 100 {
		c.Add(task(done.Done))
	}
	await(t, "what came after stuck tasks", &done)
	close(free)
	await(t, "the stuck tasks' end", &stuckDone)
	done.Add(100) // and the crew goes on as before
	for range 100 {
		c.Add(task(done.Done))
	}
	await(t, "what came later", &done)
}

func TestTasksThatAddTasks(t *testing.T) {
	t.Parallel()
	var c crew.Crew
	var done sync.WaitGroup
	done.Add(1)
	var again func(left int) crew.Task
	again = func(left int) crew.Task {
		return task(func() {
			if left == 0 {
				done.Done()
				return
			}
			c.Add(again(left - 1))
		})
	}
	c.Add(again(10_000))
	await(t, "a chain of tasks", &done)
}

// yielding waits for the end of all that it counts, and says so before.
type yielding struct{ begun, all *sync.WaitGroup }

func (y yielding) Run() { panic("it can yield") }

func (y yielding) RunYielding(yield func()) {
	yield()
	yield() // again
	y.begun.Done()
	y.all.Wait()
}

func TestAnyNumberOfTasksMayWait(t *testing.T) {
	t.Parallel()
	var c crew.Crew
	var begun, all, after sync.WaitGroup
	const n = 3000
	begun.Add(n)
	all.Add(1)
	for range n {
		c.Add(yielding{&begun, &all})
	}
	await(t, "the beginning of all", &begun)
	after.Add(100)
	for range 100 {
		c.Add(task(after.Done))
	}
	await(t, "what is added while they wait", &after)
	all.Done()
	after.Add(100)
	for range 100 {
		c.Add(task(after.Done))
	}
	await(t, "what is added afterwards", &after)
}
