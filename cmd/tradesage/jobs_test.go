package main_test

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/mail"
)

// jobsTable is what the operator's command prints.
func jobsTable(t *testing.T, environment map[string]string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"jobs"}, args...)...)
	for _, name := range []string{"TRADESAGE_DATABASE_URL", "TRADESAGE_DATABASE_SECRET"} {
		cmd.Env = append(cmd.Env, name+"="+environment[name])
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("jobs %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// Without a mail server mail waits untried, which is said once and where
// operators look; everything else goes on.
func TestMailWaitsForAServer(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	environment := settings(env)
	p := serveWith(t, environment)
	p.awaitText(t, func(said string) bool { return strings.Contains(said, "msg=serving") })

	m := mail.Message{ID: uuid.New(), To: "ada@acme.test", Subject: "Hello", Text: "A secret code"}
	body, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := env.DB.PlatformStore(db.ServiceAuth).Platform().InsertOutbox(t.Context(), platformdb.InsertOutboxParams{Kind: mail.Kind, Body: body}); err != nil {
		t.Fatal(err)
	}
	deadline, tick := time.After(30*time.Second), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		_, metrics := p.get(t, p.ops+"/metrics")
		if strings.Contains(metrics, `tradesage_jobs{kind="mail.send",state="available"} 1`) && strings.Contains(metrics, `tradesage_jobs{kind="housekeeping.sweep",state="completed"} 1`) {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no waiting mail, or no housekeeping, in\n%s\n%s", metrics, p.text())
		}
	}
	status, ready := p.get(t, p.url+"/readyz")
	if status != http.StatusOK || !strings.Contains(ready, "TRADESAGE_SMTP_HOST is not set: mail waits") {
		t.Errorf("readyz: %d %s", status, ready)
	}
	table := jobsTable(t, environment)
	if !strings.Contains(table, "mail.send  available") || !strings.Contains(table, "0/100") || strings.Contains(table, "secret") || strings.Contains(table, "ada@") {
		t.Errorf("jobs:\n%s", table)
	}
	if n := strings.Count(p.text(), "TRADESAGE_SMTP_HOST"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, p.text())
	}
	id, _, _ := strings.Cut(strings.Split(table, "\n")[1], " ")
	if table := jobsTable(t, environment, "--delete", id); strings.Contains(table, "mail.send") {
		t.Errorf("after --delete:\n%s", table)
	}
	p.interrupt(t)
}
