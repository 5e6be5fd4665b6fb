package mail_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/mail"
)

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func message(subject string) mail.Message {
	return mail.Message{ID: uuid.New(), To: "owner@acme.test", Subject: subject, Text: "Hello,\nworld.\n"}
}

func TestDeliverReachesTheMailboxOnce(t *testing.T) {
	t.Parallel()
	box := mail.NewMailbox(func() time.Time { return now })
	m := message("Hello")
	body, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := mail.Deliver(t.Context(), box, body); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]mail.Received{{Message: m, ReceivedAt: now}}, box.Messages()); diff != "" {
		t.Error(diff)
	}
}

type failing struct{}

func (failing) Send(context.Context, mail.Message) error { return errors.New("busy") }

func TestDeliverRefuses(t *testing.T) {
	t.Parallel()
	body, _ := message("x").Encode()
	if err := mail.Deliver(t.Context(), failing{}, body); err == nil || strings.Contains(err.Error(), "owner@") {
		t.Errorf("got %v, want an error that names no recipient", err)
	}
	box := mail.NewMailbox(time.Now)
	for _, m := range []mail.Message{
		{To: "a@b.test"},
		{ID: uuid.New()},
		{ID: uuid.New(), To: "a@b.test\r\nBcc: c@d.test"},
		{ID: uuid.New(), To: "a@b.test", Subject: "x\r\nBcc: c@d.test"},
	} {
		if _, err := m.Encode(); err == nil {
			t.Errorf("%+v was encoded", m)
		}
		raw, _ := json.Marshal(m)
		if err := mail.Deliver(t.Context(), box, raw); err == nil {
			t.Errorf("%+v was delivered", m)
		}
	}
	if err := mail.Deliver(t.Context(), box, json.RawMessage(`"x"`)); err == nil {
		t.Error("nonsense was delivered")
	}
}

func TestMailboxKeepsTheLast200(t *testing.T) {
	t.Parallel()
	box := mail.NewMailbox(func() time.Time { return now })
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() { _ = box.Send(t.Context(), message(strconv.Itoa(i))) })
	}
	all.Wait()
	if err := box.Send(t.Context(), message("last")); err != nil {
		t.Fatal(err)
	}
	messages := box.Messages()
	if len(messages) != 200 || messages[0].Subject != "last" {
		t.Errorf("%d messages, the first %q", len(messages), messages[0].Subject)
	}
}

func TestMailboxHandlers(t *testing.T) {
	t.Parallel()
	box := mail.NewMailbox(func() time.Time { return now })

	empty := httptest.NewRecorder()
	box.ServeJSON(empty, httptest.NewRequest(http.MethodGet, "/dev/mail.json", nil))
	if got := strings.TrimSpace(empty.Body.String()); got != `{"messages":[]}` {
		t.Errorf("empty: %s", got)
	}

	m := message("<script>alert(1)</script>")
	m.Text = "</pre><img src=x onerror=alert(1)>\njavascript:alert(1) see https://tradesage.test/i?a=1&b=2#co_de-1.\n"
	if err := box.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	html := httptest.NewRecorder()
	box.ServeHTML(html, httptest.NewRequest(http.MethodGet, "/dev/mail", nil))
	page := html.Body.String()
	if strings.Contains(page, "<script") || strings.Contains(page, "<img") || !strings.Contains(page, "&lt;script&gt;") {
		t.Errorf("not escaped: %s", page)
	}
	if strings.Count(page, `target="_blank"`) != 1 ||
		!strings.Contains(page, `<a href="https://tradesage.test/i?a=1&amp;b=2#co_de-1" target="_blank" rel="noopener noreferrer">`) {
		t.Errorf("the link cannot be followed: %s", page)
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	if style == nil {
		t.Fatal("no style")
	}
	sum := sha256.Sum256([]byte(style[1]))
	if csp := html.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q does not allow the style by its hash", csp)
	}
	if csp := html.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
	list := httptest.NewRecorder()
	box.ServeJSON(list, httptest.NewRequest(http.MethodGet, "/dev/mail.json", nil))
	var got struct{ Messages []mail.Received }
	if err := json.Unmarshal(list.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(box.Messages(), got.Messages); diff != "" {
		t.Error(diff)
	}
}

func TestSMTPOptions(t *testing.T) {
	t.Parallel()
	good := mail.SMTPOptions{Host: "localhost", From: "TradeSage <no-reply@tradesage.test>"}
	if _, err := mail.NewSMTP(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*mail.SMTPOptions){
		"no host":               func(o *mail.SMTPOptions) { o.Host = "" },
		"port":                  func(o *mail.SMTPOptions) { o.Port = 70000 },
		"sender":                func(o *mail.SMTPOptions) { o.From = "nobody" },
		"half a login":          func(o *mail.SMTPOptions) { o.Username = "me" },
		"password in the clear": func(o *mail.SMTPOptions) { o.Username, o.Password, o.Plaintext = "me", "secret", true },
	} {
		bad := good
		change(&bad)
		if _, err := mail.NewSMTP(bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// server speaks as much SMTP as one delivery without TLS needs and returns the
// commands and the data that it was sent.
func server(t *testing.T) (port int, received <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	all := make(chan string, 1)
	go func() {
		defer close(all)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		var log strings.Builder
		defer func() { all <- log.String() }()
		r := textproto.NewReader(bufio.NewReader(conn))
		fmt.Fprint(conn, "220 test\r\n")
		for {
			line, err := r.ReadLine()
			if err != nil {
				return
			}
			log.WriteString(line + "\n")
			switch {
			case strings.HasPrefix(line, "DATA"):
				fmt.Fprint(conn, "354 go on\r\n")
				data, _ := r.ReadDotBytes()
				log.Write(data)
				fmt.Fprint(conn, "250 kept\r\n")
			case strings.HasPrefix(line, "QUIT"):
				fmt.Fprint(conn, "221 bye\r\n")
				return
			default:
				fmt.Fprint(conn, "250 ok\r\n")
			}
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port, all
}

func TestSMTPSends(t *testing.T) {
	t.Parallel()
	port, received := server(t)
	sender, err := mail.NewSMTP(mail.SMTPOptions{Host: "127.0.0.1", Port: port, From: "TradeSage <no-reply@tradesage.test>", Plaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	m := message("Grüße")
	if err := sender.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := <-received
	for _, want := range []string{
		"MAIL FROM:<no-reply@tradesage.test>", "RCPT TO:<owner@acme.test>",
		"Message-ID: <" + m.ID.String() + "@tradesage.test>", "Auto-Submitted: auto-generated", "Hello,\nworld.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}

func TestSMTPInsistsOnTLS(t *testing.T) {
	t.Parallel()
	port, received := server(t)
	sender, err := mail.NewSMTP(mail.SMTPOptions{Host: "127.0.0.1", Port: port, From: "no-reply@tradesage.test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), message("Secret")); err == nil {
		t.Error("sent without TLS")
	}
	if got := <-received; strings.Contains(got, "MAIL FROM") {
		t.Errorf("began a mail without TLS:\n%s", got)
	}
}
