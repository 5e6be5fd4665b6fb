package pace_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph/pace"
)

// noting is a pace and what it has said.
type noting struct {
	*pace.Pace
	said      []int
	contended bool
}

func newNoting(least, most int) *noting {
	n := &noting{contended: true}
	n.Pace = pace.New(pace.Options{
		Least: least, Most: most, Set: func(slots int) { n.said = append(n.said, slots) }, Contended: func() bool { return n.contended },
	})
	return n
}

// windows decides several times, after some runs of a task each.
func (n *noting) windows(times int, task *pace.Task, took ...time.Duration) {
	for range times {
		for _, d := range took {
			n.Ran(task, d)
		}
		n.Decide()
	}
}

func repeated(n int, d time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = d
	}
	return out
}

func TestFewerWhileOperationsTakeLong(t *testing.T) {
	t.Parallel()
	n, task := newNoting(3, 16), &pace.Task{}
	n.Ran(task, time.Millisecond)
	n.windows(10, task, repeated(20, 9*time.Millisecond)...)
	if diff := cmp.Diff([]int{12, 9, 7, 6, 5, 4, 3}, n.said); diff != "" {
		t.Error(diff)
	}
	n.said = nil
	n.windows(20, task, repeated(20, 2*time.Millisecond)...)
	if diff := cmp.Diff([]int{4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, n.said); diff != "" {
		t.Error(diff)
	}
}

// A task that takes long by itself is none that waits for others.
func TestEachTaskHasItsOwnMeasure(t *testing.T) {
	t.Parallel()
	n, quick, slow := newNoting(3, 16), &pace.Task{}, &pace.Task{}
	for range 10 {
		n.windows(1, quick, repeated(10, time.Millisecond)...)
		n.windows(1, slow, repeated(10, time.Second)...)
	}
	if len(n.said) > 0 {
		t.Error(n.said)
	}
}

func TestNoChangeWithoutNeed(t *testing.T) {
	t.Parallel()
	for name, took := range map[string][]time.Duration{
		"a third takes long":      append(repeated(10, time.Millisecond), repeated(5, time.Second)...),
		"too few to tell":         repeated(3, time.Second),
		"few among many are long": append(repeated(20, time.Millisecond), time.Second),
	} {
		n, task := newNoting(3, 16), &pace.Task{}
		n.windows(10, task, took...)
		if len(n.said) > 0 {
			t.Error(name, n.said)
		}
	}
}

// Where nobody holds up others nobody is to be treated unfairly.
func TestMoreWhereNobodyContends(t *testing.T) {
	t.Parallel()
	n, task := newNoting(3, 6), &pace.Task{}
	n.Ran(task, time.Millisecond)
	n.windows(3, task, repeated(20, time.Second)...)
	n.contended = false
	n.windows(3, task, repeated(20, time.Second)...)
	if diff := cmp.Diff([]int{5, 4, 3, 4, 5, 6}, n.said); diff != "" {
		t.Error(diff)
	}
}

// What was the best time once is not for ever.
func TestTheBestTimeFades(t *testing.T) {
	t.Parallel()
	n, task := newNoting(1, 16), &pace.Task{}
	n.Ran(task, time.Millisecond)
	n.windows(2, task, repeated(10_000, 5*time.Millisecond)...)
	fewer := len(n.said)
	n.windows(10, task, repeated(10, 5*time.Millisecond)...)
	if fewer == 0 || n.said[len(n.said)-1] <= n.said[fewer-1] {
		t.Error(n.said)
	}
}

func TestLeastIsNoMoreThanMost(t *testing.T) {
	t.Parallel()
	n, task := newNoting(8, 4), &pace.Task{}
	n.Ran(task, time.Millisecond)
	n.windows(10, task, repeated(20, time.Second)...)
	if len(n.said) > 0 {
		t.Error(n.said)
	}
}

func TestItDecidesByItself(t *testing.T) {
	t.Parallel()
	changed := make(chan int, 100)
	p := pace.New(pace.Options{Least: 1, Most: 4, Set: func(n int) { changed <- n }, Contended: func() bool { return true }})
	task := &pace.Task{}
	p.Ran(task, time.Millisecond)
	for range 20 {
		p.Ran(task, time.Second)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Run(ctx)
	}()
	select {
	case n := <-changed:
		if n != 3 {
			t.Error(n)
		}
	case <-time.After(30 * time.Second):
		t.Error("it never decides")
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("it goes on")
	}
	var none *pace.Pace
	none.Ran(task, time.Second) // nothing happens
}
