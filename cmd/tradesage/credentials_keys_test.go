package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// What a process derives from the master key, another one reads from its file,
// and it is the same; what its file lacks, it is told by name.
func TestEveryKeyOfACredentialsFileIsRead(t *testing.T) {
	t.Parallel()
	master := bytes.Repeat([]byte{7}, 32)
	whole := config{PublicURL: "https://tradesage.test", Identity: identityConfig{MasterKey: base64.StdEncoding.EncodeToString(master)}}
	mails, err := whole.invitationMails()
	if err != nil {
		t.Fatal(err)
	}
	in, id := uuid.New(), uuid.New()
	uses := map[string]func(c *config) (any, error){
		masterKeyName: func(c *config) (any, error) { return c.masterKey() },
		claimKeyName:  func(c *config) (any, error) { return c.keyOpener() },
		invitationKeyName: func(c *config) (any, error) {
			mine, err := c.invitationMails()
			if err == nil {
				if diff := cmp.Diff(mails.Code(in, id), mine.Code(in, id)); diff != "" {
					t.Errorf("another code of the same invitation: %s", diff)
				}
			}
			return mine, err
		},
	}
	for name, need := range serviceNeeds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, err := makeCredentials([]string{name}, bytes.Repeat([]byte{9}, 32), master, 1)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(made)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "credentials.json")
			if err := writeSecretFile(file, text); err != nil {
				t.Fatal(err)
			}
			c := config{PublicURL: "https://tradesage.test", Database: databaseConfig{CredentialsFile: file}}
			for key := range made.Keys {
				if uses[key] == nil {
					t.Errorf("nothing reads the key %s", key)
				}
			}
			for key, use := range uses {
				_, err := use(&c)
				switch has := slices.Contains(need.keys, key); {
				case has && err != nil:
					t.Errorf("%s: %v", key, err)
				case !has && (err == nil || !strings.Contains(err.Error(), "holds no "+key+" key; it was written for "+name)):
					t.Errorf("%s: %v, want an error that says what is missing", key, err)
				}
			}
		})
	}
}

// Who knows the key of one purpose knows no other.
func TestKeysOfPurposesDiffer(t *testing.T) {
	t.Parallel()
	master := bytes.Repeat([]byte{7}, 32)
	c := config{Identity: identityConfig{MasterKey: base64.StdEncoding.EncodeToString(master)}}
	given, err := c.keyOf(claimKeyName)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{masterKeyName, invitationKeyName} {
		other, err := c.keyOf(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(given, other) {
			t.Errorf("the claim key is the %s key", name)
		}
	}
}
