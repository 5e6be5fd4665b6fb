// Package aside runs what needs a deep stack on another goroutine: a stack that has
// grown stays with its goroutine, which may then do nothing but wait for hours, as
// thousands do that follow something.
package aside

import (
	"fmt"
	"runtime/debug"
)

// Panic is what a panic on the other goroutine is for who waits for it.
type Panic struct {
	// Value is what the panic was raised with, Stack where.
	Value any
	Stack []byte
}

// Error tells both.
func (p *Panic) Error() string { return fmt.Sprintf("%v\n%s", p.Value, p.Stack) }

// Run runs f on a new goroutine and waits for its end. A panic of f's is the caller's,
// as a *Panic.
func Run(f func()) { On(func(f func()) { go f() }, f) }

// On is Run with start to begin it, on a goroutine that has run other things before.
// It waits until start has run what it was given.
func On(start func(func()), f func()) {
	var raised *Panic
	done := make(chan struct{})
	start(func() {
		defer close(done)
		defer func() {
			switch value := recover().(type) {
			case nil:
			case *Panic: // of another one within f
				raised = value
			default:
				raised = &Panic{value, debug.Stack()}
			}
		}()
		f()
	})
	<-done
	if raised != nil {
		panic(raised)
	}
}
