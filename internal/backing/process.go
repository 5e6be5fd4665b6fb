package backing

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a running child that ends when its parent does.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; read after done
}

// startProcess starts cmd so that the kernel sends it the signal bequest when
// this process dies by whatever cause.
//
// The kernel means the thread that forked, not the process, so one locked
// thread starts the child and stays with it. The child has a process group of
// its own, so that a terminal's Ctrl-C reaches only the parent.
func startProcess(name string, cmd *exec.Cmd, bequest syscall.Signal) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = bequest
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// stop sends the signals one after the other, each after patience has passed
// without an end, and SIGKILL at last. It returns when the child is gone.
func (p *process) stop(patience time.Duration, signals ...syscall.Signal) error {
	for i, sig := range append(signals, syscall.SIGKILL) {
		// An error means that the child has ended meanwhile; done says so.
		_ = p.cmd.Process.Signal(sig)
		timer := time.NewTimer(patience)
		select {
		case <-p.done:
			timer.Stop()
			if i == 0 {
				return nil
			}
			return problemf(ErrFailed, "%s did not stop within %v and was ended by force", p.name, patience)
		case <-timer.C:
		}
	}
	<-p.done
	return problemf(ErrFailed, "%s did not stop and was killed", p.name)
}

// environment is all that a child sees of ours.
func environment() []string {
	return []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/nonexistent", "TMPDIR=" + os.TempDir()}
}
