package db_test

import (
	"strings"
	"testing"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
)

func TestAProcessWithItsOwnPasswordsOnly(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	tenant := env.Tenant(t)
	own, err := db.Open(db.Config{URL: env.URL, Passwords: db.Passwords(dbtest.Secret, dbtest.Shards, db.ServiceUser, db.ServiceVerify)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	// Its work goes on as ever.
	if _, _, err := own.Store(db.ServiceUser).Resolve(t.Context(), tenant.ID()); err != nil {
		t.Errorf("resolve: %v", err)
	}
	if _, err := own.Store(db.ServiceUser).Tenant(tenant).ListPermissions(t.Context(), tenant.ID()); err != nil {
		t.Errorf("tenant query: %v", err)
	}
	if _, err := own.PlatformStore(db.ServiceVerify).Platform().ListVerificationKeys(t.Context()); err != nil {
		t.Errorf("verification keys: %v", err)
	}
	// Another service's login is out of reach, and says so.
	_, err = own.PlatformStore(db.ServiceAuth).Platform().ListSigningKeys(t.Context())
	if err == nil || !strings.Contains(err.Error(), "svc_auth: this process was not given its password") {
		t.Errorf("as svc_auth: %v", err)
	}
	if _, err := own.PlatformStore(db.ServiceVerify).Platform().ListSigningKeys(t.Context()); err == nil {
		t.Error("svc_verify reads private keys")
	}
	for name, config := range map[string]db.Config{
		"neither": {URL: env.URL},
		"both":    {URL: env.URL, Secret: dbtest.Secret, Passwords: map[string]string{"svc_user": "x"}},
	} {
		if _, err := db.Open(config); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestVerifyLoginIsNoTenant(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	tx := begin(t, env.Connect(t, "svc_verify"))
	refused(t, tx, insufficientPrivilege, "SET ROLE platform_scoped")
	refused(t, tx, insufficientPrivilege, "INSERT INTO platform.revocations (kind, subject, tenant_id, expires_at) VALUES ('user', gen_random_uuid(), gen_random_uuid(), now())")
	refused(t, tx, insufficientPrivilege, "DELETE FROM platform.revocations")
	refused(t, tx, insufficientPrivilege, "SELECT platform.new_blank(gen_random_uuid(), 'x')")
	refused(t, tx, insufficientPrivilege, "SELECT * FROM platform.identities")
}
