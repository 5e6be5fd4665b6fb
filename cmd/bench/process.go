package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a server of this run, configured by its environment.
type process struct {
	cmd  *exec.Cmd
	addr string
	log  *os.File
}

// readyWithin bounds the wait for a server.
const readyWithin = 30 * time.Second

// startProcess starts a server with these settings, which ends with this program,
// whatever ends it. It waits until the request is answered with 200 at addr.
func startProcess(ctx context.Context, cmd *exec.Cmd, addr, logTo string, request []byte, settings ...string) (*process, error) {
	log, err := os.Create(logTo)
	if err != nil {
		return nil, err
	}
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), settings...), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	p := &process{cmd, addr, log}
	if err := p.await(ctx, request); err != nil {
		_ = p.close() // what it said tells more
		said, _ := os.ReadFile(logTo)
		return nil, fmt.Errorf("%s is not ready: %w\n%s", cmd.Path, err, said)
	}
	return p, nil
}

func (p *process) await(ctx context.Context, request []byte) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		c, err := dial(p.addr)
		if err == nil {
			_, err = c.do(request)
			c.close()
		}
		if err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// close ends it in an orderly way, and fails where it ends otherwise.
func (p *process) close() error {
	err := errors.Join(p.cmd.Process.Signal(syscall.SIGTERM), p.cmd.Wait())
	if err != nil {
		said, _ := os.ReadFile(p.log.Name())
		err = fmt.Errorf("%s ended badly: %w\n%s", p.cmd.Path, err, said)
	}
	return errors.Join(err, p.log.Close())
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
