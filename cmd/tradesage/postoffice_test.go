package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"

	mailbox "github.com/tradesage/tradesage/internal/mail"
)

// postOffice is a real mail server that keeps what it gets.
type postOffice struct {
	address string
	box     *mailbox.Mailbox
}

func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &postOffice{address: l.Addr().String(), box: mailbox.NewMailbox(time.Now)}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &postSession{office: p}, nil }))
	server.Domain = "localhost"
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Errorf("mail server: %v", err)
		}
	})
	return p
}

type postSession struct{ office *postOffice }

func (*postSession) Reset()                               {}
func (*postSession) Logout() error                        { return nil }
func (*postSession) Mail(string, *smtp.MailOptions) error { return nil }
func (*postSession) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data keeps the plain text of a message.
func (s *postSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	to, err := mail.ParseAddress(m.Header.Get("To"))
	if err != nil {
		return err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return err
	}
	text, err := plainText(m)
	if err != nil {
		return err
	}
	return s.office.box.Send(nil, mailbox.Message{ID: uuid.New(), To: to.Address, Subject: subject, Text: text}) //nolint:staticcheck // it waits for nothing
}

// plainText is the first part of a mail, which is its text.
func plainText(m *mail.Message) (string, error) {
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return "", err
	}
	encoding, body := m.Header.Get("Content-Transfer-Encoding"), m.Body
	if strings.HasPrefix(media, "multipart/") {
		part, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
		if err != nil {
			return "", err
		}
		encoding, body = part.Header.Get("Content-Transfer-Encoding"), part
	}
	if strings.EqualFold(encoding, "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return "", fmt.Errorf("text: %w", err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n"), nil
}
