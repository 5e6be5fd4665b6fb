package main_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDevKeepsAndResetsItsData(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	p := start(t, data)
	token, _ := p.signIn(t, "owner@acme.test")
	if answer := p.ask(t, token, `mutation { updateProfile(input: {displayName: "Kept"}) { user { id } } }`, nil); len(answer.Errors) > 0 {
		t.Fatalf("%+v", answer)
	}
	if status, text := p.get(t, p.url+"/playground/settings.json"); status != 200 || !strings.Contains(text, "owner@acme.test") {
		t.Errorf("the playground's accounts: %d %s", status, text)
	}
	// A second one on the same folder is told who holds it.
	second := launch(t, data)
	if err := <-second.ended; err == nil || !strings.Contains(second.text(), fmt.Sprint(p.cmd.Process.Pid)) {
		t.Errorf("second start: %v %s", err, second.text())
	}
	// A killed parent leaves no children, and the data stay whole.
	children := descendants(t, p.cmd.Process.Pid)
	if len(children) < 2 {
		t.Fatalf("children: %v", children)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	deadline, tick := time.After(20*time.Second), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for alive(children) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("children of a killed parent live on: %v", children)
		}
	}
	p = start(t, data)
	t.Logf("start on existing data took %s", p.took)
	name := func() any {
		token, _ := p.signIn(t, "owner@acme.test")
		return dig(p.ask(t, token, `{ me { displayName } }`, nil).Data, "me", "displayName")
	}
	if got := name(); got != "Kept" {
		t.Errorf("after a restart: %v", got)
	}
	p.interrupt(t)

	// Secrets that do not fit the database are named in one line.
	secrets := filepath.Join(data, "secrets.json")
	for _, text := range []string{"", "{}", `{"Database":"AAAA","MasterKey":"AAAA"}`, "no file"} {
		if err := os.WriteFile(secrets, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if text == "no file" {
			if err := os.Remove(secrets); err != nil {
				t.Fatal(err)
			}
		}
		failed := launch(t, data)
		err, said := <-failed.ended, failed.text()
		_, message, _ := strings.Cut(said, "tradesage: ")
		if err == nil || strings.Count(message, "\n") != 1 || !strings.Contains(message, "secrets.json") || !strings.Contains(message, "--reset") {
			t.Errorf("with %q for secrets: %v %s", text, err, said)
		}
	}

	p = start(t, data, "--reset")
	if got := name(); got == "Kept" {
		t.Error("--reset kept the data")
	}
	p.interrupt(t)
}

func descendants(t *testing.T, pid int) []int {
	t.Helper()
	all := []int{}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, task := range tasks {
		list, err := os.ReadFile(task)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, list...)
	}
	words := bufio.NewScanner(bytes.NewReader(text))
	words.Split(bufio.ScanWords)
	for words.Scan() {
		var child int
		if _, err := fmt.Sscan(words.Text(), &child); err != nil {
			t.Fatal(err)
		}
		all = append(all, child)
	}
	return all
}

func alive(pids []int) bool {
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			return true
		}
	}
	return false
}

func TestDevSaysWhatIsWrongInOneLine(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ours := dataFolder(t)
	if err := os.MkdirAll(ours, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(ours, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		args []string
		env  []string
		want string
	}{
		"a busy port":          {[]string{"--listen", busy.Addr().String()}, nil, "address already in use"},
		"a file for a folder":  {[]string{"--data", file}, nil, "not a folder"},
		"somebody else's data": {[]string{"--data", ours, "--reset"}, nil, "was not made by tradesage"},
		"an unknown flag":      {[]string{"--nonsense"}, nil, "unknown flag"},
		"a bad value":          {[]string{"--log-level", "loud"}, nil, "must be one of"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"dev", "--listen", freePort(t), "--metrics-listen", freePort(t), "--data", dataFolder(t)}, c.args...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary(t), args...)
			cmd.Env = append(os.Environ(), c.env...)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("got %v, want %q in:\n%s", err, c.want, out)
			}
			if _, err := os.Stat(filepath.Join(ours, "precious")); err != nil {
				t.Error("a file that is not ours was removed")
			}
		})
	}
}
