package main_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
)

func TestCertsAreDelivered(t *testing.T) {
	t.Parallel()
	authority, own := filepath.Join(t.TempDir(), "authority"), t.TempDir()
	out := certs(t, authority, "--service", "user", "--deliver", own)
	if !strings.Contains(out, "delivered to "+own+": ca.crt user.crt user.key\n") {
		t.Error(out)
	}
	entries, err := os.ReadDir(own)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
		delivered, err := os.ReadFile(filepath.Join(own, entry.Name()))
		made, otherErr := os.ReadFile(filepath.Join(authority, entry.Name()))
		if err != nil || otherErr != nil || string(delivered) != string(made) {
			t.Errorf("%s: %v, %v", entry.Name(), err, otherErr)
		}
	}
	if diff := cmp.Diff([]string{"ca.crt", "user.crt", "user.key"}, got); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(filepath.Join(own, "user.key")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the key is open: %v %v", info, err)
	}
}

func TestCredentialsForThePooler(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	users := filepath.Join(dir, "users.txt")
	out, err := command(t, map[string]string{
		"TRADESAGE_DATABASE_SECRET": base64.StdEncoding.EncodeToString(dbtest.Secret), "TRADESAGE_MASTER_KEY": masterKey, "TRADESAGE_SHARDS": "1",
	}, "credentials", "--service", "session", "--out", filepath.Join(dir, "session.json"), "--userlist", users)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, login := range []string{"app_s00", "svc_session", "svc_verify"} {
		want += `"` + login + `" "` + db.Password(dbtest.Secret, login) + "\"\n"
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(users); err != nil || info.Mode() != 0o600 {
		t.Errorf("the passwords are open: %v %v", info, err)
	}
}
