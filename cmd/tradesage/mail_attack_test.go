package main_test

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	tradesage "github.com/tradesage/tradesage/cmd/tradesage"
	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/mail"
)

// Code that runs as a tenant in the database may emit what it likes, and has no
// mail of its own words sent, nor what belongs to the platform done.
func TestATenantsCodeWritesToNobody(t *testing.T) {
	t.Parallel()
	env := dbtest.NewDatabase(t)
	environment := settings(env)
	if err := tradesage.Seed(t.Context(), environment); err != nil {
		t.Fatal(err)
	}
	smtp := newPostOffice(t)
	host, port, _ := net.SplitHostPort(smtp.address)
	environment["TRADESAGE_SMTP_HOST"], environment["TRADESAGE_SMTP_PORT"], environment["TRADESAGE_SMTP_PLAINTEXT"] = host, port, "true"
	p := serveWith(t, environment)
	p.awaitText(t, func(said string) bool { return strings.Contains(said, "msg=serving") })

	place := env.Tenant(t)
	phishing, err := mail.Message{ID: uuid.New(), To: "victim@people.test", Subject: "Your TradeSage account", Text: "Sign in at https://evil.test"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for kind, body := range map[string]json.RawMessage{
		"mail.send": phishing, "mail.invitation": phishing, "housekeeping.sweep": json.RawMessage("{}"),
	} {
		if err := env.DB.Store(db.ServiceUser).Tenant(place).Emit(t.Context(), kind, body); err != nil {
			t.Fatal(err)
		}
	}
	owner, _ := p.signIn(t, "owner@acme.test")
	if answer := p.ask(t, owner, inviteMutation, map[string]any{"email": "grace@navy.test", "role": "viewer"}); len(answer.Errors) > 0 {
		t.Fatalf("%+v", answer)
	}
	deadline, tick := time.After(30*time.Second), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for {
		given := jobsTable(t, environment, "--given-up")
		if strings.Contains(given, "mail.send") && strings.Contains(given, "housekeeping.sweep") && len(smtp.box.Messages()) > 0 {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%v in the box\n%s\n%s", smtp.box.Messages(), given, p.text())
		}
	}
	for _, m := range smtp.box.Messages() {
		if m.To != "grace@navy.test" || strings.Contains(m.Text, "evil") {
			t.Errorf("somebody got %+v", m)
		}
	}
	p.interrupt(t)
}
