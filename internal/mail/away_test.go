package mail_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/jobs"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/mail"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// From the outbox through the queue: a mail waits while the server is away or
// busy and arrives once when it is back; what the server refuses is given up.
func TestAMailWaitsForTheServer(t *testing.T) {
	t.Parallel()
	env, s := dbtest.New(t), newSink(t, nil)
	sender := s.sender(t, nil)
	address := s.addr.String()
	s.stop()

	failed, givenUp := make(chan error, 64), make(chan jobs.Job, 1)
	client, err := env.DB.Jobs(jobs.Options{
		Queues: map[string]int{"mail": 1}, Logger: slog.New(slog.DiscardHandler),
		GivenUp: func(_ context.Context, j jobs.Job, _ error) { givenUp <- j },
		Kinds: []jobs.Kind{{
			Name: mail.Kind, Queue: "mail", MaxAttempts: 1000, FirstDelay: 5 * time.Millisecond, MaxDelay: 20 * time.Millisecond, Unique: true,
			Handle: func(ctx context.Context, j jobs.Job) error {
				err := mail.Deliver(ctx, sender, j.Body)
				if err != nil {
					select {
					case failed <- err:
					default: // enough failures are noted
					}
				}
				if mail.Refused(err) {
					return jobs.Permanent(err)
				}
				return err
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	relay := db.NewRelay(env.DB.PlatformStore(db.ServiceRelay), slog.Default(), nil)
	relay.HandOverTo(client)
	send := func(m mail.Message) {
		t.Helper()
		body, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		q := env.DB.PlatformStore(db.ServiceAuth).Platform()
		if err := q.InsertOutbox(t.Context(), platformdb.InsertOutboxParams{Kind: mail.Kind, Body: body}); err != nil {
			t.Fatal(err)
		}
		if _, err := relay.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	waitFor := func(what string, is func() bool) {
		t.Helper()
		deadline, tick := time.After(30*time.Second), time.NewTicker(20*time.Millisecond)
		defer tick.Stop()
		for !is() {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("not within 30 s: %s", what)
			}
		}
	}

	m := message("Late")
	send(m)
	waitFor("two failures while the server is away", func() bool { return len(failed) >= 2 })
	s.refuse(func(stage string) error {
		if stage == "rcpt" {
			return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "busy"}
		}
		return nil
	})
	s.start(t, address)
	for err := range failed {
		if strings.Contains(err.Error(), "450") {
			break
		}
	}
	s.refuse(nil)
	waitFor("the mail arrives", func() bool { return len(s.deliveries()) == 1 })
	if got := s.deliveries()[0]; got.To != m.To || !strings.Contains(string(got.Data), m.ID.String()) {
		t.Errorf("%+v", got)
	}

	s.refuse(func(stage string) error {
		if stage == "rcpt" {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
		}
		return nil
	})
	send(message("Refused"))
	select {
	case j := <-givenUp:
		if j.Kind != mail.Kind || j.Attempt != 1 {
			t.Errorf("given up: %+v", j)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("a refused mail is not given up")
	}
	if n := len(s.deliveries()); n != 1 {
		t.Errorf("%d deliveries, want the one", n)
	}
}
