package tenant_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/tenant"
)

// What a tenant's code can put into its schema and its events makes no letter but
// that of an invitation which a process of the platform made for this tenant.
func TestATenantWritesNoLettersOfItsOwn(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	made := func() db.Tenant {
		home, err := p.tenants.EnsureTenant(t.Context(), unique(t), "Acme")
		if err != nil {
			t.Fatal(err)
		}
		return home
	}
	home, other := made(), made()
	mails, err := tenant.NewInvitationMails([]byte(strings.Repeat("s", 32)), "https://tradesage.test/")
	if err != nil {
		t.Fatal(err)
	}
	invite := func(in db.Tenant, hash func(id uuid.UUID) []byte, expires time.Time) uuid.UUID {
		id := newID(t)
		if err := p.DB.Store(db.ServiceUser).Tenant(in).UpsertInvitation(t.Context(), tenantdb.UpsertInvitationParams{
			ID: id, Email: "victim@people.test", RoleKey: "viewer", CodeHash: hash(id), ExpiresAt: expires,
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	right := func(id uuid.UUID) []byte { return mails.CodeHash(home.ID(), id) }
	event := func(id uuid.UUID) json.RawMessage {
		body, err := tenant.InvitationEvent(id)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	letter, err := p.tenants.InvitationMail(t.Context(), home.ID(), event(invite(home, right, now.Add(time.Hour))))
	if err != nil || letter == nil || letter.To != "victim@people.test" || !strings.Contains(letter.Text, "to join Acme on TradeSage as Viewer") {
		t.Fatalf("%+v, %v", letter, err)
	}

	forged := invite(home, func(uuid.UUID) []byte { return make([]byte, 32) }, now.Add(time.Hour))
	if letter, err := p.tenants.InvitationMail(t.Context(), home.ID(), event(forged)); letter != nil || !errors.Is(err, tenant.ErrForgedInvitation) {
		t.Errorf("a row that SQL alone has made: %+v, %v", letter, err)
	}
	// Another tenant's row, also where its bytes are copied here.
	copied := invite(other, right, now.Add(time.Hour))
	if letter, err := p.tenants.InvitationMail(t.Context(), other.ID(), event(copied)); letter != nil || !errors.Is(err, tenant.ErrForgedInvitation) {
		t.Errorf("a code of another tenant: %+v, %v", letter, err)
	}
	for name, id := range map[string]uuid.UUID{
		"of another tenant": copied, "unknown": newID(t), "none": uuid.Nil, "expired": invite(home, right, now),
	} {
		if letter, err := p.tenants.InvitationMail(t.Context(), home.ID(), event(id)); letter != nil || err != nil {
			t.Errorf("%s: %+v, %v", name, letter, err)
		}
	}
	for _, body := range []string{`{"invitation": 7}`, `[]`, `{"to": "victim@people.test", "text": "Pay here"}`} {
		if letter, _ := p.tenants.InvitationMail(t.Context(), home.ID(), json.RawMessage(body)); letter != nil {
			t.Errorf("%s: %+v", body, letter)
		}
	}
}
