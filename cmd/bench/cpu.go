package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU returns the CPU time that a process has used, user and system.
func processCPU(pid int) (time.Duration, error) {
	// The clock of another process: clock_getcpuclockid(3), CPUCLOCK_SCHED.
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &at); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(at.Nano()), nil
}

// child is a server that this program started; it ends when its input does.
type child struct {
	cmd   *exec.Cmd
	input io.Closer
	// output is what it prints after the address.
	output *bufio.Reader
	addr   string
}

// startSelf runs this program again as a server, which first prints its address.
func startSelf(args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, args...)} //nolint:gosec // this program itself
	c.cmd.Stderr = os.Stderr
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.output = bufio.NewReader(output)
	line, err := c.output.ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not start: %w", strings.Join(args, " "), err), c.close())
	}
	c.addr = strings.TrimSpace(line)
	return c, nil
}

func (c *child) close() error {
	_ = c.input.Close() // asks it to end
	return c.cmd.Wait()
}
