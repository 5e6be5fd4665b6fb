package aside_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/internal/aside"
)

// deep needs a stack of some megabytes.
func deep(n int) int {
	var room [1024]byte
	if n == 0 {
		return len(room)
	}
	room[n%len(room)] = byte(n)
	return deep(n-1) + int(room[n%len(room)]) - int(byte(n))
}

// What f needs of the stack is gone with it: thousands who wait have not grown.
func TestStacksDoNotStay(t *testing.T) {
	t.Parallel()
	const waiting = 50
	begun, end := make(chan int), make(chan struct{})
	for range waiting {
		go func() {
			got := 0
			aside.Run(func() { got = deep(1000) })
			begun <- got
			<-end
		}()
	}
	for range waiting {
		if got := <-begun; got != 1024 {
			t.Errorf("got %d", got)
		}
	}
	var now runtime.MemStats
	runtime.GC() // which gives back the stacks of what has ended
	runtime.ReadMemStats(&now)
	close(end)
	if now.StackInuse > waiting<<20/2 {
		t.Errorf("%d bytes of stacks are in use", now.StackInuse)
	}
}

func explode() { panic(errors.New("a bug")) }

// caught is what a caller's recover has.
func caught(run func()) (value any) {
	defer func() { value = recover() }()
	run()
	return nil
}

// A panic is the caller's, with the place where it was raised, however many have
// passed it on.
func TestPanicsKeepTheirStack(t *testing.T) {
	t.Parallel()
	ran := 0
	start := func(f func()) { ran++; go f() }
	for name, run := range map[string]func(){
		"run":    func() { aside.Run(explode) },
		"on":     func() { aside.On(start, explode) },
		"nested": func() { aside.Run(func() { aside.Run(explode) }) },
	} {
		p, ok := caught(run).(*aside.Panic)
		if !ok || !bytes.Contains(p.Stack, []byte("explode")) || !strings.HasPrefix(p.Error(), "a bug\n") || strings.Count(p.Error(), "[running]") != 1 {
			t.Errorf("%s: %v", name, p)
		}
	}
	if ran != 1 {
		t.Errorf("start was used %d times", ran)
	}
	if got := caught(func() { aside.Run(func() {}) }); got != nil {
		t.Errorf("%v", got)
	}
}
