// Package crew runs many short tasks on few goroutines. A task that takes long, as
// one that waits for a slow client, keeps its goroutine, and another takes over
// from it: a few that are stuck hold up nobody.
package crew

import (
	"runtime"
	"sync"
	"time"
)

// patience is how long a task may keep its goroutine from others.
const patience = 10 * time.Millisecond

// Task is something short to do. It must not panic.
type Task interface{ Run() }

// Yielding is a Task that calls yield before it waits for something: then another
// goroutine takes over at once.
type Yielding interface {
	Task
	RunYielding(yield func())
}

// Crew runs tasks in the order in which they were added, several at a time. Its
// zero value is ready; idle it holds no goroutine.
type Crew struct {
	mu    sync.Mutex
	tasks []Task // from first on
	first int
	// working counts the goroutines that take tasks; those that were relieved are not
	// among them.
	working int
}

// size is how many tasks run at once where none is stuck.
func size() int { return max(4*runtime.GOMAXPROCS(0), 8) }

// Add queues a task and returns at once.
func (c *Crew) Add(t Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first > keptTasks && c.first > len(c.tasks)/2 { // a queue that never empties must not grow
		c.tasks = c.tasks[:copy(c.tasks, c.tasks[c.first:])]
		c.first = 0
	}
	c.tasks = append(c.tasks, t)
	if c.working < size() {
		c.working++
		go new(worker).run(c)
	}
}

// next takes a task; c.mu is held.
func (c *Crew) next() Task {
	if c.first == len(c.tasks) {
		return nil
	}
	t := c.tasks[c.first]
	c.tasks[c.first] = nil
	if c.first++; c.first == len(c.tasks) {
		c.first = 0
		if c.tasks = c.tasks[:0]; cap(c.tasks) > keptTasks {
			c.tasks = nil
		}
	}
	return t
}

// keptTasks bounds the memory that an idle crew keeps.
const keptTasks = 1024

// worker is one goroutine of a crew.
type worker struct {
	busy, relieved bool // guarded by the crew's mu
}

func (w *worker) run(c *Crew) {
	relieve := func() { w.relieve(c) }
	late := time.AfterFunc(patience, relieve)
	defer late.Stop()
	for {
		c.mu.Lock()
		w.busy = false
		if w.relieved {
			c.mu.Unlock()
			return
		}
		t := c.next()
		if t == nil {
			c.working--
			w.relieved = true // a late timer must not count it a second time
			c.mu.Unlock()
			return
		}
		w.busy = true
		c.mu.Unlock()
		late.Reset(patience)
		if y, ok := t.(Yielding); ok {
			y.RunYielding(relieve)
		} else {
			t.Run()
		}
		late.Stop()
	}
}

// relieve puts another goroutine in the place of one whose task takes long.
func (w *worker) relieve(c *Crew) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !w.busy || w.relieved {
		return
	}
	w.relieved = true
	if c.first == len(c.tasks) {
		c.working--
		return
	}
	go new(worker).run(c)
}
