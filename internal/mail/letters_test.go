package mail_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/mail"
)

const link = "https://tradesage.test/x#abc_-123"

func letters(t *testing.T) map[string]mail.Message {
	t.Helper()
	expires := time.Date(2026, 12, 1, 10, 30, 0, 0, time.FixedZone("CET", 3600))
	all := map[string]mail.Message{}
	for name, l := range map[string]interface {
		Message(uuid.UUID, string) (mail.Message, error)
	}{
		"invitation":        mail.Invitation{Tenant: "Acme & Söhne", Role: "owner", InvitedBy: "Ada", Link: link, ExpiresAt: expires},
		"verification":      mail.Verification{Code: "123-456", Link: link, ExpiresAt: expires},
		"alreadyRegistered": mail.AlreadyRegistered{Link: link},
		"passwordReset":     mail.PasswordReset{Code: "123-456", Link: link, ExpiresAt: expires},
		"passwordChanged":   mail.PasswordChanged{At: expires, Device: "Firefox on Linux", Link: link},
	} {
		m, err := l.Message(uuid.New(), "ada@acme.test")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = m
	}
	return all
}

func TestLettersSayTheSameInBothForms(t *testing.T) {
	t.Parallel()
	for name, m := range letters(t) {
		if m.To != "ada@acme.test" || m.Subject == "" {
			t.Errorf("%s: to %q, subject %q", name, m.To, m.Subject)
		}
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(link) + `$`).MatchString(m.Text) {
			t.Errorf("%s: the text's link does not stand alone:\n%s", name, m.Text)
		}
		if strings.Count(m.HTML, `href="`+link+`"`) != 2 || !strings.Contains(m.HTML, "</html>") {
			t.Errorf("%s: the page has not its two links:\n%s", name, m.HTML)
		}
		if strings.Contains(m.Text, "{{") || strings.Contains(m.Text, "<") || strings.Contains(m.Text+m.HTML, "<no value>") || strings.Contains(m.HTML, "ZgotmplZ") {
			t.Errorf("%s:\n%s\n%s", name, m.Text, m.HTML)
		}
	}
	for name, want := range map[string]string{
		"invitation": "Ada invites you to join Acme & Söhne on TradeSage as owner.", "verification": "\n123-456\n",
		"passwordReset": "1 December 2026 09:30 UTC", "passwordChanged": "at 1 December 2026 09:30 UTC from Firefox on Linux.",
	} {
		if m := letters(t)[name]; !strings.Contains(m.Text, want) {
			t.Errorf("%s: %q is missing in\n%s", name, want, m.Text)
		}
	}
}

func TestAHostileNameStaysAName(t *testing.T) {
	t.Parallel()
	invitation := mail.Invitation{
		Tenant: "Acme\r\nBcc: all@evil.test\r\n\r\n<script>alert(1)</script>\u202e\u200b" + strings.Repeat("x", 500),
		Role:   "<img src=x>", InvitedBy: "Ada\n\nhttps://evil.test\n", Link: link,
	}
	m, err := invitation.Message(uuid.New(), "ada@acme.test")
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(m.Subject, "\r\n\u202e\u200b") || len(m.Subject) > 200 {
		t.Errorf("subject %q", m.Subject)
	}
	if strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, "<img") {
		t.Errorf("not escaped:\n%s", m.HTML)
	}
	if first, _, _ := strings.Cut(m.Text, "\n"); !strings.HasPrefix(first, "Ada https://evil.test invites you to join Acme Bcc:") {
		t.Errorf("a name makes lines of its own:\n%s", m.Text)
	}
	for _, bad := range []string{"", "javascript:alert(1)", "/invitation", "https://", "ftp://x.test/"} {
		if _, err := (mail.AlreadyRegistered{Link: bad}).Message(uuid.New(), "ada@acme.test"); err == nil {
			t.Errorf("the link %q was accepted", bad)
		}
	}
	if _, err := (mail.AlreadyRegistered{Link: link}).Message(uuid.New(), "a@b.test\nBcc: c@d.test"); err == nil {
		t.Error("two recipients were accepted")
	}
}
