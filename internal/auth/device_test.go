package auth

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestDeviceOf(t *testing.T) {
	t.Parallel()
	tenant, user := uuid.New(), uuid.New()
	for agent, want := range map[string]string{
		firefox:      "Firefox on Linux, desktop",
		"curl/8.1.2": "curl, other",
		"":           "Unknown device, other",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1": "Safari on iOS, mobile",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36":                         "Chrome on Windows, desktop",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0":     "Edge on macOS, desktop",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                                                                "Googlebot, bot",
	} {
		d := deviceOf(tenant, user, agent)
		if got := d.Name + ", " + d.Kind; got != want {
			t.Errorf("%s: got %s, want %s", agent, got, want)
		}
		if d.ID.Version() != 8 || d.ID.Variant() != uuid.RFC4122 {
			t.Errorf("%s: id %s", agent, d.ID)
		}
	}
	same := deviceOf(tenant, user, strings.ReplaceAll(firefox, "140", "99"))
	for name, other := range map[string]device{
		"tenant": deviceOf(uuid.New(), user, firefox), "user": deviceOf(tenant, uuid.New(), firefox), "browser": deviceOf(tenant, user, "curl/8.1"),
	} {
		if other.ID == same.ID {
			t.Errorf("another %s has the same device", name)
		}
	}
	if deviceOf(tenant, user, firefox).ID != same.ID {
		t.Error("an update of the browser is another device")
	}
}

func FuzzDeviceOf(f *testing.F) {
	f.Add(firefox)
	f.Add("(((;;;")
	f.Add("Mozilla/5.0 (")
	f.Fuzz(func(t *testing.T, agent string) {
		d := deviceOf(uuid.Nil, uuid.Nil, cleanUserAgent(agent))
		if n := len([]rune(d.Name)); n < 1 || n > 100 || strings.ContainsRune(d.Name, 0) {
			t.Fatalf("name %q", d.Name)
		}
	})
}
