package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// contained is a command of the image, run in its files alone and as its account
// where the test is root, and otherwise from them.
func contained(t *testing.T, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	w := built(t)
	config, err := w.image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), config.Config.Entrypoint[0], args...)
	cmd.Env = append(append([]string{}, config.Config.Env...), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Dir = "/"
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Chroot = w.root
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nonroot, Gid: nonroot}
	} else {
		cmd.Path = filepath.Join(w.root, cmd.Path)
	}
	return cmd
}

func TestVersionInTheImage(t *testing.T) {
	t.Parallel()
	out, err := contained(t, nil, "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "tradesage "+testVersion+" ") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestServeInTheImageSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	out, err := contained(t, nil, "serve").CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "tradesage: TRADESAGE_") || strings.Count(string(out), "\n") != 1 {
		t.Errorf("%v: want one line that names a setting, got:\n%s", err, out)
	}
}

func TestServeInTheImage(t *testing.T) {
	t.Parallel()
	public, metrics := freePort(t), freePort(t)
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	cmd := contained(t, []string{
		"TRADESAGE_LISTEN=" + public, "TRADESAGE_METRICS_LISTEN=" + metrics,
		"TRADESAGE_DATABASE_URL=postgres://127.0.0.1:1/none", "TRADESAGE_REDIS_URL=redis://127.0.0.1:1/0",
		"TRADESAGE_DATABASE_SECRET=" + key, "TRADESAGE_MASTER_KEY=" + key,
	}, "serve")
	var log output
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	await(t, "http://"+public+"/healthz", ended, &log)

	if os.Getuid() == 0 {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err != nil || !strings.Contains(string(status), "\nUid:\t65532\t65532\t65532\t65532\n") {
			t.Errorf("%v: not the image's account:\n%s", err, status)
		}
	}
	// There is no database, which it says instead of ending.
	response, err := http.Get("http://" + metrics + "/readyz") //nolint:noctx // an address of this test
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var ready struct {
		Checks map[string]struct{ Missing []string }
	}
	if err := json.NewDecoder(response.Body).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusServiceUnavailable || len(ready.Checks["start"].Missing) == 0 {
		t.Errorf("%d %+v", response.StatusCode, ready)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, log.text())
		}
	case <-time.After(30 * time.Second):
		t.Errorf("still running 30 s after SIGTERM\n%s", log.text())
	}
}

func await(t *testing.T, url string, ended <-chan error, log *output) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		if response, err := http.Get(url); err == nil { //nolint:noctx // an address of this test
			text, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
			t.Fatalf("%d %s", response.StatusCode, text)
		}
		select {
		case err := <-ended:
			t.Fatalf("ended: %v\n%s", err, log.text())
		case <-deadline:
			t.Fatalf("%s does not answer\n%s", url, log.text())
		case <-tick.C:
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output keeps what a process says.
type output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(b)
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}
