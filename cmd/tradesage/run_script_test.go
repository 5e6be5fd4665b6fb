package main_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// portOffset is one at which every port of deploy/run.sh is free.
func portOffset(t *testing.T) int {
	t.Helper()
	for range 100 {
		offset, free := 1000+rand.IntN(14000), true
		for _, port := range []int{8000, 8001, 8002, 8003, 8004, 9090, 9091, 9092, 9093, 9094, 15432, 16432, 16379} {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+offset))
			if err != nil {
				free = false
				break
			}
			_ = l.Close()
		}
		if free {
			return offset
		}
	}
	t.Fatal("no free ports")
	return 0
}

// The whole system as deploy/run.sh brings it up: five processes with certificates
// and credentials of their own, behind PgBouncer.
func TestTheSystemOfTheScript(t *testing.T) {
	t.Parallel()
	offset := portOffset(t)
	environment := []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DATA=" + dataFolder(t), "TRADESAGE=" + binary(t), fmt.Sprintf("PORT_OFFSET=%d", offset),
	}
	p := &process{ended: make(chan error, 1), url: fmt.Sprintf("http://127.0.0.1:%d", 8001+offset)}
	p.cmd = exec.Command("../../deploy/run.sh")
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = environment, p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() { // it ends its processes
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.ended
	})
	p.awaitText(t, func(s string) bool { return strings.Contains(s, "ready at "+p.url) })

	invite := exec.CommandContext(t.Context(), "../../deploy/run.sh", "admin", "invite", "ada@tradesage.example")
	invite.Env = environment
	link, err := invite.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, link)
	}
	answer := p.ask(t, "", acceptMutation, map[string]any{"code": codeIn(t, string(link)), "password": "tradesage-dev", "name": "Ada"})
	if dig(answer.Data, "acceptInvitation", "tenant", "slug") != "tradesage" {
		t.Fatalf("%+v", answer)
	}
	token, id := p.signIn(t, "ada@tradesage.example")
	me := p.ask(t, token, meQuery, nil)
	if dig(me.Data, "me", "id") != id || dig(me.Data, "me", "sessions", "edges", 0, "node", "current") != true {
		t.Errorf("%+v", me)
	}
	made := p.ask(t, token, `mutation { createTenant(input: {name: "Acme", slug: "acme", ownerEmail: "owner@acme.test"}) { tenant { state } } }`, nil)
	if dig(made.Data, "createTenant", "tenant", "state") != "ACTIVE" {
		t.Errorf("%+v", made)
	}
	if err := p.end(t, os.Signal(syscall.SIGTERM)); err != nil || !strings.HasSuffix(p.text(), "stopped\n") {
		t.Errorf("%v\n%s", err, p.text())
	}
	for _, port := range []int{8000, 8001, 8002, 8003, 8004, 15432, 16432, 16379} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+offset))
		if err != nil {
			t.Errorf("something was left behind: %v", err)
			continue
		}
		_ = l.Close()
	}
}
