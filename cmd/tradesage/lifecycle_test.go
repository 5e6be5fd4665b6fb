package main_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/internal/backing"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// traffic asks one thing again and again, and keeps how each answer was.
type traffic struct {
	mu      sync.Mutex
	answers []trafficAnswer
	stop    context.CancelFunc
	done    sync.WaitGroup
}

type trafficAnswer struct {
	at   time.Time
	code string // "" for an answer without errors
	data bool   // whether there was any
}

// load starts the traffic of a few clients of the router.
func load(t *testing.T, p *process, token, query string) *traffic {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &traffic{stop: stop}
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		l.done.Go(func() {
			for ctx.Err() == nil {
				answer, err := tryAsk(ctx, p.url+"/graphql", token, body)
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					answer.code = err.Error() // the router itself must always answer
				}
				answer.at = time.Now()
				l.mu.Lock()
				l.answers = append(l.answers, answer)
				l.mu.Unlock()
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func tryAsk(ctx context.Context, url, token string, body []byte) (trafficAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return trafficAnswer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return trafficAnswer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return trafficAnswer{}, err
	}
	var r gqlResponse
	if err := json.Unmarshal(text, &r); err != nil {
		return trafficAnswer{}, fmt.Errorf("%s: %w", text, err)
	}
	a := trafficAnswer{code: r.code(), data: r.Data != nil}
	if len(r.Errors) > 0 && a.code == "" {
		a.code = "an error without a code"
	}
	return a, nil
}

func (l *traffic) end() {
	l.stop()
	l.done.Wait()
}

// since returns how the answers after a moment were, by their codes.
func (l *traffic) since(at time.Time) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[string]int{}
	for _, a := range l.answers {
		if a.at.After(at) {
			counts[a.code]++
		}
	}
	return counts
}

// await waits until the counts of the answers from now on are such.
func (l *traffic) await(t *testing.T, what string, within time.Duration, such func(map[string]int) bool) time.Duration {
	t.Helper()
	began := time.Now()
	deadline, tick := time.After(within), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		if such(l.since(began)) {
			return time.Since(began)
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s: %v", what, within, l.since(began))
		}
	}
}

// recovered waits until answers are good again, for a hundred in a row.
func (l *traffic) recovered(t *testing.T, what string) {
	t.Helper()
	began := time.Now()
	deadline, tick := time.After(recoverWithin), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		l.mu.Lock()
		good := 0
		for i := len(l.answers) - 1; i >= 0 && l.answers[i].code == "" && l.answers[i].at.After(began); i-- {
			good++
		}
		l.mu.Unlock()
		if good >= 100 {
			t.Logf("%s: recovered and answered 100 requests within %s", what, time.Since(began).Round(time.Millisecond))
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: no recovery: %v", what, l.since(began))
		}
	}
}

// recoverWithin is generous, for busy machines; the log tells how long it took.
const recoverWithin = 30 * time.Second

// only is whether all codes are among those.
func only(counts map[string]int, codes ...string) bool {
	for code := range counts {
		known := false
		for _, c := range codes {
			known = known || c == code
		}
		if !known {
			return false
		}
	}
	return true
}

// A service that is killed and started again: its fields are UNAVAILABLE, the rest
// is served, and all is well moments after its return.
func TestAServiceIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStack(t, true, 1)
	p := s.system(t)
	token, id := p.signIn(t, "owner@acme.test")
	const query = `{ me { id email sessions(first: 1) { edges { node { id } } } } }`
	l := load(t, p, token, query)
	l.await(t, "traffic", recoverWithin, func(counts map[string]int) bool { return counts[""] > 50 })

	began := time.Now()
	session := s.services["session"]
	_ = session.end(t, syscall.SIGKILL)
	l.await(t, "an outage", recoverWithin, func(counts map[string]int) bool { return counts["UNAVAILABLE"] > 20 })
	answer := p.ask(t, token, query, nil)
	want := map[string]any{"me": map[string]any{"id": id, "email": "owner@acme.test", "sessions": nil}}
	if diff := cmp.Diff(want, answer.Data); diff != "" || answer.code() != "UNAVAILABLE" {
		t.Errorf("%+v %s", answer.Errors, diff)
	}
	if answer := p.ask(t, token, `{ me { email tenant { slug } } }`, nil); len(answer.Errors) > 0 {
		t.Errorf("the other services do not go on: %+v", answer)
	}
	if status, text := p.get(t, p.url+"/readyz"); status != http.StatusOK || !strings.Contains(text, `"session":{"ok":false,"needed":false`) {
		t.Errorf("readyz of the router: %d %s", status, text)
	}
	if counts := l.since(began); !only(counts, "", "UNAVAILABLE") {
		t.Errorf("%v", counts)
	}
	s.services["session"] = s.restart(t, "session")
	l.recovered(t, "session")

	// The same in good order: what is under way is answered.
	if err := s.services["user"].end(t, syscall.SIGTERM); err != nil {
		t.Errorf("%v\n%s", err, s.services["user"].text())
	}
	s.services["user"] = s.restart(t, "user")
	l.recovered(t, "user")
	l.end()
	if counts := l.since(began); !only(counts, "", "UNAVAILABLE") {
		t.Errorf("%v", counts)
	}
}

// restart starts a service again, with its old settings.
func (s *stack) restart(t *testing.T, service string) *process {
	t.Helper()
	return serveWith(t, s.settings[service])
}

// ownDatabases are databases that a test may stop.
type ownDatabases struct{ dir string }

func (o ownDatabases) start(t *testing.T, postgres bool) *backing.Services {
	t.Helper()
	dir := o.dir + "/redis"
	if postgres {
		dir = o.dir + "/postgres"
	}
	services, err := backing.Start(t.Context(), backing.Options{Dir: dir, Postgres: postgres, Redis: !postgres})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = services.Close() }) // closed already where the test went well
	return services
}

func closeServices(t *testing.T, services *backing.Services) {
	t.Helper()
	if err := services.Close(); err != nil {
		t.Fatal(err)
	}
}

// earlyProcess starts before there is anything in the database: it answers, and
// says what it waits for.
func earlyProcess(t *testing.T, common map[string]string) *process {
	t.Helper()
	environment := map[string]string{"TRADESAGE_START_WAIT": "1m"}
	for k, v := range common {
		environment[k] = v
	}
	p := serveWith(t, environment)
	p.awaitText(t, func(text string) bool { return strings.Contains(text, "waiting to start") })
	if status, text := p.get(t, p.url+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(text, "postgresql does not answer") {
		t.Errorf("readyz: %d %s", status, text)
	}
	if status, text := p.get(t, p.url+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d %s", status, text)
	}
	if answer := p.ask(t, "", `{ me { id } }`, nil); answer.code() != "UNAVAILABLE" || answer.Status != http.StatusServiceUnavailable {
		t.Errorf("%+v", answer)
	}
	return p
}

// Redis and PostgreSQL are stopped and come back while requests run. The processes
// stay, nobody is signed out, and no answer is anything but right or UNAVAILABLE.
func TestDatabasesRestartUnderLoad(t *testing.T) {
	t.Parallel()
	own := ownDatabases{dataFolder(t)}
	postgres, redis := own.start(t, true), own.start(t, false)
	common := map[string]string{
		"TRADESAGE_DATABASE_URL":    postgres.PostgresURL("nobody", "", "tradesage"),
		"TRADESAGE_DATABASE_SECRET": base64.StdEncoding.EncodeToString(dbtest.Secret), "TRADESAGE_MASTER_KEY": masterKey,
		"TRADESAGE_REDIS_URL": redis.RedisURL(), "TRADESAGE_BLANKS": "2", "TRADESAGE_LOG_FORMAT": "text",
		"TRADESAGE_RATE_USER": "off", "TRADESAGE_RATE_SECRETS": "off",
	}
	cmd := exec.CommandContext(t.Context(), binary(t), "migrate")
	cmd.Env = []string{
		"TRADESAGE_DATABASE_URL=" + common["TRADESAGE_DATABASE_URL"], "TRADESAGE_DATABASE_SECRET=" + common["TRADESAGE_DATABASE_SECRET"],
		"TRADESAGE_DATABASE_OWNER_SECRET=BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=", "TRADESAGE_SHARDS=4",
		"TRADESAGE_DATABASE_ADMIN_URL=" + postgres.PostgresURL("postgres", postgres.SuperuserPassword(), "tradesage"),
	}
	early := earlyProcess(t, common)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	(&stack{}).awaitReady(t, early)
	early.interrupt(t)
	s := newStackOn(t, common, true, 1)
	p := s.system(t)
	token, _ := p.signIn(t, "owner@acme.test")
	l := load(t, p, token, meQuery)
	l.await(t, "traffic", recoverWithin, func(counts map[string]int) bool { return counts[""] > 50 })
	began := time.Now()

	closeServices(t, redis)
	l.await(t, "without Redis", recoverWithin, func(counts map[string]int) bool { return counts[""] > 20 })
	redis = own.start(t, false)
	l.recovered(t, "Redis")

	closeServices(t, postgres)
	l.await(t, "without PostgreSQL", recoverWithin, func(counts map[string]int) bool { return counts["UNAVAILABLE"] > 20 })
	if status, text := p.get(t, p.url+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(text, `"postgresql":{"ok":false`) {
		t.Errorf("readyz without PostgreSQL: %d %s", status, text)
	}
	postgres = own.start(t, true)
	l.recovered(t, "PostgreSQL")
	s.awaitReady(t, s.routers[0])
	l.end()
	if counts := l.since(began); !only(counts, "", "UNAVAILABLE") {
		t.Errorf("%v", counts)
	}
	if answer := p.ask(t, token, `mutation { updateProfile(input: {displayName: "Still here"}) { user { displayName } } }`, nil); len(answer.Errors) > 0 {
		t.Errorf("%+v", answer)
	}
	p.interrupt(t)
	closeServices(t, redis)
	closeServices(t, postgres)
}
