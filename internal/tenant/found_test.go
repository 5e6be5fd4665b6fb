package tenant_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/tenant"
)

func TestFoundGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	for name, crash := range map[string]func(tenant.Founding) (uuid.UUID, error){
		"before anything":   func(tenant.Founding) (uuid.UUID, error) { return uuid.Nil, nil },
		"after the claim":   func(f tenant.Founding) (uuid.UUID, error) { return p.tenants.FoundAndCrash(t.Context(), f, false) },
		"after the schema":  func(f tenant.Founding) (uuid.UUID, error) { return p.tenants.FoundAndCrash(t.Context(), f, true) },
		"after all is done": func(f tenant.Founding) (uuid.UUID, error) { return uuid.Nil, p.tenants.Found(t.Context(), f) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := tenant.Founding{ID: newID(t), Name: "Acme " + unique(t), Owner: newID(t)}
			f.Email = f.Owner.String() + "@people.test"
			err := p.DB.PlatformStore(db.ServiceAuth).Platform().CreateIdentity(t.Context(), platformdb.CreateIdentityParams{ID: f.Owner, Email: f.Email})
			if err != nil {
				t.Fatal(err)
			}
			claimed, err := crash(f)
			if err != nil {
				t.Fatal(err)
			}
			atOnce(4, func(int) {
				if err := p.tenants.Found(t.Context(), f); err != nil {
					t.Error(err)
				}
			})
			id := p.one(t, f)
			if claimed != uuid.Nil && claimed != id {
				t.Errorf("a second tenant %s beside %s", id, claimed)
			}
			for _, body := range p.outbox(t, tenant.KindProvision, id) {
				if err := p.tenants.ProvisionStep(t.Context(), id, body); err != nil {
					t.Error(err)
				}
			}
			if again := p.one(t, f); again != id {
				t.Errorf("%s became %s", id, again)
			}
		})
	}
}

// one wants one open tenant of the founder, who owns it, and returns its id.
func (p *platform) one(t *testing.T, f tenant.Founding) (id uuid.UUID) {
	t.Helper()
	conn := p.Connect(t, "postgres")
	var schema string
	if err := conn.QueryRow(t.Context(), `SELECT t.id, t.schema_name FROM platform.tenants t JOIN platform.memberships m ON m.tenant_id = t.id
		WHERE t.name = $1 AND t.state = 'active' AND m.identity_id = $2 AND m.state = 'active'`, f.Name, f.Owner).Scan(&id, &schema); err != nil {
		t.Fatal(err)
	}
	if n := p.count(t, "SELECT count(*) FROM platform.tenants WHERE name = $1", f.Name); n != 1 {
		t.Errorf("%d tenants", n)
	}
	if n := p.count(t, "SELECT count(*) FROM "+schema+".user_roles ur JOIN "+schema+".roles r ON r.id = ur.role_id WHERE ur.user_id = $1 AND r.key = 'owner'", f.Owner); n != 1 {
		t.Errorf("%d owners", n)
	}
	if n := p.count(t, "SELECT count(*) FROM platform.audit_events WHERE action = 'tenant.create' AND target = $1 AND actor_id = $2", id.String(), f.Owner); n != 1 {
		t.Errorf("%d audit events", n)
	}
	return id
}

// Many tenants of one name: each gets a slug of its own.
func TestFoundMakesSlugsUnique(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, dbtest.New(t))
	name := "Same " + unique(t)
	atOnce(8, func(int) {
		f := tenant.Founding{ID: uuid.New(), Name: name, Owner: uuid.New()}
		f.Email = f.Owner.String() + "@people.test"
		err := p.DB.PlatformStore(db.ServiceAuth).Platform().CreateIdentity(t.Context(), platformdb.CreateIdentityParams{ID: f.Owner, Email: f.Email})
		if err != nil {
			t.Error(err)
		}
		if err := p.tenants.Found(t.Context(), f); err != nil {
			t.Error(err)
		}
	})
	if n := p.count(t, "SELECT count(DISTINCT slug) FROM platform.tenants WHERE name = $1 AND state = 'active'", name); n != 8 {
		t.Errorf("%d tenants with slugs of their own, want 8", n)
	}
}

func TestSlugFor(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	want := map[string]string{
		"Acme Trading": "acme-trading", "  Söhne & Co. ": "sohne-co", "Ada's": "adas", "Ｆｕｌｌ": "full", "№ 7": "no-7",
		"X": "tenant-x", "株式会社": "tenant", "--a--b--c--": "a-b-c", "xn--evil": "xn-evil", "ab--cd": "ab-cd", "½": "1-2",
		"Admin": "admin-1", "TradeSage": "tradesage-1", strings.Repeat("long ", 50): "long-long-long-long-long-long-long-long-long-long",
		"a\u0000b\ud7ff": "a-b", "../../etc/passwd": "etc-passwd", "'; DROP TABLE": "drop-table", "🚀": "tenant",
	}
	for name := range want {
		got[name] = tenant.SlugFor(name, 0)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := tenant.SlugFor("Acme", 1); got != "acme-2" {
		t.Error(got)
	}
	if a, b := tenant.SlugFor("Acme", 9), tenant.SlugFor("Acme", 9); a == b || !strings.HasPrefix(a, "acme-") || len(a) != 13 {
		t.Error(a, b)
	}
}
