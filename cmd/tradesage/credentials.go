package main

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/internal/tenant"
)

// The keys that a credentials file may hold.
const (
	masterKeyName     = "master"
	claimKeyName      = "claim"
	invitationKeyName = "invitations"
)

// needs are what one service's process has to know.
type needs struct {
	logins []db.Service
	// tenants is whether it works in tenants' schemas.
	tenants bool
	keys    []string
}

// serviceNeeds is by the name of the service. Only auth holds what opens the
// private keys; the others open claim keys, to check tokens. auth also does what
// follows from changes anywhere, which gives it nothing that it could not reach
// already: it makes everybody's tokens.
var serviceNeeds = map[string]needs{
	"router": {[]db.Service{db.ServiceRouter}, false, []string{claimKeyName}},
	"auth": {[]db.Service{db.ServiceAuth, db.ServiceVerify, db.ServiceTenant, db.ServiceUser, db.ServiceRelay}, true,
		[]string{masterKeyName, claimKeyName, invitationKeyName}},
	"tenant":  {[]db.Service{db.ServiceTenant, db.ServiceVerify}, true, []string{claimKeyName, invitationKeyName}},
	"user":    {[]db.Service{db.ServiceUser, db.ServiceVerify}, true, []string{claimKeyName, invitationKeyName}},
	"session": {[]db.Service{db.ServiceSession, db.ServiceVerify}, true, []string{claimKeyName}},
}

// credentialsCommand is for the operator, who alone holds the secrets from which
// everything is derived.
type credentialsCommand struct {
	Service   []string `required:"" help:"Services that the process runs: router, auth, tenant, user, session, or all."`
	Out       string   `type:"path" help:"File to write, for its owner's eyes only; credentials-<services>.json if empty."`
	Userlist  string   `type:"path" help:"Also write the logins as PgBouncer's auth_file."`
	Secret    string   `name:"database-secret" env:"TRADESAGE_DATABASE_SECRET" help:"Derives the logins' passwords: base64 of at least 16 bytes."`
	MasterKey string   `name:"master-key" env:"TRADESAGE_MASTER_KEY" help:"Encrypts the token keys at rest: base64 of 32 bytes."`
	Shards    int      `env:"TRADESAGE_SHARDS" default:"16" help:"Tenant logins that migrate has made, 1 to 1000. After more are made the files have to be written anew."`
}

// credentials are what a credentials file holds.
type credentials struct {
	Services []string          `json:"services"`
	Logins   map[string]string `json:"logins"`
	Keys     map[string][]byte `json:"keys,omitempty"`
}

// Run writes the file and tells what is in it.
func (c credentialsCommand) Run() error {
	secret, err := decodeKey("TRADESAGE_DATABASE_SECRET", c.Secret, 16)
	if err != nil {
		return err
	}
	master, err := decodeKey("TRADESAGE_MASTER_KEY", c.MasterKey, auth.MasterKeySize)
	if err != nil {
		return err
	}
	if c.Shards < 1 || c.Shards > 1000 {
		return fmt.Errorf("TRADESAGE_SHARDS: %d is not between 1 and 1000", c.Shards)
	}
	made, err := makeCredentials(c.Service, secret, master, c.Shards)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return err
	}
	out := c.Out
	if out == "" {
		out = "credentials-" + strings.Join(c.Service, "-") + ".json"
	}
	if err := writeSecretFile(out, append(text, '\n')); err != nil {
		return err
	}
	if c.Userlist != "" {
		if err := writeSecretFile(c.Userlist, userlist(made.Logins)); err != nil {
			return err
		}
	}
	fmt.Printf("%s: %d logins, keys %s\n", out, len(made.Logins), strings.Join(sortedKeys(made.Keys), " "))
	return nil
}

// userlist is what PgBouncer reads: it logs in for its clients, so it needs the
// passwords themselves. They are base64 without quotes.
func userlist(logins map[string]string) []byte {
	var text strings.Builder
	for _, login := range sortedKeys(logins) {
		fmt.Fprintf(&text, "\"%s\" \"%s\"\n", login, logins[login])
	}
	return []byte(text.String())
}

func makeCredentials(names []string, secret, master []byte, shards int) (credentials, error) {
	if slices.Contains(names, "all") {
		names = sortedKeys(serviceNeeds)
	}
	var logins []db.Service
	keys, inTenants := map[string][]byte{}, false
	for _, name := range names {
		need, ok := serviceNeeds[name]
		if !ok {
			return credentials{}, fmt.Errorf("service %q: must be one of %s, or all", name, strings.Join(sortedKeys(serviceNeeds), ", "))
		}
		logins, inTenants = append(logins, need.logins...), inTenants || need.tenants
		for _, key := range need.keys {
			value, err := derivedKey(key, master)
			if err != nil {
				return credentials{}, err
			}
			keys[key] = value
		}
	}
	if !inTenants {
		shards = 0
	}
	return credentials{Services: names, Logins: db.Passwords(secret, shards, logins...), Keys: keys}, nil
}

// derivedKey is the key of one purpose.
func derivedKey(name string, master []byte) ([]byte, error) {
	switch name {
	case claimKeyName:
		return auth.ClaimSealingKey(master)
	case invitationKeyName:
		return invitationKey(master)
	default:
		return master, nil
	}
}

// credentials reads the configured file.
func (c databaseConfig) credentials() (credentials, error) {
	const setting = "TRADESAGE_DATABASE_CREDENTIALS_FILE"
	var given credentials
	if c.Secret != "" {
		return given, errors.New(setting + ": TRADESAGE_DATABASE_SECRET is set too; a process is given one of them")
	}
	info, err := os.Stat(c.CredentialsFile)
	if err != nil {
		return given, fmt.Errorf("%s: %w", setting, err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return given, fmt.Errorf("%s: %s is open to everybody (mode %o); chmod 600 it", setting, c.CredentialsFile, info.Mode().Perm())
	}
	text, err := os.ReadFile(c.CredentialsFile)
	if err != nil {
		return given, fmt.Errorf("%s: %w", setting, err)
	}
	if err := json.Unmarshal(text, &given); err != nil {
		return given, fmt.Errorf("%s: %s: %w", setting, c.CredentialsFile, err)
	}
	if len(given.Logins) == 0 {
		return given, fmt.Errorf("%s: %s holds no logins", setting, c.CredentialsFile)
	}
	return given, nil
}

// key reads one of the file's keys.
func (c databaseConfig) key(name string) ([]byte, error) {
	given, err := c.credentials()
	if err != nil {
		return nil, err
	}
	key := given.Keys[name]
	if len(key) != auth.MasterKeySize {
		return nil, fmt.Errorf("TRADESAGE_DATABASE_CREDENTIALS_FILE: %s holds no %s key; it was written for %s",
			c.CredentialsFile, name, strings.Join(given.Services, ", "))
	}
	return key, nil
}

func invitationKey(master []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, master, nil, "invitation codes", 32)
}

// invitationMails writes the mails of invitations, with their codes.
func (c *config) invitationMails() (*tenant.InvitationMails, error) {
	secret, err := c.keyOf(invitationKeyName)
	if err != nil {
		return nil, err
	}
	return tenant.NewInvitationMails(secret, c.PublicURL)
}

// keyOf is the key of one purpose, derived where this process holds the master
// key, and from its credentials file otherwise.
func (c *config) keyOf(name string) ([]byte, error) {
	if c.Identity.MasterKey == "" && c.Database.CredentialsFile != "" {
		return c.Database.key(name)
	}
	master, err := c.masterKey()
	if err != nil {
		return nil, err
	}
	return derivedKey(name, master)
}

// keyOpener opens what is needed to check tokens, and no private keys.
func (c *config) keyOpener() (auth.KeyOpener, error) {
	key, err := c.keyOf(claimKeyName)
	if err != nil {
		return nil, err
	}
	return auth.NewClaimOpener(key)
}

// writeSecretFile puts a new file in the place of an old one, whole.
func writeSecretFile(name string, text []byte) error {
	next, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // moved away unless something failed
	_, err = next.Write(text)
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), name)
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
