package tenant_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/tenant"
)

func TestInvitationCodes(t *testing.T) {
	t.Parallel()
	mails, err := tenant.NewInvitationMails([]byte(strings.Repeat("s", 32)), "https://tradesage.test/")
	if err != nil {
		t.Fatal(err)
	}
	others, err := tenant.NewInvitationMails([]byte(strings.Repeat("z", 32)), "https://tradesage.test/")
	if err != nil {
		t.Fatal(err)
	}
	in, id := newID(t), newID(t)
	code := mails.Code(in, id)
	got, hash, ok := tenant.ParseInvitationCode(code)
	if !ok || got != in {
		t.Fatalf("%s, %v; want %s", got, ok, in)
	}
	if diff := cmp.Diff(mails.CodeHash(in, id), hash); diff != "" {
		t.Errorf("the code is not found under the hash that is kept: %s", diff)
	}
	for name, other := range map[string]string{
		"another invitation": mails.Code(in, newID(t)), "another tenant": mails.Code(newID(t), id), "another secret": others.Code(in, id),
	} {
		if other == code {
			t.Errorf("%s has the same code", name)
		}
	}
	message, err := mails.Message(tenant.Invitation{ID: id, Tenant: in, TenantName: "Acme", Role: "trader", Email: "a@b.test", ExpiresAt: now})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(message.Text, "https://tradesage.test/invitation#"+code+"\n") || message.ID != id || message.To != "a@b.test" {
		t.Errorf("%+v", message)
	}
	for _, bad := range []string{"", "x", code + "A", code[1:], strings.Repeat("=", len(code)), strings.Repeat("A", 1<<20), code[:len(code)-1] + "\n", uuid.NewString()} {
		if of, _, ok := tenant.ParseInvitationCode(bad); ok {
			t.Errorf("%.80q is taken for a code of %s", bad, of)
		}
	}
}
