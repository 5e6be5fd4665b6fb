package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tradesage/tradesage/internal/dbtest"
)

// The tests here drive the built program as its users do: over HTTP, and with
// signals.

var built struct {
	once sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := dbtest.Main(m)
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

// binary builds the program once.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "tradesage-e2e-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "tradesage")
		if out, err := exec.Command("go", "build", "-o", built.path, ".").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// ports counts those that freePort has given away.
var ports atomic.Int64

// firstPort and portRange are below what the system gives to connections, which
// would take an address before a program listens there.
const firstPort, portRange = 10_000, 22_000

var portsFrom = rand.IntN(portRange)

// freePort returns an address that nobody listens at, and no address twice.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		at := fmt.Sprintf("127.0.0.1:%d", firstPort+(portsFrom+int(ports.Add(1)))%portRange)
		if l, err := net.Listen("tcp", at); err == nil {
			_ = l.Close()
			return at
		}
	}
	t.Fatal("no port is free")
	return ""
}

// dataFolder is a short path that PostgreSQL's user can reach.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tradesage-e2e-data-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "data")
}

// process is one running tradesage.
type process struct {
	cmd  *exec.Cmd
	url  string
	ops  string
	took time.Duration
	// mails is where mail arrives, as JSON.
	mails string
	// parts are the processes of a system of several.
	parts []*process

	mu     sync.Mutex
	output bytes.Buffer
	ended  chan error
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *process) text() string {
	all := ""
	for _, part := range p.parts {
		all += part.text()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return all + p.output.String()
}

// launch starts dev and returns at once.
func launch(t *testing.T, data string, args ...string) *process {
	t.Helper()
	p := &process{ended: make(chan error, 1)}
	public, ops := freePort(t), freePort(t)
	p.url, p.ops = "http://"+public, "http://"+ops
	p.mails = p.url + "/dev/mail.json"
	p.cmd = exec.Command(binary(t), append([]string{"dev", "--listen", public, "--metrics-listen", ops, "--data", data}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
		<-p.ended
	})
	return p
}

// start starts dev and waits until it is ready.
func start(t *testing.T, data string, args ...string) *process {
	t.Helper()
	began := time.Now()
	p := launch(t, data, args...)
	deadline, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-p.ended:
			t.Fatalf("dev ended: %v\n%s", err, p.text())
		case <-deadline:
			t.Fatalf("dev was not ready within a minute\n%s", p.text())
		case <-tick.C:
			if strings.Contains(p.text(), "Ctrl-C stops everything") {
				p.took = time.Since(began)
				return p
			}
		}
	}
}

// interrupt is Ctrl-C, for each process of the system.
func (p *process) interrupt(t *testing.T) {
	t.Helper()
	for _, part := range p.parts {
		part.interrupt(t)
	}
	if p.cmd == nil {
		return
	}
	if err := p.end(t, os.Interrupt); err != nil {
		t.Errorf("ended with %v\n%s", err, p.text())
	}
}

type gqlError struct {
	Message    string
	Path       []any
	Extensions struct {
		Code, Field, RequestID string
		MaxAge                 int
	}
}

type gqlResponse struct {
	Status int `json:"-"`
	Data   map[string]any
	Errors []gqlError
}

func (r gqlResponse) code() string {
	if len(r.Errors) == 0 {
		return ""
	}
	return r.Errors[0].Extensions.Code
}

// ask sends one operation; an empty token is an anonymous request.
func (p *process) ask(t *testing.T, token, query string, variables map[string]any) gqlResponse {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.text())
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := gqlResponse{Status: resp.StatusCode}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return answer
}

const loginMutation = `mutation ($email: String!, $password: String!, $tenant: String) {
	login(input: {email: $email, password: $password, tenant: $tenant}) { accessToken refreshToken expiresIn user { id email } } }`

// signIn returns an access token and the user's id.
func (p *process) signIn(t *testing.T, email string) (token, id string) {
	t.Helper()
	answer := p.ask(t, "", loginMutation, map[string]any{"email": email, "password": "tradesage-dev"})
	if len(answer.Errors) > 0 {
		t.Fatalf("login of %s: %+v\n%s", email, answer.Errors, p.text())
	}
	login := answer.Data["login"].(map[string]any)
	return login["accessToken"].(string), login["user"].(map[string]any)["id"].(string)
}

func (p *process) get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // an address of this test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// dig walks into a decoded response.
func dig(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			list, _ := v.([]any)
			if step >= len(list) {
				return nil
			}
			v = list[step]
		}
	}
	return v
}
