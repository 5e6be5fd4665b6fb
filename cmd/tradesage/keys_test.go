package main_test

import (
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// keys runs the command against the test database.
func keys(t *testing.T, e *dbtest.Env, args ...string) (string, error) {
	t.Helper()
	return keysWith(t, settings(e), args...)
}

func keysWith(t *testing.T, environment map[string]string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"keys"}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// person makes a user of a fresh tenant, with the password of signIn.
func person(t *testing.T, e *dbtest.Env) (email string) {
	t.Helper()
	hash, err := argon2id.CreateHash("tradesage-dev", &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	id, home, q := uuid.New(), e.Tenant(t), e.DB.PlatformStore(db.ServiceAuth).Platform()
	email = "p" + id.String()[:8] + "@keys.test"
	if err := q.CreateIdentity(t.Context(), platformdb.CreateIdentityParams{ID: id, Email: email}); err != nil {
		t.Fatal(err)
	}
	if _, err := q.SetFirstPassword(t.Context(), platformdb.SetFirstPasswordParams{IdentityID: id, Hash: hash}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.DB.Store(db.ServiceAuth).Tenant(home).UpsertUser(t.Context(), tenantdb.UpsertUserParams{ID: id, Email: email}); err != nil {
		t.Fatal(err)
	}
	if err := q.AddMembership(t.Context(), id, home.ID()); err != nil {
		t.Fatal(err)
	}
	return email
}

// hammer asks for me with every token that is in the stream, again and again,
// until end is called, which tells how often.
func (p *process) hammer(t *testing.T, tokens chan string) (end func() int64) {
	t.Helper()
	var asked atomic.Int64
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				case token := <-tokens:
					if answer := p.ask(t, token, `{ me { id } }`, nil); len(answer.Errors) > 0 {
						t.Errorf("%+v", answer)
						return
					}
					asked.Add(1)
					tokens <- token
				}
			}
		})
	}
	return func() int64 {
		close(stop)
		clients.Wait()
		return asked.Load()
	}
}

// One process runs on while the keys are rotated under it, another one starts
// after that and signs with the new keys at once. Clients use tokens of both, at
// both, all the while, and no request meets a 401.
func TestRotationOfKeysMeetsNo401(t *testing.T) {
	t.Parallel()
	e := dbtest.NewDatabase(t)
	serving := func() *process {
		environment := settings(e)
		environment["TRADESAGE_PUBLIC_URL"] = "https://tradesage.test" // of all its processes
		p := serveWith(t, environment)
		p.awaitText(t, func(said string) bool { return strings.Contains(said, "serving") })
		return p
	}
	old := serving()
	email := person(t, e)
	first, _ := old.signIn(t, email)

	if out, err := keys(t, e, "rotate"); err == nil || !strings.Contains(out, "two minutes") {
		t.Fatalf("right after the start: %v\n%s", err, out)
	}
	before, err := keys(t, e, "list")
	if err != nil || strings.Count(before, "signing") != 2 || strings.Count(before, "claim") != 2 || strings.Count(before, "next") != 2 {
		t.Fatalf("%v\n%s", err, before)
	}
	admin := e.Connect(t, "postgres")
	for _, table := range []string{"signing_keys", "claim_keys"} { // an hour passes
		if _, err := admin.Exec(t.Context(), "UPDATE platform."+table+" SET created_at = created_at - interval '1 hour'"); err != nil {
			t.Fatal(err)
		}
	}

	tokens := make(chan string, 64)
	for range 4 {
		tokens <- first
	}
	endOld := old.hammer(t, tokens)
	out, err := keys(t, e, "rotate")
	if err != nil || strings.Count(out, "retired") != 2 || strings.Count(out, "active") != 2 || strings.Count(out, "next") != 2 {
		t.Fatalf("%v\n%s", err, out)
	}
	young := serving()
	endYoung := young.hammer(t, tokens)
	for range 3 {
		fresh, _ := young.signIn(t, email) // signed with the key that was next for old
		stale, _ := old.signIn(t, email)   // signed with the one that is retired for young
		if kid(t, fresh) == kid(t, first) || kid(t, stale) != kid(t, first) {
			t.Fatalf("keys %s, %s, %s", kid(t, first), kid(t, stale), kid(t, fresh))
		}
		tokens <- fresh
		tokens <- stale
		for _, p := range []*process{old, young} {
			for _, token := range []string{first, fresh, stale} {
				if answer := p.ask(t, token, `{ me { id } }`, nil); len(answer.Errors) > 0 {
					t.Errorf("%+v", answer)
				}
			}
		}
	}
	if n, m := endOld(), endYoung(); n < 20 || m < 20 {
		t.Errorf("only %d and %d requests", n, m)
	}
	var events int
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM platform.audit_events WHERE action = 'keys.rotate' AND tenant_id IS NULL").Scan(&events); err != nil || events != 1 {
		t.Errorf("%d audit events of one rotation, %v", events, err)
	}
	if out, err := keys(t, e, "rotate"); err == nil || !strings.Contains(out, "two minutes") {
		t.Errorf("right after a rotation: %v\n%s", err, out)
	}
}

// kid is the id of the key that signed a token.
func kid(t *testing.T, token string) string {
	t.Helper()
	header, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		t.Fatal(err)
	}
	var fields struct{ Kid string }
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return fields.Kid
}

func TestKeysAreRotatedByWhoMay(t *testing.T) {
	t.Parallel()
	e := dbtest.NewDatabase(t)
	if out, err := keys(t, e, "rotate"); err == nil || !strings.Contains(out, "there are no keys yet") {
		t.Errorf("before the first start: %v\n%s", err, out)
	}
	for setting, wrong := range map[string]string{"TRADESAGE_MASTER_KEY": "c2hvcnQ=", "TRADESAGE_DATABASE_SECRET": "%"} {
		environment := settings(e)
		environment[setting] = wrong
		if out, err := keysWith(t, environment, "rotate"); err == nil || !strings.Contains(out, setting) {
			t.Errorf("%s: %v\n%s", setting, err, out)
		}
	}
}
