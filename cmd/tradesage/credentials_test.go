package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/internal/dbtest"
)

// credentialsFile runs the command for the services, as the operator.
func credentialsFile(t *testing.T, services ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "credentials.json")
	args := []string{"credentials", "--out", out}
	for _, service := range services {
		args = append(args, "--service", service)
	}
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Env = []string{
		"TRADESAGE_DATABASE_SECRET=" + base64.StdEncoding.EncodeToString(dbtest.Secret),
		"TRADESAGE_MASTER_KEY=" + masterKey, "TRADESAGE_SHARDS=4",
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("credentials: %v\n%s", err, text)
	}
	return out
}

type credentialsText struct {
	Logins map[string]string
	Keys   map[string][]byte
}

func TestUsersCredentialsOpenNothingElse(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	path := credentialsFile(t, "user")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var given credentialsText
	if err := json.Unmarshal(text, &given); err != nil {
		t.Fatal(err)
	}
	var logins, keys []string
	for login := range given.Logins {
		logins = append(logins, login)
	}
	for name := range given.Keys {
		keys = append(keys, name)
	}
	slices.Sort(logins)
	slices.Sort(keys)
	if diff := cmp.Diff([]string{"app_s00", "app_s01", "app_s02", "app_s03", "svc_user", "svc_verify"}, logins); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"claim", "invitations"}, keys); diff != "" {
		t.Error(diff)
	}
	for name, key := range given.Keys {
		if base64.StdEncoding.EncodeToString(key) == masterKey {
			t.Errorf("%s is the master key itself", name)
		}
	}
	if bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString(dbtest.Secret))) {
		t.Error("the file holds the secret of all logins")
	}
	// With what the file holds, nobody else's door opens.
	for _, login := range []string{"svc_auth", "svc_tenant", "svc_router", "svc_relay", "svc_session", "tradesage_owner", "postgres"} {
		for _, password := range given.Logins {
			if _, err := env.ConnectWith(t, login, password); err == nil {
				t.Errorf("one of the file's passwords opens %s", login)
			}
		}
	}
	// And behind its own, none of the secrets is.
	for login, password := range given.Logins {
		conn, err := env.ConnectWith(t, login, password)
		if err != nil {
			t.Fatalf("as %s: %v", login, err)
		}
		for _, sql := range []string{
			"SELECT hash FROM platform.password_credentials",
			"SELECT hash FROM platform.refresh_tokens",
			"SELECT private_sealed FROM platform.signing_keys",
			"SELECT email FROM platform.identities",
			"SET ROLE svc_auth",
		} {
			if _, err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("%s: %s: %v", login, sql, err)
			}
		}
	}
}

func TestServeWithACredentialsFile(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	environment := settings(env)
	environment["TRADESAGE_DATABASE_SECRET"], environment["TRADESAGE_MASTER_KEY"] = "", ""
	environment["TRADESAGE_DATABASE_CREDENTIALS_FILE"] = credentialsFile(t, "all")
	p := serveWith(t, environment)
	p.awaitText(t, func(s string) bool { return strings.Contains(s, "msg=serving") })
	if status, body := p.get(t, p.url+"/readyz"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if answer := p.ask(t, "", loginMutation, map[string]any{"email": "nobody@example.test", "password": "wrong password"}); answer.code() != "UNAUTHENTICATED" {
		t.Errorf("%+v", answer)
	}
	p.interrupt(t)
}

func TestServeRefusesCredentials(t *testing.T) {
	t.Parallel()
	open := credentialsFile(t, "all")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.json")
	if err := os.WriteFile(empty, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := base64.StdEncoding.EncodeToString(dbtest.Secret)
	for name, c := range map[string]struct{ file, secret, want string }{
		"open to everybody": {open, "", "chmod 600"},
		"absent":            {filepath.Join(t.TempDir(), "none"), "", "no such file"},
		"empty":             {empty, "", "no"},
		"another service's": {credentialsFile(t, "user"), "", "holds no master key; it was written for user"},
		"both":              {credentialsFile(t, "all"), secret, "TRADESAGE_DATABASE_SECRET"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environment := settings(dbtest.New(t))
			environment["TRADESAGE_MASTER_KEY"] = ""
			environment["TRADESAGE_DATABASE_SECRET"] = c.secret
			environment["TRADESAGE_DATABASE_CREDENTIALS_FILE"] = c.file
			p := serveWith(t, environment)
			if err := <-p.ended; err == nil || !strings.Contains(p.text(), "TRADESAGE_DATABASE_CREDENTIALS_FILE") || !strings.Contains(p.text(), c.want) {
				t.Errorf("%v, want %q in:\n%s", err, c.want, p.text())
			}
		})
	}
}
