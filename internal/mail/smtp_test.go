package mail_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/internal/mail"
)

// parts reads the bodies of a mail of several forms, by their type.
func parts(t *testing.T, m *netmail.Message) map[string]string {
	t.Helper()
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("type %s, %v", kind, err)
	}
	all, r := map[string]string{}, multipart.NewReader(m.Body, parameters["boundary"])
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		all[kind] = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
}

func TestAMailArrivesWhole(t *testing.T) {
	t.Parallel()
	s := newSink(t, nil)
	m := message("Grüße aus Zürich — 東京 🎉 " + strings.Repeat("x", 150))
	m.Text, m.HTML = "Hallo Jürgen,\n.\n..zwei Punkte\nfrom the beginning\n"+strings.Repeat("ä", 2000)+"\n", "<p>Hallo Jürgen &amp; Söhne</p>\n"
	if err := s.sender(t, nil).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := s.deliveries()
	if len(got) != 1 {
		t.Fatalf("%d deliveries, want 1", len(got))
	}
	if got[0].From != "no-reply@tradesage.test" || got[0].To != m.To || !got[0].Encrypted {
		t.Errorf("from %s to %s, encrypted: %t", got[0].From, got[0].To, got[0].Encrypted)
	}
	parsed, err := netmail.ReadMessage(bytes.NewReader(got[0].Data))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if err != nil || subject != m.Subject {
		t.Errorf("subject %q, %v", subject, err)
	}
	from, err := parsed.Header.AddressList("From")
	if err != nil || len(from) != 1 || from[0].Name != "TradeSage Größe" {
		t.Errorf("from %v, %v", from, err)
	}
	if id := parsed.Header.Get("Message-ID"); id != "<"+m.ID.String()+"@tradesage.test>" {
		t.Errorf("Message-ID %s", id)
	}
	if diff := cmp.Diff(map[string]string{"text/plain": m.Text, "text/html": m.HTML}, parts(t, parsed)); diff != "" {
		t.Error(diff)
	}
}

func TestAPasswordTravelsEncryptedOnly(t *testing.T) {
	t.Parallel()
	login := func(o *mail.SMTPOptions) { o.Username, o.Password = "sage", "secret" }
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		s := newSink(t, func(s *sink, _ *smtp.Server) { s.mechanisms = []string{mechanism} })
		if err := s.sender(t, login).Send(t.Context(), message("Hello")); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
		if got := s.deliveries(); len(got) != 1 || got[0].User != "sage by "+mechanism || !got[0].Encrypted {
			t.Errorf("%s: %+v", mechanism, got)
		}
		wrong := s.sender(t, func(o *mail.SMTPOptions) { o.Username, o.Password = "sage", "hunter2" })
		if err := wrong.Send(t.Context(), message("Hello")); err == nil || mail.Refused(err) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s with a wrong password: %v; want a failure that may pass", mechanism, err)
		}
	}
	open := newSink(t, func(s *sink, server *smtp.Server) {
		s.mechanisms, server.TLSConfig, server.AllowInsecureAuth = []string{"PLAIN", "LOGIN"}, nil, true
	})
	if err := open.sender(t, login).Send(t.Context(), message("Hello")); err == nil || mail.Refused(err) {
		t.Errorf("a server without TLS: %v; want a failure that may pass", err)
	}
	if got := open.deliveries(); len(got) != 0 {
		t.Errorf("sent without TLS: %+v", got)
	}
}

func TestAnUnknownCertificateIsRefused(t *testing.T) {
	t.Parallel()
	s, other := newSink(t, nil), newSink(t, nil)
	sender := s.sender(t, func(o *mail.SMTPOptions) { o.RootCAs = other.roots })
	if err := sender.Send(t.Context(), message("Hello")); err == nil || mail.Refused(err) {
		t.Errorf("got %v", err)
	}
	if n := len(s.deliveries()); n != 0 {
		t.Errorf("%d deliveries to a server of an unknown authority", n)
	}
}

func TestWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		stage   string
		code    int
		refused bool
	}{
		{"mail", 451, false}, {"mail", 550, false}, // it refuses us, which an operator may put right
		{"rcpt", 450, false}, {"rcpt", 550, true},
		{"data", 452, false}, {"data", 554, true},
	} {
		s := newSink(t, nil)
		s.refuse(func(stage string) error {
			if stage != test.stage {
				return nil
			}
			return &smtp.SMTPError{Code: test.code, EnhancedCode: smtp.EnhancedCode{test.code / 100, 1, 1}, Message: "no <owner@acme.test>"}
		})
		err := s.sender(t, nil).Send(t.Context(), message("Hello"))
		if err == nil || mail.Refused(err) != test.refused || strings.Contains(err.Error(), "owner@") {
			t.Errorf("%d after %s: %v, refused: %t; want %t and no recipient named", test.code, test.stage, err, mail.Refused(err), test.refused)
		}
		if n := len(s.deliveries()); n != 0 {
			t.Errorf("%d after %s: %d deliveries", test.code, test.stage, n)
		}
	}
}

func TestASlowServerIsLeft(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	closed := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil { // and says nothing
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		closed <- err
	}()
	sender, err := mail.NewSMTP(mail.SMTPOptions{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, From: "a@b.test", Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), message("Hello")); err == nil || mail.Refused(err) {
		t.Errorf("got %v", err)
	}
	select {
	case err := <-closed:
		if !errors.Is(err, io.EOF) {
			t.Errorf("the connection ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the connection stays open")
	}
}

func TestNoHeaderGetsIn(t *testing.T) {
	t.Parallel()
	s := newSink(t, nil)
	sender := s.sender(t, nil)
	for name, change := range map[string]func(*mail.Message){
		"recipient":         func(m *mail.Message) { m.To = "a@b.test>\r\nRCPT TO:<c@d.test" },
		"second recipient":  func(m *mail.Message) { m.To = "a@b.test, c@d.test" },
		"no address at all": func(m *mail.Message) { m.To = "nobody" },
	} {
		m := message("Hello")
		change(&m)
		if err := sender.Send(t.Context(), m); !mail.Refused(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := message("Hello\r\nBcc: c@d.test\r\n\r\nbody")
	if err := sender.Send(t.Context(), m); err == nil {
		for _, got := range s.deliveries() {
			parsed, err := netmail.ReadMessage(bytes.NewReader(got.Data))
			if err != nil || parsed.Header.Get("Bcc") != "" {
				t.Errorf("a header got in: %v, %v", parsed.Header, err)
			}
		}
	}
	for _, got := range s.deliveries() {
		if got.To != m.To {
			t.Errorf("delivered to %s", got.To)
		}
	}
}
